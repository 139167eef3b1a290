"""The command `edgefeat`. Its sub-commands are found by entry point, so that this never names the workstation's."""

from __future__ import annotations

import sys

from edgefeat._commands import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
