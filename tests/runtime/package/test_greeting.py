"""Standard error has what edgefeat says, and not what an engine greets with; what else is printed is passed on."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgefeat._engines.engine import Engine

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.parametrize("option", [[], ["--json"]])
def test_a_command_prints_nothing_that_is_not_its_own(
    edgefeat_command: Run, engine: Engine, one_tap: Path, photos: list[str], option: list[str]
) -> None:
    done = edgefeat_command("extract", one_tap, photos[0], "--engine", engine.name, *option)
    assert done.returncode == 0
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 1


def run(code: str, **options: object) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-c",
        "import os, sys, threading\nfrom edgefeat._engines.adapters import greeting\n" + code,
    ]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60, **options)  # type: ignore[call-overload, no-any-return]


GREETING = "INFO: Created TensorFlow Lite XNNPACK delegate for CPU."


def test_what_else_is_printed_is_passed_on_in_order() -> None:
    done = run(
        f"with greeting.without_greeting(): os.write(2, b'before\\n{GREETING}\\nERROR: after\\nno end')\n"
        "os.write(2, b'; later')"
    )
    assert done.stderr == "before\nERROR: after\nno end; later"


def test_it_is_passed_on_where_the_engine_fails() -> None:
    done = run("with greeting.without_greeting():\n    os.write(2, b'ERROR: no memory\\n')\n    raise SystemExit(3)")
    assert (done.returncode, done.stderr) == (3, "ERROR: no memory\n")


def test_what_other_threads_print_meanwhile_is_not_lost_and_no_descriptor_is_left_open() -> None:
    done = run(
        "with greeting.without_greeting(): pass\n"  # its file stays open, once
        "def opens():\n"
        "    for _ in range(1000):\n"
        "        with greeting.without_greeting(): os.write(2, b'engine\\n')\n"
        "threads = [threading.Thread(target=opens) for _ in range(4)]\n"
        "first = max(os.dup(2), os.dup(2))\n"
        "for thread in threads: thread.start()\n"
        "for _ in range(3000): os.write(2, b'other\\n')\n"
        "for thread in threads: thread.join()\n"
        "print(os.dup(2) - first)"
    )
    lines = done.stderr.splitlines()
    assert (lines.count("engine"), lines.count("other"), len(lines)) == (4000, 3000, 7000)
    assert done.stdout == "1\n"


def test_a_program_without_standard_error_loads() -> None:
    done = run("os.close(2)\nwith greeting.without_greeting(): print('loaded')")
    assert (done.returncode, done.stdout) == (0, "loaded\n")
