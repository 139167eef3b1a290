"""Whether a file is still being written: asked of Linux by a lease, which it grants only if nobody writes."""

from __future__ import annotations

import errno
import os
import signal
import sys
from typing import Literal

__all__ = ["Openness", "ignore_lease_breaks", "openness"]

Openness = Literal["written", "closed", "unknown"]


def ignore_lease_breaks() -> None:
    """Ignore the signal by which the kernel says that another process opens a file under a lease: it would end us."""
    if sys.platform == "linux":
        signal.signal(signal.SIGIO, signal.SIG_IGN)


def openness(path: str) -> Openness:
    """Return whether some process on this machine has the file open for writing.

    It is unknown on network drives, for files of other users, and on other systems than Linux.
    """
    if sys.platform != "linux":
        return "unknown"
    import fcntl

    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return "unknown"
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        return "written" if error.errno == errno.EAGAIN else "unknown"
    finally:
        os.close(descriptor)
    return "closed"
