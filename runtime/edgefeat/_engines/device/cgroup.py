"""The limits of Linux control groups on this process: CPU time and memory, versions 1 and 2, nested groups."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Iterator

__all__ = ["cpu_quota", "memory_limit"]

# Version 1 expresses "no limit" as the largest multiple of the page size.
_NO_LIMIT = 1 << 60


@functools.cache
def cpu_quota(root: str = "/") -> float | None:
    """Return the CPU quota in cores, such as 1.5, or None without a limit. `root` is for tests."""
    quotas = []
    for folder, version in _folders("cpu", root):
        if version == 2:
            quota, _, period = _text(folder, "cpu.max").partition(" ")
        else:
            quota, period = _text(folder, "cpu.cfs_quota_us"), _text(folder, "cpu.cfs_period_us")
        if quota.isdigit() and period.strip().isdigit() and int(quota) and int(period):
            quotas.append(int(quota) / int(period))
    return min(quotas, default=None)


@functools.cache
def memory_limit(root: str = "/") -> int | None:
    """Return the memory limit of the process's groups in bytes, or None without a limit. The kernel enforces it."""
    limits = []
    for folder, version in _folders("memory", root):
        for name in ("memory.max", "memory.high") if version == 2 else ("memory.limit_in_bytes",):
            value = _text(folder, name)
            if value.isdigit() and 0 < int(value) < _NO_LIMIT:
                limits.append(int(value))
    return min(limits, default=None)


def _folders(controller: str, root: str) -> Iterator[tuple[str, int]]:
    """Yield the folders of the process's group and of its parents, each with the cgroup version."""
    if sys.platform != "linux":
        return
    groups = _groups(root)
    for mount, base, kind, options in _mounts(root):
        if kind == "cgroup2":
            group, version = groups.get(""), 2
        elif kind == "cgroup" and controller in options:
            group, version = groups.get(controller), 1
        else:
            continue
        if group is None:
            continue
        # In a container, the group may have its name on the host; the mounted folder is then the container's own group.
        inside = os.path.relpath(group, base) if group == base or group.startswith(base.rstrip("/") + "/") else "."
        folder = os.path.normpath(os.path.join(mount, inside))
        while True:
            yield root.rstrip("/") + folder, version
            if folder == mount or len(folder) <= len(mount):
                break
            folder = os.path.dirname(folder)


def _groups(root: str) -> dict[str, str]:
    """Return the process's group for each controller of version 1; the version 2 group is under the empty name."""
    groups: dict[str, str] = {}
    for line in _text(root, "proc/self/cgroup").splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        for name in controllers.split(","):
            groups[name] = path
    return groups


def _mounts(root: str) -> Iterator[tuple[str, str, str, list[str]]]:
    """Yield the cgroup mounts: mount point, its root group, file system type, and the controllers of version 1."""
    for line in _text(root, "proc/self/mountinfo").splitlines():
        left, _, right = line.partition(" - ")
        fields, kinds = left.split(), right.split()
        if len(fields) >= 5 and len(kinds) >= 3 and kinds[0] in ("cgroup", "cgroup2"):
            yield _plain(fields[4]), _plain(fields[3]), kinds[0], kinds[2].split(",")


def _plain(path: str) -> str:
    return path.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")


def _text(folder: str, name: str) -> str:
    try:
        with open(os.path.join(folder, name), encoding="utf-8", errors="surrogateescape") as stream:
            return stream.read().strip()
    except (OSError, ValueError):
        return ""
