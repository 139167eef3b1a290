"""Shorten the messages of other libraries' errors."""

from __future__ import annotations

__all__ = ["first_line"]

_LONGEST = 300  # Keras puts the whole description of a model into some errors


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, shortened, or its type if it has none."""
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..."
