"""docs/reference/errors.md quotes messages that the code really has."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.docs.python_blocks import ROOT

_QUOTED = re.compile(r"^\| (`.+`) \| ", re.MULTILINE)


def test_every_message_on_the_page_is_one_of_the_code() -> None:
    said = _messages()
    page = (ROOT / "docs" / "reference" / "errors.md").read_text(encoding="utf-8")
    rows = [row[1:-1] for row in _QUOTED.findall(page)]
    assert len(rows) > 50
    unknown = [row for row in rows if not any(_as_pattern(row).search(message) for message in said)]
    assert not unknown


def test_every_class_of_error_has_a_place_on_the_page() -> None:
    from edgefeat import _errors

    page = (ROOT / "docs" / "reference" / "errors.md").read_text(encoding="utf-8")
    assert [name for name in _errors.__all__ if name.endswith("Error") and name not in page] == []


def _as_pattern(row: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part.strip()) for part in row.split("…")), re.DOTALL)


def _messages() -> list[str]:
    """Return every text of the sources, with `{}` for what is put in."""
    found = []
    for path in [*Path(ROOT / "runtime").rglob("*.py"), *Path(ROOT / "export").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                found.append(
                    "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
                )
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return found
