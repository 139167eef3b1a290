"""Files outside docs/ that pages link to become pages of the site, so that the links work there too.

In a plain view of a page the same link opens the file itself.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.plugins import get_plugin_logger
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[3]
PREFIX = "repository"
# README.md of these folders is index.html in the site, so the report of that name needs another one.
REPORTS = sorted(
    page.parent.relative_to(ROOT / "docs").as_posix() for page in ROOT.glob("docs/benchmarks/**/index.html")
)

_LOG = get_plugin_logger("repository_files")
_LINK = re.compile(r"(\]\()([^)\s#]+)(#[^)\s]*)?(\))")
_LANGUAGES = {".py": "python", ".kt": "kotlin", ".swift": "swift", ".js": "javascript", ".html": "html", ".css": "css"}


def on_files(files: Files, config: Any) -> Files:
    """Add a page for each linked file or folder, and keep a folder's own page apart from its README."""
    for source in [file for file in files if file.is_documentation_page()]:
        _add_linked(source.src_uri, source.content_string, files, config)
    for folder in REPORTS:
        path = str(ROOT / "docs" / folder / "index.html")
        files.append(File.generated(config, f"{folder}/report.html", abs_src_path=path))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Point links that leave docs/ to those pages."""
    if page.file.src_uri in {f"{folder}/README.md" for folder in REPORTS}:
        markdown = markdown.replace("(index.html)", "(report.html)")
    return _LINK.sub(lambda link: _site_link(link, page.file.src_uri), markdown)


def _add_linked(page: str, text: str, files: Files, config: Any) -> None:
    for link in _LINK.finditer(text):
        target = _outside(link[2], page)
        if target is None:
            continue
        uri = _page_of(target)
        if files.get_file_from_path(uri) is not None:
            continue
        path = ROOT / target
        if not path.exists():
            _LOG.warning("%s links to %s, which does not exist", page, link[2])
            continue
        content = path.read_text(encoding="utf-8") if path.suffix == ".md" else _listing(path)
        files.append(File.generated(config, uri, content=content))
        if path.suffix == ".md":
            _add_linked(uri, content, files, config)


def _outside(link: str, page: str) -> str | None:
    """Return the path in the repository of a link that leaves docs/, or None."""
    if ":" in link or link.startswith("/"):
        return None
    if page.startswith(f"{PREFIX}/"):  # it stands in for a file beside docs/
        path = posixpath.normpath(posixpath.join(posixpath.dirname(page.removeprefix(f"{PREFIX}/")), link))
        return None if path == "docs" or path.startswith("docs/") else path
    path = posixpath.normpath(posixpath.join("docs", posixpath.dirname(page), link))
    return None if path == "docs" or path.startswith("docs/") else path


def _page_of(target: str) -> str:
    return f"{PREFIX}/{target}" if target.endswith(".md") else f"{PREFIX}/{target}.md"


def _site_link(link: re.Match[str], page: str) -> str:
    target = _outside(link[2], page)
    if target is not None:
        uri = _page_of(target)
    elif page.startswith(f"{PREFIX}/") and ":" not in link[2]:
        beside = posixpath.join(posixpath.dirname(page.removeprefix(f"{PREFIX}/")), link[2])
        uri = posixpath.normpath(beside).removeprefix("docs/")
    else:
        return link[0]
    return f"{link[1]}{posixpath.relpath(uri, posixpath.dirname(page) or '.')}{link[3] or ''}{link[4]}"


def _listing(path: Path) -> str:
    """Return a page that shows a file, or the sources of a folder."""
    title = path.relative_to(ROOT).as_posix()
    if path.is_file():
        return f"# {title}\n\n{_block(path)}"
    sources = [one for one in sorted(path.iterdir()) if one.suffix in _LANGUAGES]
    return f"# {title}\n\n" + "\n".join(f"## {one.name}\n\n{_block(one)}" for one in sources)


def _block(path: Path) -> str:
    return f"`````{_LANGUAGES.get(path.suffix, 'text')}\n{path.read_text(encoding='utf-8')}\n`````\n"
