"""What one photo costs beside its features: the modules that are not loaded, and command lines read without click."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

import edgefeat
from edgefeat._commands.cli import click_group
from edgefeat._commands.cli.declaration import plain_values
from edgefeat._commands.extract.command import command
from edgefeat._engines.registry import engine_named

Run = Callable[..., subprocess.CompletedProcess[str]]

# Each took more than a millisecond of a start, and none is needed for one photo.
NEEDLESS = {
    "click",
    "tqdm",
    "concurrent.futures",
    "difflib",
    "email",
    "gettext",
    "importlib.metadata",
    "multiprocessing",
    "random",
    "sqlite3",
    "tarfile",
    "tempfile",
    "uuid",
}


def loaded_by_one_photo(bundle: Path, photo: str, folder: Path, *options: str) -> set[str]:
    program = (
        "import sys\nfrom edgefeat.__main__ import main\nassert main() == 0\n"
        "print('loaded:', *{name for name in sys.modules if not name.startswith('_')})"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "extract", str(bundle), photo, *options],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
    )
    return set(done.stdout.rpartition("loaded:")[2].split())


def test_one_photo_loads_nothing_that_it_does_not_need(
    one_tap: Path, photos: list[str], tmp_path: Path, edgefeat_command: Run
) -> None:
    assert edgefeat_command("extract", one_tap, photos[0]).returncode == 0  # tries the engine, once on a device
    engine = engine_named(edgefeat.load(one_tap).engine)
    module = f"{engine.module}.interpreter" if engine.format == "tflite" else engine.module
    program = f"import sys, numpy, PIL.PngImagePlugin, {module}; print(*sys.modules)"
    bare = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    needless = NEEDLESS - set(bare.stdout.split())
    assert "click" in needless
    assert not loaded_by_one_photo(one_tap, photos[0], tmp_path, "-o", "out.npz") & needless


def test_workers_start_before_the_run_imports_more_and_it_needs_neither_numpy_nor_pillow(
    one_tap: Path, photos: list[str], tmp_path: Path
) -> None:
    program = (
        "import sys\nstarted = []\nloaded = lambda: {'numpy', 'PIL', 'sqlite3', 'zipfile'} & sys.modules.keys()\n"
        "note = lambda event, _: event == 'subprocess.Popen' and started.append(len(loaded()))\n"
        "sys.addaudithook(note)\nfrom edgefeat.__main__ import main\nassert main() == 0\n"
        "print('loaded:', started[0], *loaded())"
    )
    words = ["extract", str(one_tap), photos[0], "--into", str(tmp_path / "features.db")]
    done = subprocess.run([sys.executable, "-c", program, *words], check=True, capture_output=True, text=True)
    assert done.stdout.rpartition("loaded:")[2].split() == ["0", "sqlite3"]


def by_click(words: list[str]) -> dict[str, Any] | None:
    """The values that click makes of them; None where it refuses them or answers itself."""
    made = click_group.edgefeat.get_command(click.Context(click_group.edgefeat), "extract")
    assert made is not None
    seen: list[dict[str, Any]] = []
    made.callback = lambda **values: seen.append(values)
    CliRunner().invoke(made, words)
    return seen[0] if seen else None


PLAIN = [
    "b a.jpg",
    "b a.jpg c.jpg -o out.npz",
    "-o out.npz b a.jpg",
    "b -o out.npz a.jpg --output other.npz",
    "b a.jpg --output=a=b.npz",
    "b a.jpg -o --json",
    "b a.jpg --json --exact --threads 2 --variant tflite-int8 --engine litert",
    "b a.jpg --threads=02 --max-pixels 1000",
    "b - -0",
    "b --null --from-file x --from-file - a.jpg",
    "b",
    "b -- -o a.jpg -- --json",
    "b a.jpg --truncated accept",
    "b in --into f.db --precision int8 --workers 3 --retry-failed --check --worker-memory 50",
]
NOT_PLAIN = [
    "",
    "-h",
    "b a.jpg --help",
    "b a.jpg -oout.npz",
    "b a.jpg -0o out.npz",
    "b a.jpg -o",
    "b a.jpg -o=out.npz",
    "b a.jpg --output=",
    "b a.jpg --outpu out.npz",
    "b a.jpg --json=yes",
    "b a.jpg --threads 0",
    "b a.jpg --threads +2",
    "b a.jpg --threads two",
    "b a.jpg --threads 1_0",
    "b a.jpg --threads ٣",
    "b a.jpg --worker-memory 49",
    "b a.jpg --truncated ACCEPT",
    "b a.jpg --truncated maybe",
    "b a.jpg --least-share 0.5",
    "b a.jpg --pause-when-hot",
    "b a.jpg --colour red",
    "b a.jpg -x",
]


@pytest.mark.parametrize("line", PLAIN)
def test_plain_words_mean_what_click_makes_of_them(line: str) -> None:
    values = plain_values(command, line.split())
    assert values is not None
    assert values == by_click(line.split())


@pytest.mark.parametrize("line", NOT_PLAIN)
def test_what_click_refuses_answers_or_reads_in_its_own_way_is_left_to_it(line: str) -> None:
    assert plain_values(command, line.split()) is None


@pytest.mark.parametrize("place", [1, 2, 4])
def test_empty_words_are_left_to_click(place: int) -> None:
    words = ["b", "a.jpg", "-o", "out.npz", "c.jpg"]
    words[place - 1 if place < 4 else 3] = ""
    assert plain_values(command, words) is None


def test_a_path_that_may_not_be_read_is_left_to_click(monkeypatch: pytest.MonkeyPatch, photos: list[str]) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may read everything
    for words in (["b", photos[0]], [photos[0], "a.jpg"], ["b", "a.jpg", "-o", photos[0]]):
        assert plain_values(command, words) is None
        assert by_click(words) is None
    assert plain_values(command, ["b", "a.jpg"]) is not None


def test_completion_in_the_shell_is_left_to_click(edgefeat_command: Run) -> None:
    environment = {**os.environ, "_EDGEFEAT_COMPLETE": "zsh_source"}
    done = edgefeat_command("extract", "b", "a.jpg", env=environment)
    assert "_EDGEFEAT_COMPLETE=zsh_complete" in done.stdout


def test_both_ways_of_reading_end_alike(edgefeat_command: Run, one_tap: Path, photos: list[str]) -> None:
    plain = edgefeat_command("extract", one_tap, photos[0], "-o", "out.npz")
    by_way_of_click = edgefeat_command("extract", one_tap, photos[0], "-oout.npz")
    assert (plain.returncode, plain.stdout, plain.stderr) == (0, by_way_of_click.stdout, by_way_of_click.stderr)
    plain = edgefeat_command("extract", "gone", photos[0], "-o", "out.npz")
    by_way_of_click = edgefeat_command("extract", "gone", photos[0], "-oout.npz")
    assert (plain.returncode, plain.stdout, plain.stderr) == (1, by_way_of_click.stdout, by_way_of_click.stderr)
