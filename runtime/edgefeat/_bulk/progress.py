"""How a bulk run reports its progress."""

from __future__ import annotations

from typing import Any, Protocol

__all__ = ["Progress"]


class Progress(Protocol):
    """The receiver of progress reports."""

    def note(self, text: str) -> None:
        """Report something that the user should know."""

    def start(self, total: int, facts: dict[str, Any]) -> None:
        """Report that `total` photos will be computed."""

    def done(self, path: str, error: str | None) -> None:
        """Report that one photo is done, or failed with a reason."""

    def close(self) -> None:
        """Report the end of the run."""
