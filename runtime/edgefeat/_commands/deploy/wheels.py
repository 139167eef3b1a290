"""The wheels that a board needs besides edgefeat, found and downloaded by pip on the workstation."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from edgefeat._commands.deploy.target import Target
from edgefeat._engines.device.cache import cache_folder
from edgefeat._engines.registry import ENGINES
from edgefeat._errors import MissingExtraError, OutputError

__all__ = ["installer_wheel", "wheels_for"]

# pip chooses files for another machine (`--platform`), yet decides a package's conditions for its own.
_PIP = """
import json, runpy, sys
from pip._vendor.packaging import markers
environment = {**markers.default_environment(), **json.loads(sys.argv[1])}
markers.default_environment = lambda: environment
sys.argv = ["pip", *sys.argv[2:]]
runpy.run_module("pip", run_name="__main__", alter_sys=True)
"""
# The requirements of a wheel that apply on another machine.
_DIRECT = """
import json, sys
from pip._vendor.packaging.requirements import Requirement
environment, extras = json.loads(sys.argv[1]), json.loads(sys.argv[2])
for line in sys.stdin:
    found = Requirement(line.strip())
    if found.marker is None or any(found.marker.evaluate({**environment, "extra": extra}) for extra in ["", *extras]):
        print(json.dumps([found.name.lower(), f"{found.name}{found.specifier}"]))
"""
# The distributions behind the modules that a system provides.
_PROVIDED = {"numpy": "numpy", "PIL": "pillow"}


def wheels_for(target: Target, wheel: Path, extras: Sequence[str], *, fresh: bool = False) -> list[Path]:
    """Return the wheels that `wheel` needs on `target` with those extras, downloaded once and kept in the cache.

    `fresh` asks the index again. Raises OutputError with pip's own words if a wheel cannot be found or downloaded.
    """
    content = hashlib.sha256(_requirements(wheel)).hexdigest()
    facts = [target.machine, target.version, target.glibc, target.from_system, sorted(extras), content]
    key = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
    folder = cache_folder() / "wheels" / f"{target.machine}-{target.version}-{key}"
    if fresh or not folder.is_dir():
        if target.from_system:
            _downloaded(folder, target, *_beside_the_system(target, wheel, extras))
        else:
            _downloaded(folder, target, [f"{wheel}[{','.join(sorted(extras))}]"])
    return sorted(path for path in folder.glob("*.whl") if not path.name.startswith("edgefeat-"))


def installer_wheel(*, fresh: bool = False) -> Path:
    """Return the wheel of pip that the board installs with, so that it needs no package of its own for that."""
    folder = cache_folder() / "wheels" / "pip"
    if fresh or not folder.is_dir():
        _downloaded(folder, None, [], ["pip>=25"])
    return max(folder.glob("pip-*.whl"))


def _beside_the_system(target: Target, wheel: Path, extras: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return what is downloaded with all that it needs, and what is downloaded alone, because it needs NumPy.

    What the system provides is left out: the index has no wheel of it for this processor.
    """
    command = [sys.executable, "-c", _DIRECT, json.dumps(target.markers()), json.dumps(list(extras))]
    lines = "\n".join(line.decode().partition(":")[2].strip() for line in _requirements(wheel).splitlines())
    done = subprocess.run(command, input=lines, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OutputError(f"pip cannot read what edgefeat requires: {done.stderr.strip()[-300:]}")
    provided = {_PROVIDED[name] for name in target.from_system}
    engines = {engine.distribution for engine in ENGINES}
    whole: list[str] = []
    alone: list[str] = []
    for name, requirement in map(json.loads, done.stdout.splitlines()):
        if name not in provided:
            (alone if name in engines else whole).append(requirement)
    return whole, alone


def _requirements(wheel: Path) -> bytes:
    import zipfile

    with zipfile.ZipFile(wheel) as archive:
        metadata = archive.read(next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA")))
    return b"\n".join(line for line in metadata.splitlines() if line.startswith(b"Requires-Dist:"))


def _downloaded(folder: Path, target: Target | None, whole: Sequence[str], alone: Sequence[str] = ()) -> None:
    """Replace `folder` by what pip downloads: `whole` with all that it needs, `alone` without. All or nothing."""
    if importlib.util.find_spec("pip") is None:
        raise MissingExtraError(f"packing requires pip in this environment: {sys.executable} -m ensurepip")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".new-") as new:
        kept = os.path.join(new, "wheels")
        for wanted, more in ((whole, []), (alone, ["--no-deps"])):
            if wanted:
                _pip(kept, target, [*more, *wanted])
        with contextlib.suppress(OSError):
            os.rename(folder, os.path.join(new, "old"))
        with contextlib.suppress(OSError):  # another run has just put the same there
            os.rename(kept, folder)
    if not folder.is_dir():
        raise OutputError(f"{folder} cannot be written (set EDGEFEAT_CACHE to another folder)")


def _pip(folder: str, target: Target | None, wanted: Sequence[str]) -> None:
    options = ["download", "--quiet", "--disable-pip-version-check", "--only-binary=:all:", "--dest", folder]
    if target is not None:
        options += ["--implementation", "cp", "--python-version", target.version]
        options += [word for tag in target.platforms() for word in ("--platform", tag)]
    markers = {} if target is None else target.markers()
    command = [sys.executable, "-c", _PIP, json.dumps(markers), *options, *wanted]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OutputError(_reason(done.stderr, target))


def _reason(said: str, target: Target | None) -> str:
    lines = [line.removeprefix("ERROR: ") for line in said.splitlines() if line.startswith("ERROR: ")]
    found = lines[-1] if lines else said.strip()[-300:] or "it said nothing"
    board = "" if target is None else f" for {target.machine}, Python {target.version}"
    return f"pip cannot download the wheels{board}: {found}"
