"""A griffe extension: docstrings as edgefeat writes them, as Markdown."""

from __future__ import annotations

import re
from typing import Any

import griffe

_ENTRY = re.compile(r"^(\w+): ")


class Docstrings(griffe.Extension):
    """Turn `name: what it is` lines into a list, and a `#:` comment above an attribute into its docstring."""

    def on_object(self, *, obj: griffe.Object, loader: griffe.GriffeLoader, **_: Any) -> None:
        if obj.is_alias:
            return
        if obj.is_attribute and obj.docstring is None and (comment := _comment_above(obj)):
            obj.docstring = griffe.Docstring(comment, parent=obj)
        if obj.docstring is not None:
            obj.docstring.value = with_lists(obj.docstring.value)


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
    lines = obj.lines_collection[obj.filepath] if isinstance(obj.filepath, type(obj.filepath)) else []
    end = (obj.lineno or 1) - 1
    start = end
    while start and lines[start - 1].startswith("#"):
        start -= 1
    comment = lines[start:end]
    return " ".join(line.lstrip("#: ") for line in comment) if comment and comment[0].startswith("#:") else ""
