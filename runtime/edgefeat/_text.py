"""Text that others wrote, such as the name of a file, as it may be shown."""

from __future__ import annotations

__all__ = ["printable"]

_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}


def printable(text: str) -> str:
    """The text on one line, control characters spelled out: a terminal would take some for commands."""
    return text.translate(_CONTROLS)
