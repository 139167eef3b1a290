"""The command line: what every sub-command shares. Exit status: 0 done, 1 the work failed, 2 wrong use."""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from collections.abc import Sequence

import click

from edgefeat._errors import ArgumentError, EdgefeatError, EdgefeatWarning, MissingExtraError
from edgefeat._version import __version__

__all__ = ["main"]

ENTRY_POINTS = "edgefeat.commands"
# The device's own commands, loaded without asking for entry points: reading those costs a start 30 ms.
_DEVICE = ("bench", "convert", "duplicates", "extract", "info", "search", "tune", "verify")


class _Commands(click.Group):
    """A group that imports a sub-command only when it is wanted."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*_DEVICE, *_entry_points()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in _DEVICE:
            command: click.Command = importlib.import_module(f"edgefeat._commands.{cmd_name}").command
            return command
        point = _entry_points().get(cmd_name)
        if point is None:
            return None
        try:
            module, _, attribute = point.partition(":")
            command = getattr(importlib.import_module(module), attribute)
        except MissingExtraError as error:
            return _missing(cmd_name, error)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            allowed = ", ".join(self.list_commands(ctx))
            raise click.UsageError(f"{error.format_message()} (allowed: {allowed})", ctx) from None


def _entry_points() -> dict[str, str]:
    from importlib.metadata import entry_points

    return {point.name: point.value for point in entry_points(group=ENTRY_POINTS)}


def _missing(name: str, error: MissingExtraError) -> click.Command:
    """Stands in for a command whose extra is not installed: it only says how to get it."""

    def fail() -> None:
        raise error

    return click.Command(
        name,
        callback=fail,
        short_help=f"(not installed) {error}",
        params=[],
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
        add_help_option=False,
    )


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="edgefeat")
def edgefeat() -> None:
    """Image features of a Keras backbone, measured to match it, without TensorFlow."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and gives its exit status."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a file name that is not UTF-8 must not end the run when it is printed
            stream.reconfigure(errors="backslashreplace")
    warnings.filterwarnings("ignore", module=r"PIL\.")  # a picture is read, or named with its reason
    warnings.showwarning = _show_warning
    try:
        status = edgefeat.main(arguments and list(arguments), prog_name="edgefeat", standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("edgefeat: interrupted", err=True)
        return 130
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except EdgefeatError as error:
        click.echo(f"edgefeat: {error}", err=True)
        return 2 if isinstance(error, ArgumentError) else 1
    except SystemExit:  # click's answer to a closed pipe: `edgefeat info | head` is no failure
        _print_no_more()
        return 0
    except OSError as error:  # such as a full disk behind standard output
        click.echo(f"edgefeat: {error}", err=True)
        _print_no_more()
        return 1
    return status if isinstance(status, int) else 0


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: object = None,
    line: object = None,
) -> None:
    """Of edgefeat's own warnings the user sees the sentence; others are for its developers."""
    own = issubclass(category, EdgefeatWarning)
    text = f"edgefeat: {message}\n" if own else warnings.formatwarning(message, category, filename, lineno)
    click.echo(text, nl=False, err=True)


def _print_no_more() -> None:
    """Keeps Python from failing once more, on what is left to print, when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
