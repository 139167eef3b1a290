"""Options as data: converted to click's, or used to parse simple command lines without importing click."""

# No `annotations` from __future__: every record would have to compile its own at start-up.
import os
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

__all__ = ["DeclaredCommand", "Option", "plain_values"]


class Option(NamedTuple):
    """A command-line option. Its value is passed as `parameter`; None, or False for a flag, if it is not given.

    Numbers are from `least` (excluded with `above`) to `most`; a word is one of `words`. `flag_value` is used when no
    value follows. With `multiple` the option may be given several times.
    """

    parameter: str
    names: tuple[str, ...]
    help: str
    takes: Literal["flag", "text", "path", "whole", "number", "word"] = "text"
    metavar: str | None = None
    default: str | None = None
    multiple: bool = False
    least: float | None = None
    above: bool = False
    most: float | None = None
    words: tuple[str, ...] = ()
    flag_value: float | None = None


class DeclaredCommand(NamedTuple):
    """A command with a BUNDLE, any number of PATHs and options, as data. `run` is called with them by name."""

    name: str
    short_help: str
    epilog: str
    run: Callable[..., int]
    options: tuple[Option, ...]


def plain_values(command: DeclaredCommand, words: Sequence[str]) -> dict[str, object] | None:
    """Return the values for the words after the command's name as click would, or None if they are not simple.

    Not simple are command lines that click rejects, answers itself or parses in a special way: help, `-oFILE`, numbers
    that are not integers, a file that may not be read.
    """
    options = {name: option for option in command.options for name in option.names}
    values: dict[str, Any] = {
        option.parameter: [] if option.multiple else False if option.takes == "flag" else option.default
        for option in command.options
    }
    paths: list[str] = []
    rest = iter(words)
    for word in rest:
        if word == "--":
            paths += rest
            break
        if not word.startswith("-") or word == "-":
            paths.append(word)
            continue
        name, equals, value = word.partition("=")
        option = options.get(name)
        if option is None or (equals and (option.takes == "flag" or not name.startswith("--"))):
            return None
        read = True if option.takes == "flag" else _plain_value(option, value if equals else next(rest, ""))
        if read is None:
            return None
        if option.multiple:
            values[option.parameter].append(read)
        else:
            values[option.parameter] = read
    if not paths or not all(_is_plain_path(path) for path in paths):
        return None
    values |= {option.parameter: tuple(values[option.parameter]) for option in command.options if option.multiple}
    return {"bundle": paths[0], "paths": tuple(paths[1:]), **values}


def _plain_value(option: Option, value: str) -> str | int | None:
    if option.takes == "path":
        return value if _is_plain_path(value) else None
    if option.takes == "whole":
        is_number = value.isascii() and value.isdigit() and len(value) < 19
        return int(value) if is_number and int(value) >= (option.least or 0) else None
    if option.takes == "word":
        return value if value in option.words else None
    return value if option.takes == "text" and value else None


def _is_plain_path(path: str) -> bool:
    return bool(path) and (os.access(path, os.R_OK) or not os.path.exists(path))
