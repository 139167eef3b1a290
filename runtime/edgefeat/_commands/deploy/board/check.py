"""Checks a board before anything is installed on it: `python3 check.py NAME=VALUE...`. Prints one reason, or nothing.

Runs with any Python from 3.7, so that one too old for edgefeat can say so.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import struct
import sys

# Below this, loading an engine would push something else out, or the system would end it.
_LEAST_MEMORY = 96
_LEAST_PYTHON = (3, 11)
_AGAIN = "pack again with the right --for"


def main(arguments: list[str]) -> int:
    """Return 0 if the board can have the pack."""
    wanted = dict(argument.split("=", 1) for argument in arguments)
    reason = _reason(wanted)
    if reason:
        sys.stdout.write(f"{reason}\n")
    return 1 if reason else 0


def _reason(wanted: dict[str, str]) -> str:
    python = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if sys.version_info < _LEAST_PYTHON:
        return f"Python {python} is too old (needed: 3.11 or newer): use Raspberry Pi OS bookworm or newer"
    machine, bits = platform.machine(), struct.calcsize("P") * 8
    if bits == 32 and machine in ("aarch64", "armv8l"):
        machine = "armv7l"  # a 64-bit kernel below a 32-bit system
    if machine != wanted["machine"]:
        return f"this pack is for {wanted['machine']}, and this system is {machine} ({bits} bits): {_AGAIN}"
    if wanted["python"] and python != wanted["python"]:
        return f"this pack is for Python {wanted['python']}, and this system has {python}: {_AGAIN}, or --python"
    if wanted["glibc"] and _numbers(_glibc()) < _numbers(wanted["glibc"]):
        return f"this pack needs glibc {wanted['glibc']}, and this system has {_glibc()}: {_AGAIN}"
    return _lacking(wanted["modules"].split()) or _room(wanted)


def _lacking(modules: list[str]) -> str:
    debian = {"numpy": "python3-numpy", "PIL": "python3-pil", "venv": "python3-venv"}
    missing = [name for name in ["venv", *modules] if importlib.util.find_spec(name) is None]
    if not missing:
        return ""
    return f"Python lacks {' and '.join(missing)}: sudo apt install {' '.join(debian[name] for name in missing)}"


def _room(wanted: dict[str, str]) -> str:
    folder = wanted["folder"]
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    disk = os.statvfs(folder)
    free = disk.f_bavail * disk.f_frsize // 1000000
    if free < int(wanted["disk"]):
        return f"the disk has {free} MB free at {folder} (needed: {wanted['disk']} MB): delete something"
    memory = _memory()
    if memory is not None and memory < _LEAST_MEMORY:
        return f"{memory} MB of memory are free (needed: {_LEAST_MEMORY} MB): stop a program"
    return ""


def _memory() -> int | None:
    """Return the MB of memory and swap that a program can still have, or None if the system does not say."""
    try:
        with open("/proc/meminfo") as stream:
            facts = dict(line.split(":", 1) for line in stream if ":" in line)
        return sum(int(facts[name].split()[0]) for name in ("MemAvailable", "SwapFree")) // 1024
    except (OSError, KeyError, ValueError):
        return None


def _glibc() -> str:
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").replace("glibc ", "") or "0"
    except (AttributeError, ValueError):
        return "0"


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
