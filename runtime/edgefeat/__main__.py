"""The `edgefeat` command. The workstation's sub-commands are found by entry point and never named here."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence

from edgefeat._commands import main as command_line

__all__ = ["main"]

# Importing creates tens of thousands of objects that stay alive: scanning them for cycles repeatedly is wasted time.
_OBJECTS = 100_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status. Without arguments, use those of the process."""
    if arguments is not None:
        return command_line.main(arguments)
    gc.set_threshold(_OBJECTS, *gc.get_threshold()[1:])
    try:
        return command_line.main()
    finally:
        gc.freeze()  # skip the scan at exit too: the process's memory is freed as a whole


if __name__ == "__main__":
    sys.exit(main())
