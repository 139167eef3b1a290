"""Every public name of the packages has a docstring and an entry in reference/python.md: else the build warns."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import griffe
from mkdocs.plugins import get_plugin_logger

ROOT = Path(__file__).resolve().parents[3]
PAGE = "reference/python.md"
MODULES = ("edgefeat", "edgefeat.sklearn", "edgefeat.ray", "edgefeat_export")

_LOG = get_plugin_logger("public_names")
_ENTRY = re.compile(r"^::: (\S+)$", re.MULTILINE)


def on_page_markdown(markdown: str, page: Any, **_: Any) -> None:
    """Warn of each public name without an entry on the page, and without a docstring."""
    if page.file.src_uri != PAGE:
        return
    for problem in problems(markdown):
        _LOG.warning("%s", problem)


def problems(markdown: str, search_paths: tuple[Path, ...] = (ROOT / "runtime", ROOT / "export")) -> list[str]:
    """Return a sentence for each public name that lacks an entry in the page or a docstring."""
    loader = griffe.GriffeLoader(search_paths=search_paths)
    for package in {module.partition(".")[0] for module in MODULES}:
        loader.load(package)
    loader.resolve_aliases(implicit=True, external=False)
    entries = set(_ENTRY.findall(markdown))
    found = []
    for module in MODULES:
        for name in loader.modules_collection[module].exports or ():
            path = f"{module}.{name}"
            if name.startswith("__"):
                continue
            if path not in entries:
                found.append(f"{path} has no entry in docs/{PAGE}: add the line '::: {path}'")
            found += [f"{what} has no docstring" for what in _undocumented(path, loader.modules_collection[path])]
    return found


def _undocumented(path: str, found: griffe.Object | griffe.Alias) -> Iterator[str]:
    """Yield the path if it has no docstring, and those of its public methods. A record's class documents its fields."""
    documented = found.has_docstring or (found.is_attribute and _is_commented(found))
    if not documented:
        yield path
    if found.is_class:
        for name, member in found.members.items():
            is_field = member.is_attribute and "property" not in member.labels
            if not name.startswith("_") and not is_field and not member.has_docstring:
                yield f"{path}.{name}"


def _is_commented(found: griffe.Object | griffe.Alias) -> bool:
    """Return whether a `#:` comment stands above the attribute."""
    lines = found.filepath.read_text(encoding="utf-8").splitlines() if isinstance(found.filepath, Path) else []
    above = (found.lineno or 1) - 2
    while above >= 0 and lines[above].startswith("# "):
        above -= 1
    return above >= 0 and lines[above].startswith("#:")
