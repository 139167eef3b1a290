"""The command line with click: a group that imports each command when it is used."""

from __future__ import annotations

import errno
import importlib
from collections.abc import Sequence

import click

from edgefeat._commands.cli.click_options import click_command
from edgefeat._commands.cli.declaration import DeclaredCommand
from edgefeat._commands.cli.terminal import documented
from edgefeat._commands.registry import DEVICE, ENTRY_POINTS, OWN, WORKSTATION
from edgefeat._errors import MissingExtraError
from edgefeat._version import __version__

__all__ = ["missing_command", "run"]


class _Commands(click.Group):
    """A group that imports a command only when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*OWN, *_entry_points()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in OWN:
            command = importlib.import_module(f"edgefeat._commands.{OWN[cmd_name]}").command
            return click_command(command) if isinstance(command, DeclaredCommand) else command
        point = _entry_points().get(cmd_name)
        if point is None:
            return None
        try:
            module, _, attribute = point.partition(":")
            found: click.Command = getattr(importlib.import_module(module), attribute)
        except MissingExtraError as error:
            return missing_command(cmd_name, error)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write two lists of commands: the workstation's, most of which come by entry point, and the device's."""
        for title, names in (
            ("On the workstation", [*sorted(_entry_points().keys() - OWN.keys()), *WORKSTATION]),
            ("On the device", DEVICE),
        ):
            found = [(name, command) for name in names if (command := self.get_command(ctx, name)) is not None]
            if found:
                with formatter.section(title):
                    formatter.write_dl([(name, _summary(command)) for name, command in found])

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


def _summary(command: click.Command) -> str:
    """Return the command's short help or the first sentence of its help, in full: click would cut it off."""
    if command.short_help:
        return command.short_help.strip().rstrip(".")
    first = (command.help or "").split("\n\n")[0]
    return " ".join(first.split()).split(". ")[0].rstrip(".")


def missing_command(name: str, error: MissingExtraError) -> click.Command:
    """Return a stand-in for a command that lacks a package: it only says how to install it."""

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


@click.group(
    cls=_Commands,
    epilog=documented("README"),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="edgefeat")
def edgefeat() -> None:
    """Image features from a Keras backbone, checked against Keras, extracted without TensorFlow.

    \b
    Example:
      edgefeat export mobilenet_v2 -o mobilenet_v2.edgefeat
      edgefeat extract mobilenet_v2.edgefeat photos/ -o features.npz
    """


def run(arguments: Sequence[str] | None) -> int:
    """Run the command line, by default the process's. Raises BrokenPipeError if the reader has left."""
    try:
        status = edgefeat.main(arguments and list(arguments), prog_name="edgefeat", standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("edgefeat: interrupted", err=True)
        return 130
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except SystemExit:  # click's response to a closed pipe
        raise BrokenPipeError(errno.EPIPE, "the reader has left") from None
    return status if isinstance(status, int) else 0
