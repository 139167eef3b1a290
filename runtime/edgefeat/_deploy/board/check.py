"""Checks a board before anything is installed on it: `python3 check.py NAME=VALUE...`. Prints one reason, or nothing.

Runs with any Python 3, so that one too old for edgefeat can say so.
"""

import importlib.util
import os
import platform
import struct
import sys

# Below this, loading an engine would push something else out, or the system would end it.
_LEAST_MEMORY = 96


def main(arguments):
    wanted = dict(argument.split("=", 1) for argument in arguments)
    reason = _reason(wanted)
    if reason:
        print(reason)
    return 1 if reason else 0


def _reason(wanted):
    python = "%d.%d" % sys.version_info[:2]
    if sys.version_info < (3, 11):
        return "Python %s is too old (needed: 3.11 or newer): use Raspberry Pi OS bookworm or newer" % python
    machine = platform.machine()
    bits = struct.calcsize("P") * 8
    if bits == 32 and machine in ("aarch64", "armv8l"):
        machine = "armv7l"  # a 64-bit kernel below a 32-bit system
    if machine != wanted["machine"]:
        return "this pack is for %s, and this system is %s (%d bits): pack again with the right --for" % (
            wanted["machine"], machine, bits)  # fmt: skip
    if wanted["python"] and python != wanted["python"]:
        return "this pack is for Python %s, and this system has %s: pack again with the right --for, or --python" % (
            wanted["python"], python)  # fmt: skip
    if wanted["glibc"] and _numbers(_glibc()) < _numbers(wanted["glibc"]):
        return "this pack needs glibc %s, and this system has %s: pack again with the right --for" % (
            wanted["glibc"], _glibc())  # fmt: skip
    return _lacking(wanted["modules"].split()) or _room(wanted)


def _lacking(modules):
    debian = {"numpy": "python3-numpy", "PIL": "python3-pil", "venv": "python3-venv"}
    missing = [name for name in ["venv"] + modules if importlib.util.find_spec(name) is None]
    if not missing:
        return ""
    return "Python lacks %s: sudo apt install %s" % (
        " and ".join(missing), " ".join(debian.get(name, "python3-" + name.lower()) for name in missing))  # fmt: skip


def _room(wanted):
    folder = wanted["folder"]
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    disk = os.statvfs(folder)
    free = disk.f_bavail * disk.f_frsize // 1000000
    if free < int(wanted["disk"]):
        return "the disk has %d MB free at %s (needed: %s MB): delete something" % (free, folder, wanted["disk"])
    memory = _memory()
    if memory is not None and memory < _LEAST_MEMORY:
        return "%d MB of memory are free (needed: %d MB): stop a program" % (memory, _LEAST_MEMORY)
    return ""


def _memory():
    """Return the MB of memory and swap that a program can still have, or None if the system does not say."""
    try:
        with open("/proc/meminfo") as stream:
            facts = dict(line.split(":", 1) for line in stream if ":" in line)
        return sum(int(facts[name].split()[0]) for name in ("MemAvailable", "SwapFree")) // 1024
    except (OSError, KeyError, ValueError):
        return None


def _glibc():
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").replace("glibc ", "") or "0"
    except (AttributeError, ValueError):
        return "0"


def _numbers(version):
    return [int(part) for part in version.split(".")]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
