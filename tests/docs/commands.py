"""The shell commands of README and docs, and which of them are not run by the tests, with the reason."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["PAGES", "REASONS", "ROOT", "Command", "commands", "reason_against", "slow"]

ROOT = Path(__file__).parents[2]
# The tutorials' commands need each other's results: tutorials.py follows them.
_DOCS = [page for page in sorted((ROOT / "docs").rglob("*.md")) if "tutorials" not in page.parts]
PAGES = [ROOT / "README.md", *_DOCS, ROOT / "examples" / "README.md"]

_BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)

# Commands that no test runs as printed, and why. `edgefeat` ones among them are still parsed.
REASONS = (
    (r"^git clone <this repository>", "the address is the reader's; the tests start in such a clone"),
    (r"^make (demo|test)\b", "the whole test suite or an export: CI runs `make test`, and `make test-bare` both"),
    (r"^(make bench-arm|python -m tests\.arm\.counting\.frames)", "minutes or hours on emulated processors"),
    (r"^make (test-|platforms|stress|growth|hostile|soak|serve-|watch-|backbone|hub\b|saved-)", "minutes or hours"),
    (r"pip install .*\[export\]", "gigabytes of TensorFlow: `make install` installs the same for every test"),
    (r"pip install .*\[tflite\]", "for 32-bit boards: `make test-arm` installs it there"),
    (r"^(sudo )?apt(-get)? install|^sudo ", "changes the system"),
    (r"^(scp|ssh) ", "needs a board: `edgefeat deploy` is tested on one in tests/runtime/deploy/test_deploy.py"),
    (r"^edgefeat deploy ", "needs a board: tests/runtime/deploy/test_deploy.py and `make test-arm` deploy to one"),
    (r"^tar -xf board\.tar\.gz", "needs a board of that kind: tests/runtime/deploy/test_deploy.py installs a pack"),
    (r"^ansible-playbook ", "needs boards: test_the_playbook_installs_the_pack runs it on one"),
    (r"^(journalctl|systemctl) ", "needs a board with the service"),
    (r"^make npu\b", "minutes, and weights"),
    (r"^edgefeat (npu|micro) ", "needs an exported bundle: tests/export/int8/test_integer.py"),
    (r"^edgefeat (export|layers|ablation) ", "needs weights or the reader's model: tests/export exports"),
    (r"^edgefeat-bench run ", "hours: tests/benchmarks runs it"),
    (r"^python tests/stress/", "hours"),
    (r"^python examples/(keras_recipes|sklearn_pipeline)", "needs TensorFlow or labelled photos"),
    (r"camera_picamera2", "needs a camera: tests/runtime/package/test_device_examples.py runs it on frames"),
    (r"^(cd examples/web|npm ci|cp -r ~/mobilenet|python3 -m http\.server)", "`make test-web` runs the page"),
    (r"^(unzip converted_keras|less )", "the reader's own file, or a screen to read on"),
    (r"mine\.edgefeat", "the bundle is of the reader's model"),
    (r"^find /mnt/cards", "the reader's own disk: tests/runtime/store/test_bulk.py reads paths from standard input"),
    (r"\.parquet", "needs pyarrow: tests/runtime/store/test_convert.py"),
    (r"panorama\.png", "the reader's own photo: tests/runtime/images/test_large_pictures.py"),
    (r"--truncated accept", "the photos are whole: tests/runtime/images/test_truncated.py"),
    (r"^edgefeat (watch|serve) ", "runs until it is stopped"),
    (r"(^| )(curl|podman|docker) ", "needs a server or a container engine"),
    (r"^export PATH=", "sets the shell up, which it does for the commands after it"),
)  # fmt: skip
# Run by `make test-docs` alone: they take many seconds, or install.
_SLOW = r"\bpip install |-m venv |^make wheel|^edgefeat (tune|bench) |^edgefeat pack |~/edgefeat/bin/|^edgefeat info  "


@dataclass(frozen=True, slots=True)
class Command:
    """A command as printed, without its comment, and where."""

    page: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {self.text}"


def commands(page: Path) -> Iterator[Command]:
    """Return the commands of the `sh` blocks of a page, continued lines as one."""
    text = page.read_text(encoding="utf-8")
    for block in _BLOCK.finditer(text):
        number = text.count("\n", 0, block.start()) + 2
        waiting = ""
        for offset, line in enumerate(block[1].splitlines()):
            waiting += line
            if waiting.endswith("\\"):
                waiting = waiting[:-1]
                continue
            command = re.sub(r"\s+#.*$", "", waiting).strip()
            if command and not command.startswith("#"):
                yield Command(page.relative_to(ROOT).as_posix(), number + offset, command)
            waiting = ""


def reason_against(command: Command) -> str | None:
    """Return why the tests do not run it, or None if they do."""
    return next((reason for pattern, reason in REASONS if re.search(pattern, command.text)), None)


def slow(command: Command) -> bool:
    """Return whether only `make test-docs` runs it."""
    return re.search(_SLOW, f"{command.text}  ") is not None
