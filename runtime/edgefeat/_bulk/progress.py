"""What a bulk run tells while it runs."""

from __future__ import annotations

from typing import Any, Protocol

__all__ = ["Progress"]


class Progress(Protocol):
    """What is told."""

    def note(self, text: str) -> None:
        """Something the user should know once."""

    def start(self, total: int, facts: dict[str, Any]) -> None:
        """`total` photos are to be computed."""

    def done(self, path: str, error: str | None) -> None:
        """One photo is done, or failed with that reason."""

    def close(self) -> None:
        """Nothing more comes."""
