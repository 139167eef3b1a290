"""Options and commands declared as data, converted to click's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from edgefeat._commands.cli.declaration import DeclaredCommand, Option

__all__ = ["add_option", "click_command", "given"]

F = TypeVar("F", bound=Callable[..., Any])


def click_command(declared: DeclaredCommand) -> click.Command:
    command = click.command(declared.name, short_help=declared.short_help, epilog=declared.epilog)(declared.run)
    command.params = [
        click.Argument(["bundle"], type=click.Path()),
        click.Argument(["paths"], nargs=-1, type=click.Path(), metavar="PATH..."),
        *(_click_option(option) for option in declared.options),
    ]
    return command


def add_option(command: F, option: Option) -> F:
    """Add an option that is declared as data to a click command."""
    arguments, more = _for_click(option)
    return click.option(*arguments, **more)(command)


def given(*parameters: str) -> list[str]:
    """Return those of the running command's options that the user gave, as `--name`: a default does not count."""
    context = click.get_current_context()
    return [
        f"--{name.replace('_', '-')}"
        for name in parameters
        if context.get_parameter_source(name) is not ParameterSource.DEFAULT
    ]


def _click_option(option: Option) -> click.Option:
    arguments, more = _for_click(option)
    return click.Option(arguments, **more)


def _for_click(option: Option) -> tuple[list[str], dict[str, Any]]:
    more: dict[str, Any] = {}
    if option.flag_value is not None:
        more = {"is_flag": False, "flag_value": option.flag_value}
    if option.default is not None:
        more |= {"default": option.default, "show_default": True}
    if option.takes == "flag":
        more["is_flag"] = True
    else:
        more["type"] = _TYPES[option.takes](option)
    more |= {"metavar": option.metavar, "multiple": option.multiple, "help": option.help}
    return [*option.names, option.parameter], more


_TYPES: dict[str, Callable[[Option], click.ParamType[Any]]] = {
    "text": lambda _: click.STRING,
    "path": lambda _: click.Path(),
    "whole": lambda option: click.IntRange(min=None if option.least is None else int(option.least)),
    "number": lambda option: click.FloatRange(option.least, option.most, min_open=option.above),
    "word": lambda option: click.Choice(option.words),
}
