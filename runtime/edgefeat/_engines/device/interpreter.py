"""The Python that runs modules in processes of their own."""

from __future__ import annotations

import sys

from edgefeat._errors import EngineError

__all__ = ["interpreter"]


def interpreter() -> str:
    """Return the path of the Python executable.

    Raises EngineError if there is none, because Python is embedded in another program. One that PyInstaller or Nuitka
    made is its own executable: it would start itself, again and again.
    """
    if getattr(sys, "frozen", False) or "__compiled__" in globals() or not sys.executable:
        raise EngineError("no other process can be started: Python is part of another program (use a plain Python)")
    return sys.executable
