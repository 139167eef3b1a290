"""Which step an export is at, on a terminal; nothing elsewhere."""

from __future__ import annotations

import sys
from types import TracebackType

from tqdm import tqdm

__all__ = ["Progress"]


class Progress:
    """A bar of `steps` steps on standard error, named as they begin. Shown if `show`, and only on a terminal."""

    def __init__(self, steps: int, *, show: bool) -> None:
        self._bar = tqdm(total=steps, unit="step", disable=not (show and sys.stderr.isatty()), leave=False)
        self._begun = False

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()

    def begin(self, step: str) -> None:
        """The step before is done and `step` has begun."""
        if self._begun:
            self._bar.update()
        self._begun = True
        self._bar.set_description(step)
