"""A griffe extension: docstrings as edgefeat writes them, as Markdown."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import griffe

_ENTRY = re.compile(r"^(\w+): ")


class Docstrings(griffe.Extension):
    """Turn `name: what it is` lines into a list, and a `#:` comment above an attribute into its docstring.

    Attributes without a docstring are left out, except the fields of records: the record's docstring is about them.
    """

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        _prepare(pkg)


def _prepare(obj: griffe.Object) -> None:
    for name, member in list(obj.members.items()):
        if member.is_alias:
            continue
        assert isinstance(member, griffe.Object)
        if member.is_attribute and member.docstring is None and (comment := _comment_above(member)):
            member.docstring = griffe.Docstring(comment, parent=member)
        if member.docstring is not None:
            member.docstring.value = with_lists(member.docstring.value)
        elif obj.is_class and member.is_attribute and "dataclass" not in obj.labels:
            obj.del_member(name)
            continue
        _prepare(member)


def with_lists(text: str) -> str:
    """Return the text with each paragraph of `name: what it is` lines as a Markdown list."""
    return "\n\n".join(_as_list(paragraph) for paragraph in text.split("\n\n"))


def _as_list(paragraph: str) -> str:
    lines = paragraph.splitlines()
    if not lines or not all(line.startswith("    ") or _ENTRY.match(line) for line in lines):
        return paragraph
    if not any(_ENTRY.match(line) for line in lines):
        return paragraph
    return "\n".join(_ENTRY.sub(r"- `\1`: ", line) for line in lines)


def _comment_above(obj: griffe.Object) -> str:
    """Return the `#:` comment that ends on the line above the attribute, or nothing."""
    lines = obj.lines_collection[obj.filepath] if isinstance(obj.filepath, Path) else []
    end = (obj.lineno or 1) - 1
    start = end
    while start and lines[start - 1].startswith("#"):
        start -= 1
    comment = lines[start:end]
    return " ".join(line.lstrip("#: ") for line in comment) if comment and comment[0].startswith("#:") else ""
