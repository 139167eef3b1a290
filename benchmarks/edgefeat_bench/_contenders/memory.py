"""How much memory a process, or a process with all its children, has held."""

from __future__ import annotations

import re
import sys
from pathlib import Path

__all__ = ["peak_memory"]


def peak_memory() -> int:
    """The most memory this process has held since its program was started, in bytes; 0 where nobody tells."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:  # not Linux, where getrusage would count what the parent held as well
        status = ""
    if (own := re.search(r"^VmHWM:\s*(\d+) kB", status, re.MULTILINE)) is not None:
        return int(own[1]) * 1024
    if sys.platform == "win32":
        return 0
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
