"""Words for people: lines on the terminal, counts, and text that others wrote as it may be shown."""

from __future__ import annotations

import sys

__all__ = ["counted", "echo", "printable"]

_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}


def printable(text: str) -> str:
    """The text on one line, control characters spelled out: a terminal would take some for commands."""
    return text.translate(_CONTROLS)


def counted(number: int, what: str) -> str:
    """As `1 photo` or `2 photos`."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def echo(text: str, *, err: bool = False) -> None:
    """Prints a line on standard output, or standard error, at once.

    What is not plain is left to click, which knows consoles and misconfigured encodings; it costs a start 20 ms.
    """
    stream = sys.stderr if err else sys.stdout
    if stream is None or not text.isascii() or "\x1b" in text:
        import click

        click.echo(text, err=err)
    else:
        stream.write(text + "\n")
        stream.flush()
