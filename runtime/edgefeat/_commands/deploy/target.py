"""What a board is: its processor, its Python and its C library, by name or as the board itself says."""

from __future__ import annotations

import os
import platform
import struct
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace

from edgefeat._engines.engine import Engine
from edgefeat._engines.registry import ENGINES
from edgefeat._errors import ArgumentError

__all__ = ["LEAST_PYTHON", "TARGETS", "Target", "board_target", "engine_for", "target_named"]

#: The oldest Python that edgefeat supports.
LEAST_PYTHON = (3, 11)
# Engines with wheels for a processor, the preferred one first.
_ENGINES = {"aarch64": ("litert", "onnxruntime"), "x86_64": ("litert", "onnxruntime"), "armv7l": ("tflite-runtime",)}
# tflite-runtime has no wheels for a newer Python.
_NEWEST_TFLITE = (3, 11)


@dataclass(frozen=True, slots=True)
class Target:
    """A kind of board. `python` is (major, minor); `glibc` is the version of the C library as (major, minor).

    `from_system` names the Python modules that the board takes from its own packages, because no wheel has them.
    """

    name: str
    machine: str
    python: tuple[int, int]
    glibc: tuple[int, int]
    from_system: tuple[str, ...] = ()

    @property
    def bits(self) -> int:
        """Return 32 or 64: the size of a pointer in the board's Python."""
        return 32 if self.machine == "armv7l" else 64

    @property
    def version(self) -> str:
        """Return the board's Python as text, such as `3.13`."""
        return f"{self.python[0]}.{self.python[1]}"

    def platforms(self) -> list[str]:
        """Return the platform tags of wheels that run there, for pip's `--platform`."""
        major, minor = self.glibc
        numbered = [f"manylinux_{major}_{older}_{self.machine}" for older in range(minor, 16, -1)]
        old = [f"manylinux2014_{self.machine}"]
        if self.machine == "x86_64":
            numbered += [f"manylinux_2_{older}_x86_64" for older in range(16, 4, -1)]
            old += ["manylinux2010_x86_64", "manylinux1_x86_64"]
        return [*numbered, *old, f"linux_{self.machine}"]

    def markers(self) -> dict[str, str]:
        """Return the environment in which a package's conditions, such as `python_version < '3.12'`, are decided."""
        return {
            "implementation_name": "cpython",
            "implementation_version": f"{self.version}.0",
            "os_name": "posix",
            "platform_machine": self.machine,
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_system": "Linux",
            "platform_version": "",
            "python_full_version": f"{self.version}.0",
            "python_version": self.version,
            "sys_platform": "linux",
        }


_DEBIAN_32 = ("numpy", "PIL")

TARGETS = (
    Target("pi-trixie-64", "aarch64", (3, 13), (2, 41)),
    Target("pi-bookworm-64", "aarch64", (3, 11), (2, 36)),
    Target("pi-bookworm-32", "armv7l", (3, 11), (2, 36), _DEBIAN_32),
    Target("linux-aarch64", "aarch64", (3, 13), (2, 31)),
    Target("linux-x86_64", "x86_64", (3, 13), (2, 31)),
)


def target_named(name: str, *, python: str | None = None) -> Target:
    """Return the target `name`, or this machine for `this`, with another Python if one is given (`3.12`).

    Raises ArgumentError with the names and versions that are allowed.
    """
    if name == "this":
        found = _this()
    else:
        by_name = {target.name: target for target in TARGETS}
        if name not in by_name:
            raise ArgumentError(f"board {name!r} is unknown (allowed: {', '.join(by_name)}, this)")
        found = by_name[name]
    if python is None:
        return found
    parts = python.split(".")
    if len(parts) != 2 or not all(part.isdecimal() and len(part) < 4 for part in parts):
        raise ArgumentError(f"Python {python!r} is not a version (allowed: two numbers, such as 3.13)")
    return _supported(replace(found, python=(int(parts[0]), int(parts[1]))))


def board_target(facts: Mapping[str, str]) -> Target:
    """Return the target for what a board says of itself: `python`, `bits`, `machine` and `glibc`, as text.

    Raises ArgumentError with the reason if edgefeat cannot run there.
    """
    if "python" not in facts:
        raise ArgumentError("it has no Python: sudo apt install python3")
    major, _, minor = facts["python"].partition(".")
    glibc = facts.get("glibc", "0").split(".")
    machine = facts.get("machine", "")
    if glibc == ["0"]:
        raise ArgumentError(
            "its C library is not glibc, for which the engines are built "
            "(allowed: a system with glibc, such as Debian or Ubuntu)"
        )
    from_system = _DEBIAN_32 if machine == "armv7l" else ()
    board = Target("board", machine, (int(major), int(minor)), (int(glibc[0]), int(glibc[1])), from_system)
    return _supported(board)


def engine_for(target: Target, *, formats: set[str], wanted: str | None = None) -> Engine:
    """Return the engine to install: `wanted`, else the preferred one that runs a variant in `formats`.

    Raises ArgumentError if the board cannot have it, or none runs what the bundle has.
    """
    allowed = _ENGINES[target.machine]
    if wanted is not None and wanted not in allowed:
        raise ArgumentError(
            f"engine {wanted!r} has no wheels for {target.machine}, Python {target.version} "
            f"(allowed: {', '.join(allowed)})"
        )
    for engine in (engine for name in allowed for engine in ENGINES if engine.name == name):
        if engine.format in formats and wanted in (None, engine.name):
            return engine
    raise ArgumentError(
        f"the bundle has only {', '.join(sorted(formats))} files, which {wanted or ', '.join(allowed)} cannot run: "
        "export it with the other format as well"
    )


def _supported(target: Target) -> Target:
    if target.machine not in _ENGINES:
        raise ArgumentError(
            f"processor {target.machine!r} is not supported (allowed: {', '.join(_ENGINES)}); a Raspberry Pi Zero W or "
            "1 has no engine"
        )
    if target.python < LEAST_PYTHON:
        raise ArgumentError(
            f"its Python {target.version} is too old (allowed: 3.11 or newer): use Raspberry Pi OS bookworm or newer"
        )
    if target.bits == 32 and target.python > _NEWEST_TFLITE:
        raise ArgumentError(
            f"no engine has wheels for a 32-bit Python {target.version} (allowed: 3.11): use the 64-bit system"
        )
    return target


def _this() -> Target:
    machine = platform.machine()
    if not sys.platform.startswith("linux"):
        raise ArgumentError(
            f"this machine runs {platform.system()} (allowed for packs: Linux): install edgefeat here with pip instead"
        )
    if struct.calcsize("P") == 4 and machine in ("aarch64", "armv8l"):
        machine = "armv7l"  # a 64-bit kernel below a 32-bit system
    found = os.confstr("CS_GNU_LIBC_VERSION") or ""
    glibc = found.removeprefix("glibc ").split(".")
    if len(glibc) < 2:
        raise ArgumentError(
            "this machine's C library is not glibc (allowed: a system with glibc, such as Debian or Ubuntu)"
        )
    from_system = _DEBIAN_32 if machine == "armv7l" else ()
    python = sys.version_info[:2]
    return _supported(Target("this", machine, python, (int(glibc[0]), int(glibc[1])), from_system))
