r"""Pages are written for the repository's host, whose Markdown differs a little; and the site asks no other host.

In a table the host wants `a\|b` inside code, where the site's Markdown would show the backslash.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.plugins import get_plugin_logger
from mkdocs.structure.files import File, Files

STYLE = "assets/extra.css"
LAST = ("benchmarks/", "platforms.md", "repository/")

_LOG = get_plugin_logger("plain_pages")
_CODE = re.compile(r"`[^`\n]+`")
# What a browser fetches by itself when it shows a page. A link to follow is none of these.
_FETCHED = re.compile(
    r"""<(?:script|img|source|iframe|video|audio)\b[^>]*?\bsrc(?:set)?=["']?(?:https?:)?//"""
    r"""|<link\b(?![^>]*\brel=["']?canonical)[^>]*?\bhref=["']?(?:https?:)?//(?![^>]*\brel=["']?canonical)"""
    r"""|url\(["']?(?:https?:)?//|@import\s+["'](?:https?:)?//""",
    re.IGNORECASE,
)


def on_files(files: Files, config: Any) -> Files:
    """Add the style sheet: it is no page, so it does not lie in docs/."""
    files.append(File.generated(config, STYLE, abs_src_path=str(Path(__file__).parents[1] / "extra.css")))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Take the backslash from `a\\|b` in the rows of tables, and let the search find long tables and sources last."""
    if page.file.src_uri.startswith(LAST):
        page.meta.setdefault("search", {"boost": 0.1})
    return "\n".join(_row(line) if line.startswith("|") else line for line in markdown.split("\n"))


def on_post_build(config: Any) -> None:
    """Warn of every file of the site that makes a browser ask another host."""
    for problem in foreign_requests(Path(config.site_dir)):
        _LOG.warning("%s", problem)


def foreign_requests(site: Path) -> Iterator[str]:
    """Yield a sentence for each file that makes a browser ask another host."""
    for path in sorted(site.rglob("*")):
        if path.suffix in (".html", ".css"):
            for found in _FETCHED.finditer(path.read_text(encoding="utf-8")):
                yield f"{path.relative_to(site)} loads something from another host: {found[0]}"


def _row(line: str) -> str:
    return _CODE.sub(lambda code: code[0].replace("\\|", "|"), line)
