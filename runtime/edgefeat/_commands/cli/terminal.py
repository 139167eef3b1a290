"""Text on the terminal: lines, counts, and safe display of file names."""

from __future__ import annotations

import sys

from edgefeat._version import page

__all__ = ["counted", "documented", "echo", "printable"]

_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}


def printable(text: str) -> str:
    """Return the text on one line with control characters escaped, as a terminal may act on them."""
    return text.translate(_CONTROLS)


def documented(name: str) -> str:
    """Return the last line of a command's help: its page of the documentation."""
    return f"Documentation: {page(name)}"


def counted(number: int, what: str) -> str:
    """Return a count such as `1 photo` or `2 photos`."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def echo(text: str, *, err: bool = False) -> None:
    """Print a line to standard output or standard error at once.

    Text that is not plain ASCII is left to click, which handles consoles and unusual encodings but takes 20 ms to
    import.
    """
    stream = sys.stderr if err else sys.stdout
    if stream is None or not text.isascii() or "\x1b" in text:
        import click

        click.echo(text, err=err)
    else:
        stream.write(text + "\n")
        stream.flush()
