"""Whether the drive of a file that this process writes is still there."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["is_away"]


def is_away(path: Path, device: int) -> bool:
    """Return whether the folder of a file that was on `device` is gone or on another one.

    Where a drive was removed, its mount point is gone, or an empty folder of the system's own disk.
    """
    try:
        return os.stat(path.parent).st_dev != device
    except OSError:
        return True
