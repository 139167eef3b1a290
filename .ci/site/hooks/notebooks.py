"""Each tutorial is also a notebook, made from the page: its code to run, and the output that the page shows."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

FOLDER = "tutorials/"
START = "Save this notebook in the clone of edgefeat, and start Jupyter there, in the environment with edgefeat."

_BLOCK = re.compile(
    r"^(?:<!-- not run: (?P<reason>[^\n]+?) -->\n)?```(?P<language>sh|python)\n(?P<code>.*?)^```\n"
    r"(?:\n```text\n(?P<output>.*?)^```\n)?",
    re.MULTILINE | re.DOTALL,
)
_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?![a-z]+:)[^)]*\)")
_PICTURE = re.compile(r"^<!-- made: (\S+) -->\n!\[([^\]]*)\]\([^)]*\)$", re.MULTILINE)


def on_files(files: Files, config: Any) -> Files:
    """Add a notebook beside each tutorial."""
    for page in [file for file in files.documentation_pages() if file.src_uri.startswith(FOLDER)]:
        content = json.dumps(notebook(page.content_string), indent=1, ensure_ascii=False) + "\n"
        files.append(File.generated(config, _notebook_uri(page.src_uri), content=content))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """End each tutorial with a link to its notebook."""
    if not page.file.src_uri.startswith(FOLDER):
        return markdown
    return f"{markdown}\n\n[This page as a notebook]({Path(_notebook_uri(page.file.src_uri)).name}){{ download }}\n"


def notebook(text: str) -> dict[str, Any]:
    """Return a page as a notebook (nbformat 4.5)."""
    cells = _markdown(START, 0)
    end = 0
    for block in _BLOCK.finditer(text):
        cells += _markdown(text[end : block.start()], len(cells))
        end = block.end()
        if block["reason"] is not None:
            cells += _markdown(f"```{block['language']}\n{block['code']}```\n", len(cells))
            continue
        code = block["code"] if block["language"] == "python" else f"%%sh\n{block['code']}"
        printed = {"output_type": "stream", "name": "stdout", "text": _lines(block["output"] or "")}
        outputs = [printed] if block["output"] else []
        cell: dict[str, Any] = {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": outputs}
        cells.append({**cell, "id": f"cell-{len(cells)}", "source": _lines(code.removesuffix("\n"))})
    cells += _markdown(text[end:], len(cells))
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    return {"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}


def _markdown(text: str, number: int) -> list[dict[str, Any]]:
    """Return a cell of the text, if there is any. A picture is shown from the folder where it was made."""
    text = _LINK.sub(r"\1", _PICTURE.sub(r"![\2](\1)", text)).strip()
    cell = {"cell_type": "markdown", "id": f"cell-{number}", "metadata": {}, "source": _lines(text)}
    return [cell] if text else []


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def _notebook_uri(page: str) -> str:
    return page.removesuffix(".md") + ".ipynb"
