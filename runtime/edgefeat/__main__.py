"""The command `edgefeat`. Its sub-commands are found by entry point, so that this never names the workstation's."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence

from edgefeat._commands import main as command_line

__all__ = ["main"]

# Importing makes tens of thousands of objects that stay: to look through them for cycles again and again is in vain.
_OBJECTS = 100_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and gives its exit status. Without arguments it takes the process's, which it then owns."""
    if arguments is not None:
        return command_line.main(arguments)
    gc.set_threshold(_OBJECTS, *gc.get_threshold()[1:])
    try:
        return command_line.main()
    finally:
        gc.freeze()  # nor are they looked through when the process ends, whose memory goes back as a whole


if __name__ == "__main__":
    sys.exit(main())
