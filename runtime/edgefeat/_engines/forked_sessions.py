"""Sessions in a process that was forked after they were opened."""

from __future__ import annotations

import ctypes
import os
import weakref
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from edgefeat._bundle.manifest import Tap
from edgefeat._engines.engine import Session, run, turns

__all__ = ["ReopenedSession"]

_sessions: weakref.WeakSet[Session] = weakref.WeakSet()


class ReopenedSession:
    """A session that several threads may use, and that is opened again in a forked process by `reopen`."""

    def __init__(self, session: Session, reopen: Callable[[], Session]) -> None:
        self._reopen = reopen
        self._take(session)

    def run(self, pictures: NDArray[np.uint8], taps: Sequence[Tap]) -> list[NDArray[np.float32]]:
        """Return the features of `pictures`, as `run` of the session does."""
        if os.getpid() != self._process:
            self._take(self._reopen())  # the engine's threads do not exist in a forked process
        session, turn = self._opened  # read together: a session must match its lock
        with turn:
            return run(session, pictures, taps)

    def _take(self, session: Session) -> None:
        self._opened = session, turns(session)
        self._process = os.getpid()
        _keep(session)


def _keep(session: Session) -> None:
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
