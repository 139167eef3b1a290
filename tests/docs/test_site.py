"""The site of docs/: what must end its build does, and what it shows is what the code says."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
SITE = ROOT / ".ci" / "site"

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("mkdocstrings_handlers") is None, reason="the group `docs` is not installed: make docs"
)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of the project whose pages may be spoilt."""
    clone = tmp_path_factory.mktemp("clone")
    shutil.copytree(SITE, clone / ".ci" / "site", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "docs", clone / "docs")
    for name in (
        "runtime",
        "export",
        "benchmarks",
        "examples",
        "tests",
        "README.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
    ):
        (clone / name).symlink_to(ROOT / name)
    return clone


def test_each_fault_of_the_pages_ends_the_build_and_is_named(clone: Path) -> None:
    page = clone / "docs" / "engines.md"
    faults = [
        "[a dead link](no-such-page.md)",
        "[a missing anchor](fidelity.md#no-such-heading)",
        "[a file that is gone](../examples/no_such_file.py)",
        '<img src="https://example.com/far.png" alt="">',
    ]
    page.write_text(page.read_text() + "\n" + "\n\n".join(faults) + "\n")
    (clone / "docs" / "orphan.md").write_text("# An orphan\n")
    python = clone / "docs" / "reference" / "python.md"
    python.write_text(python.read_text().replace("::: edgefeat.tune\n", ""))
    done = _build(clone)
    assert done.returncode == 1
    for told in (
        "no-such-page.md",
        "no-such-heading",
        "examples/no_such_file.py",
        "from another host",
        "orphan.md",
        "edgefeat.tune has no entry",
    ):
        assert told in done.stderr, done.stderr


def test_a_public_name_without_a_docstring_is_named(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "runtime", tmp_path / "runtime", ignore=shutil.ignore_patterns("__pycache__"))
    source = tmp_path / "runtime" / "edgefeat" / "_errors.py"
    source.write_text(source.read_text().replace('    """An image cannot be read."""', "    pass"))
    reader = tmp_path / "runtime" / "edgefeat" / "_store" / "reader.py"
    reader.write_text(reader.read_text().replace('        """Close the file."""\n', ""))
    page = (ROOT / "docs" / "reference" / "python.md").read_text()
    found = hook("public_names").problems(page, (tmp_path / "runtime", ROOT / "export"))
    assert found == ["edgefeat.FeatureStore.close has no docstring", "edgefeat.PictureError has no docstring"]


def test_the_reference_has_every_command_and_option() -> None:
    import click

    commands = hook("commands")
    for program, (module, attribute) in commands.GROUPS.items():
        text = "\n".join(commands.reference(program))
        group = getattr(importlib.import_module(module), attribute)
        context = click.Context(group)
        for name in group.list_commands(context):
            assert f"## {program} {name}\n" in text
            for parameter in group.get_command(context, name).params:
                assert isinstance(parameter, click.Argument) or all(option in text for option in parameter.opts)


def hook(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"site_{name}", SITE / "hooks" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _build(clone: Path) -> subprocess.CompletedProcess[str]:
    command = ["-m", "mkdocs", "build", "--strict", "--config-file", str(clone / ".ci" / "site" / "mkdocs.yml")]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "EDGEFEAT_SITE": ""}
    return subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True, check=False)
