"""Notices of changed files: from the system by `watchfiles`, or none, where folders are searched at intervals."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Sequence

from edgefeat._version import install_command

__all__ = ["Notices"]

# Notices are gathered for this long, in milliseconds.
_GATHER, _STEP = 400, 50
_LOOK = 500


class Notices:
    """Changed paths below some folders, from a thread of its own."""

    def __init__(self) -> None:
        self._changed: queue.SimpleQueue[frozenset[str]] = queue.SimpleQueue()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        #: Why there are no notices, or None while there are.
        self.missing: str | None = "not started"

    def start(self, folders: Sequence[str]) -> None:
        """Start to listen, instead of before. Afterwards `missing` says whether the system gives notices."""
        self.stop()
        try:
            from watchfiles import watch  # takes 50 ms to import
        except ImportError:
            self.missing = f"watchfiles is not installed: {install_command('watch')}"
            return
        if not folders:
            self.missing = "no folder is there"
            return
        ended = self._ended = threading.Event()
        ready = threading.Event()
        self.missing = None

        def listen() -> None:
            try:
                # The first answer, which may be an empty one, shows that all folders are being watched.
                for changes in watch(
                    *folders,
                    watch_filter=None,
                    debounce=_GATHER,
                    step=_STEP,
                    rust_timeout=_LOOK,
                    yield_on_timeout=True,
                    stop_event=ended,
                    raise_interrupt=False,
                    ignore_permission_denied=True,
                    force_polling=False,
                ):
                    ready.set()
                    if changes:
                        self._changed.put(frozenset(path for _, path in changes))
            except Exception as error:  # noqa: BLE001  # from Rust, of several undocumented kinds
                self.missing = " ".join(str(error).split())
            finally:
                ready.set()

        self._thread = threading.Thread(target=listen, name="notices", daemon=True)
        self._thread.start()
        ready.wait(10 * _LOOK / 1000)

    def stop(self) -> None:
        """Stop listening."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(2.0)
            self._thread = None

    def changed(self, seconds: float) -> set[str]:
        """Return the paths that have changed since the last call. Wait up to `seconds` for the first."""
        found: set[str] = set()
        with contextlib.suppress(queue.Empty):
            found |= self._changed.get(timeout=seconds) if seconds > 0 else self._changed.get_nowait()
            while True:
                found |= self._changed.get_nowait()
        return found

    def wake(self) -> None:
        """End the wait in `changed`. May be called by a signal handler."""
        self._changed.put(frozenset())
