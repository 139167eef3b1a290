"""Sessions in a process that was forked after they were opened."""

from __future__ import annotations

import ctypes
import os
import weakref

from edgefeat._engines.engine import Session

__all__ = ["keep"]

_sessions: weakref.WeakSet[Session] = weakref.WeakSet()


def keep(session: Session) -> None:
    """Keep the session alive in processes that are forked while it is open."""
    _sessions.add(session)


def _keep_sessions() -> None:
    """Keep the parent's sessions alive in a forked process: closing them would wait for threads that do not exist.

    ONNX Runtime would hang at exit, OpenVINO would abort.
    """
    for session in list(_sessions):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(session))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_keep_sessions)
