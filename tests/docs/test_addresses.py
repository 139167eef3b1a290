"""Help and errors name a page of the documentation that exists."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import edgefeat
from edgefeat import _version
from edgefeat._commands.cli.click_group import edgefeat as edgefeat_group
from edgefeat._version import page
from edgefeat_bench._commands.main import group as bench

_ROOT = Path(__file__).parents[2]


def _errors(base: type[edgefeat.EdgefeatError]) -> Iterator[type[edgefeat.EdgefeatError]]:
    yield base
    for kind in base.__subclasses__():
        yield from _errors(kind)


@pytest.mark.parametrize("kind", list(_errors(edgefeat.EdgefeatError)), ids=lambda kind: kind.__name__)
def test_the_page_of_an_error_exists(kind: type[edgefeat.EdgefeatError]) -> None:
    assert (_ROOT / page(kind.page)).is_file()


@pytest.mark.parametrize("group", [edgefeat_group, bench], ids=["edgefeat", "edgefeat-bench"])
def test_every_command_names_its_page(group: click.Group) -> None:
    context = click.Context(group)
    names = group.list_commands(context)
    assert {"export", "extract", "serve"} <= set(names) or {"compare", "run"} <= set(names)
    commands = {name: group.get_command(context, name) for name in names}
    for name, command in {**commands, "": group}.items():
        assert command is not None
        words, _, place = (command.epilog or "").partition(": ")
        assert words == "Documentation", name
        assert (_ROOT / place).is_file(), name


def test_help_and_a_failure_end_with_the_page(tmp_path: Path) -> None:
    for arguments, stream, end in (
        (["--help"], "stdout", "Documentation: docs/README.md\n"),
        (["verify", "--help"], "stdout", "Documentation: docs/fidelity.md\n"),
        (["verify", "missing"], "stderr", "\n  see docs/bundle.md\n"),
    ):
        command = [sys.executable, "-m", "edgefeat", *arguments]
        done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
        assert getattr(done, stream).endswith(end)


def test_a_published_page_has_the_address_that_the_site_gives_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_version, "DOCUMENTATION", "https://example.org/edgefeat")
    assert page("bundle") == "https://example.org/edgefeat/bundle/"
    assert page("benchmarks/README") == "https://example.org/edgefeat/benchmarks/"
    assert page("README") == "https://example.org/edgefeat/"
