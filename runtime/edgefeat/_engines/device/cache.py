"""The user's cache of measurements on this device, as JSON files."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from edgefeat._engines.device.cores import cores
from edgefeat._engines.device.processor import processor_key

__all__ = ["cache_folder", "read_cache", "tuned_file", "write_cache"]


def tuned_file(identity: str) -> str:
    """Return the cache's file name for `tune`'s result on this processor, or on the share of it that is available."""
    share = cores()
    limited = f"-{share.usable}" if share.reason not in ("", "affinity") else ""
    return f"tuned-{identity[:16]}-{processor_key()}{limited}.json"


def cache_folder() -> Path:
    """Return the cache folder: `$EDGEFEAT_CACHE`, else `edgefeat` in the user's cache folder.

    A user without a home has none: the folder returned can neither be read nor made.
    """
    if folder := os.environ.get("EDGEFEAT_CACHE"):
        return Path(folder)
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or os.path.expanduser(r"~\AppData\Local")
    elif sys.platform == "darwin":
        base = os.path.expanduser("~/Library/Caches")
    else:
        given = os.environ.get("XDG_CACHE_HOME", "")  # a relative path does not count, by the XDG specification
        base = given if os.path.isabs(given) else os.path.expanduser("~/.cache")
    return Path(base if os.path.isabs(base) else os.devnull) / "edgefeat"


def read_cache(name: str) -> Any:
    """Return the JSON value stored under `name`, or None if there is none or it cannot be read."""
    try:
        return json.loads((cache_folder() / name).read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def write_cache(name: str, value: object) -> bool:
    """Store a JSON value under `name` and return whether that worked. An unwritable cache is not an error."""
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
        if temporary is not None:  # on a full disk, every start would leave another file
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        return False
    return True
