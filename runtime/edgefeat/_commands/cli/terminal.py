"""Text on the terminal: lines, counts, and safe display of file names."""

from __future__ import annotations

import os
import sys

from edgefeat._errors import EdgefeatError
from edgefeat._version import page

__all__ = ["counted", "discard_output", "documented", "echo", "printable", "reason", "told"]

_SEE = "  see "
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}


def printable(text: str) -> str:
    """Return the text on one line with control characters escaped, as a terminal may act on them."""
    return text.translate(_CONTROLS)


def documented(name: str) -> str:
    """Return the last line of a command's help: its page of the documentation."""
    return f"Documentation: {page(name)}"


def told(error: EdgefeatError) -> str:
    """Return what a command prints of an error: its message on one line, and on a second the page that helps."""
    return f"{printable(str(error))}\n{_SEE}{page(error.page)}"


def reason(said: str) -> str:
    """Return the last line of what a command printed that is not empty and does not only name a page; '' if none."""
    lines = [line for line in said.splitlines() if line.strip() and not line.startswith(_SEE)]
    return lines[-1].strip() if lines else ""


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


def discard_output() -> None:
    """Discard further output, which nobody reads any more, so that Python does not fail again when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
