"""The entry point of the command line. Exit status: 0 done, 1 the work failed, 2 wrong use."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence

from edgefeat._commands.cli.declaration import DeclaredCommand, plain_values
from edgefeat._commands.cli.terminal import discard_output, echo, printable, told
from edgefeat._errors import ArgumentError, EdgefeatError, EdgefeatWarning

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # printing a file name that is not UTF-8 must not fail
            stream.reconfigure(errors="backslashreplace")
    warnings.filterwarnings("ignore", module=r"PIL\.")  # an image is either read, or reported with a reason
    warnings.showwarning = _show_warning
    try:
        return _run(arguments)
    except (EOFError, KeyboardInterrupt):
        echo("", err=True)  # on the line below the ^C
        echo("edgefeat: interrupted", err=True)
        return 130
    except EdgefeatError as error:
        echo(f"edgefeat: {told(error)}", err=True)
        return 2 if isinstance(error, ArgumentError) else 1
    except BrokenPipeError:  # `edgefeat info | head` is not a failure
        discard_output()
        return 0
    except OSError as error:  # such as a full disk behind standard output
        echo(f"edgefeat: {printable(str(error))}", err=True)
        discard_output()
        return 1


def _run(arguments: Sequence[str] | None) -> int:
    """Run simple command lines without click, whose import takes longer than decoding a photo."""
    words = sys.argv[1:] if arguments is None else arguments
    if words and words[0] == "extract":
        from edgefeat._commands.extract.command import command

        if (values := _plain(command, words[1:], given=arguments is not None)) is not None:
            return command.run(**values)
    from edgefeat._commands.cli.click_group import run

    return run(arguments)


def _plain(command: DeclaredCommand, words: Sequence[str], *, given: bool) -> dict[str, object] | None:
    if "_EDGEFEAT_COMPLETE" in os.environ or (os.name == "nt" and not given):  # click expands patterns on Windows
        return None
    return plain_values(command, words)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: object = None,
    line: object = None,
) -> None:
    """Print only the message of edgefeat's own warnings; show others in full."""
    own = issubclass(category, EdgefeatWarning)
    text = f"edgefeat: {message}" if own else warnings.formatwarning(message, category, filename, lineno)
    echo(text.removesuffix("\n"), err=True)
