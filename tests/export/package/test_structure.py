"""The folders of the export: how many entries each has, what they are called; import-linter holds who imports whom."""

from __future__ import annotations

from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[3] / "export" / "edgefeat_export"
FOLDERS = [PACKAGE, *sorted(path for path in PACKAGE.rglob("*") if path.is_dir() and path.name != "__pycache__")]
UNCOUNTED = {"__init__.py", "__pycache__", "py.typed"}


def name(folder: Path) -> str:
    """A folder's path below the package's parent."""
    return folder.relative_to(PACKAGE.parent).as_posix()


@pytest.mark.parametrize("folder", FOLDERS, ids=name)
def test_a_folder_has_at_most_a_dozen_entries(folder: Path) -> None:
    assert len({path.name for path in folder.iterdir()} - UNCOUNTED) <= 12


@pytest.mark.parametrize("folder", FOLDERS, ids=name)
def test_a_folder_is_a_package_that_says_what_it_holds(folder: Path) -> None:
    assert (folder / "__init__.py").read_text(encoding="utf-8").startswith('"""')


def test_only_the_top_level_marks_names_as_private() -> None:
    inside = [path for folder in FOLDERS[1:] for path in folder.glob("_*") if path.name not in UNCOUNTED]
    assert inside == []
