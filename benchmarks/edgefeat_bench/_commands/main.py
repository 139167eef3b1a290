"""`edgefeat-bench`. Exit status: 0 done, 1 the work failed, 2 wrong use."""

from __future__ import annotations

import importlib
import signal
import sys

import click

import edgefeat
from edgefeat import ArgumentError, EdgefeatError, MissingExtraError
from edgefeat._commands.cli.click_group import missing_command
from edgefeat._commands.cli.terminal import documented, told

_COMMANDS = ("compare", "gate", "report", "run")
#: The packages of the extra `bench`, by the name they are imported under.
_PACKAGES = {"sklearn": "scikit-learn", **{name: name for name in ("jinja2", "matplotlib", "psutil", "scipy")}}


class _Commands(click.Group):
    """A group that imports a sub-command only if it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        try:
            command: click.Command = importlib.import_module(f"edgefeat_bench._commands.{cmd_name}").command
        except ModuleNotFoundError as error:
            return missing_command(cmd_name, _missing_package(error))
        return command


def _missing_package(error: ModuleNotFoundError) -> MissingExtraError:
    """Return the error that names the package to install. Raises `error` if it is none of the extra `bench`."""
    package = _PACKAGES.get((error.name or "").partition(".")[0])
    if package is None:
        raise error
    return MissingExtraError(f"{package} is not installed; install it with: pip install {package}")


@click.group(
    cls=_Commands,
    epilog=documented("benchmarks/README"),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(edgefeat.__version__, prog_name="edgefeat-bench")
def group() -> None:
    """Compare edgefeat with TensorFlow and other projects, side by side in one run.

    \b
    Example: edgefeat-bench run mobilenet_v2 ~/Pictures
    """


def exit_status(command: click.Command, name: str) -> int:
    """Run a command and return its exit status."""
    try:
        status = command.main(prog_name=name, standalone_mode=False)
    except click.exceptions.Abort:
        click.echo(f"{name}: interrupted", err=True)
        return 130
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except ModuleNotFoundError as error:
        click.echo(f"{name}: {told(_missing_package(error))}", err=True)
        return 1
    except EdgefeatError as error:
        click.echo(f"{name}: {told(error)}", err=True)
        return 2 if isinstance(error, ArgumentError) else 1
    except OSError as error:  # a folder that may not be written, a full disk
        click.echo(f"{name}: {error.filename or 'a file'} cannot be used: {error.strerror or error}", err=True)
        return 1
    return status if isinstance(status, int) else 0


def main() -> int:
    """Run `edgefeat-bench` and return its exit status.

    SIGTERM and SIGHUP interrupt it as Ctrl-C does: otherwise contenders that are stopped meanwhile would never end.
    """
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)
    return exit_status(group, "edgefeat-bench")


if __name__ == "__main__":
    sys.exit(main())
