"""`edgefeat-bench`: the comparison, from the command line. Exit status: 0 done, 1 the work failed, 2 wrong use."""

from __future__ import annotations

import importlib
import signal
import sys

import click

import edgefeat
from edgefeat import ArgumentError, EdgefeatError, MissingExtraError

__all__ = ["exit_status", "main"]

_COMMANDS = ("compare", "gate", "report", "run")


class _Commands(click.Group):
    """A group that imports a sub-command only when it is wanted."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        try:
            command: click.Command = importlib.import_module(f"edgefeat_bench._commands.{cmd_name}").command
        except MissingExtraError as error:
            return _missing(cmd_name, error)
        return command


def _missing(name: str, error: MissingExtraError) -> click.Command:
    """Stands in for a command whose extra is not installed: it only says how to get it."""

    def fail() -> None:
        raise error

    return click.Command(
        name,
        callback=fail,
        short_help=f"(not installed) {error}",
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
        add_help_option=False,
    )


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(edgefeat.__version__, prog_name="edgefeat-bench")
def _group() -> None:
    """Compare edgefeat with the full TensorFlow path and with other projects, side by side in one run."""


def exit_status(command: click.Command, name: str) -> int:
    """Runs a command and gives its exit status: 0 done, 1 the work failed, 2 wrong use."""
    try:
        status = command.main(prog_name=name, standalone_mode=False)
    except click.exceptions.Abort:
        click.echo(f"{name}: interrupted", err=True)
        return 130
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except EdgefeatError as error:
        click.echo(f"{name}: {error}", err=True)
        return 2 if isinstance(error, ArgumentError) else 1
    return status if isinstance(status, int) else 0


def main() -> int:
    """Runs `edgefeat-bench` and gives its exit status.

    To be told to end is an interruption as well: a contender that is stopped meanwhile would never end by itself.
    """
    for name in ("SIGTERM", "SIGHUP"):
        told = getattr(signal, name, None)
        if told is not None and signal.getsignal(told) == signal.SIG_DFL:
            signal.signal(told, signal.default_int_handler)
    return exit_status(_group, "edgefeat-bench")


if __name__ == "__main__":
    sys.exit(main())
