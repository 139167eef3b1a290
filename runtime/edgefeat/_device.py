"""Which processor this is, and the user's cache of what was found out about it."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import platform
import struct
import sys
from pathlib import Path
from typing import Any

from edgefeat._cores import cores

__all__ = ["cache_folder", "processor", "processor_key", "read_cache", "tuned_file", "write_cache"]

# What the kernel says of the first processor that decides which instructions it has.
_TELLING = ("model name", "flags", "Features", "CPU implementer", "CPU part", "CPU revision", "Hardware", "Model")


def processor() -> str:
    """The board where it names itself (a Raspberry Pi does), else the processor."""
    board = _text("/proc/device-tree/model").strip("\0 \n")
    return board or _cpuinfo().get("model name") or platform.processor() or platform.machine()


@functools.cache
def processor_key() -> str:
    """A short name for this processor, the same for all of its kind and number of cores."""
    facts = [platform.system(), platform.machine(), str(struct.calcsize("P")), str(os.cpu_count())]
    told = _cpuinfo()
    facts += [told.get(name, "") for name in _TELLING] if told else [platform.processor()]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]


def tuned_file(identity: str) -> str:
    """The name under which the cache has what `tune` found for a bundle on this processor, or on a share of it."""
    share = cores()
    limited = f"-{share.usable}" if share.reason not in ("", "affinity") else ""
    return f"tuned-{identity[:16]}-{processor_key()}{limited}.json"


def cache_folder() -> Path:
    """Where what was found out is kept: `$EDGEFEAT_CACHE`, else `edgefeat` in the user's cache folder."""
    if folder := os.environ.get("EDGEFEAT_CACHE"):
        return Path(folder)
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or os.path.expanduser(r"~\AppData\Local")
    elif sys.platform == "darwin":
        base = os.path.expanduser("~/Library/Caches")
    else:
        base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base) / "edgefeat"


def read_cache(name: str) -> Any:
    """The JSON value kept under `name`; None where there is none that can be read."""
    try:
        return json.loads((cache_folder() / name).read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def write_cache(name: str, value: object) -> bool:
    """Keeps a JSON value under `name`; whether that was possible. A cache that cannot be written is no error."""
    import tempfile

    folder = cache_folder()
    temporary = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=folder, encoding="utf-8", delete=False) as stream:
            temporary = stream.name
            json.dump(value, stream, indent=1)
        os.replace(temporary, folder / name)
    except OSError:
        if temporary is not None:  # on a full disk each start would leave one more
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        return False
    return True


@functools.cache
def _cpuinfo() -> dict[str, str]:
    """What /proc/cpuinfo says of the first processor."""
    found: dict[str, str] = {}
    for line in _text("/proc/cpuinfo").splitlines():
        name, _, value = line.partition(":")
        found.setdefault(name.strip(), value.strip())
    return found


def _text(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""
