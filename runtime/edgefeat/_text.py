"""Words for people: counts, and text that others wrote as it may be shown."""

from __future__ import annotations

__all__ = ["counted", "printable"]

_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}


def printable(text: str) -> str:
    """The text on one line, control characters spelled out: a terminal would take some for commands."""
    return text.translate(_CONTROLS)


def counted(number: int, what: str) -> str:
    """As `1 photo` or `2 photos`."""
    return f"{number} {what}{'' if number == 1 else 's'}"
