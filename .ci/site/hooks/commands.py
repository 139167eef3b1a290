"""Write every command with its options into the pages that ask for them: `<!-- commands of edgefeat -->`."""

from __future__ import annotations

import importlib
import re
import textwrap
from collections.abc import Iterator
from typing import Any

import click
from mkdocs.plugins import get_plugin_logger

#: The command groups, by the name of the program.
GROUPS = {
    "edgefeat": ("edgefeat._commands.cli.click_group", "edgefeat"),
    "edgefeat-bench": ("edgefeat_bench._commands.main", "group"),
}

_LOG = get_plugin_logger("commands")
_PLACE = re.compile(r"^<!-- commands of (\S+) -->$", re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace each such comment by the commands of that program."""
    return _PLACE.sub(lambda place: "\n".join(reference(place[1])), markdown)


def reference(program: str) -> Iterator[str]:
    """Yield the Markdown lines of the program's commands, sorted by name."""
    module, attribute = GROUPS[program]
    group: click.Group = getattr(importlib.import_module(module), attribute)
    parent = click.Context(group, info_name=program, **group.context_settings)
    for name in sorted(group.list_commands(parent)):
        command = group.get_command(parent, name)
        assert command is not None
        if "(not installed)" in (command.short_help or ""):
            _LOG.warning("%s %s is not installed: make docs needs edgefeat[all]", program, name)
            continue
        yield from _command(command, click.Context(command, info_name=name, parent=parent))


def _command(command: click.Command, context: click.Context) -> Iterator[str]:
    yield f"## {context.command_path}\n"
    yield from _text(command.help or command.short_help or "")
    usage = " ".join(command.collect_usage_pieces(context))
    yield f"```text\n{context.command_path} {usage}\n```\n"
    if not (command.help or command.short_help):
        _LOG.warning("%s has no help", context.command_path)
    yield "| option | |\n|---|---|"
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is None or isinstance(parameter, click.Argument):  # the help's sentence is about the arguments
            continue
        if not record[1]:
            _LOG.warning("%s %s has no help", context.command_path, record[0])
        yield f"| `{_cell(record[0])}` | {_escaped(_cell(record[1]))} |"
    yield ""


def _text(text: str) -> Iterator[str]:
    """Yield the help as Markdown: paragraphs that click prints as they are become code."""
    for paragraph in text.replace("\f", "").strip().split("\n\n"):
        lines = [line for line in paragraph.splitlines() if line.strip()]
        if lines and lines[0].strip() == "\b":
            body = textwrap.dedent("\n".join(lines[1:]))
            yield f"```text\n{body}\n```\n"
        else:
            yield _escaped(" ".join(line.strip() for line in lines)) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _escaped(text: str) -> str:
    """Return plain text so that Markdown shows every character of it."""
    for character, entity in (("<", "&lt;"), ("[", "&#91;"), ("*", "&#42;"), ("_", "&#95;")):
        text = "`".join(
            part if inside % 2 else part.replace(character, entity) for inside, part in enumerate(text.split("`"))
        )
    return text
