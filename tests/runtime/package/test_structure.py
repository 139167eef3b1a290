"""The folders of the runtime: how many entries each has, what they are called, and which may import which."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

import edgefeat

ROOT = Path(__file__).parents[3]
PACKAGE = Path(edgefeat.__file__).parent
FOLDERS = [PACKAGE, *sorted(path for path in PACKAGE.rglob("*") if path.is_dir() and path.name != "__pycache__")]
UNCOUNTED = {"__init__.py", "__main__.py", "__pycache__", "py.typed"}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.relative_to(PACKAGE.parent).as_posix())
def test_a_folder_has_at_most_a_dozen_entries(folder: Path) -> None:
    assert len({path.name for path in folder.iterdir()} - UNCOUNTED) <= 12


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.relative_to(PACKAGE.parent).as_posix())
def test_a_folder_is_a_package_that_says_what_it_holds(folder: Path) -> None:
    assert (folder / "__init__.py").read_text(encoding="utf-8").startswith('"""')


def test_only_the_top_level_marks_names_as_private() -> None:
    inside = [path for folder in FOLDERS[1:] for path in folder.glob("_*") if path.name not in UNCOUNTED]
    assert inside == []


def test_the_packages_import_each_other_as_the_contracts_allow() -> None:
    if importlib.util.find_spec("importlinter") is None:
        pytest.skip("import-linter is not installed: it checks the contracts in the developers' environment")
    # In a process of its own: it leaves closed streams behind, which pytest cannot capture.
    lint = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True, no_logo=True))"
    done = subprocess.run([sys.executable, "-c", lint], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
