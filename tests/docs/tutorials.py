"""Follow a tutorial as a reader does: run its blocks in order in a new folder, and compare or write what they print.

    python -m tests.docs.tutorials docs/tutorials/photo-search.md            # compares: exit status 1 if it differs
    python -m tests.docs.tutorials docs/tutorials/photo-search.md --write    # writes output and pictures into the page

A `sh` or `python` block may be followed by a `text` block: what it prints to standard output. Numbers may differ from
run to run, all else must be equal. The `python` blocks of a page share their variables. A picture is taken from the
folder by the comment above it: `<!-- made: found.png -->`.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

__all__ = ["Difference", "Step", "follow", "steps"]

ROOT = Path(__file__).parents[2]
#: How the reader's folder is called in the output that pages show.
HOME = "/home/you/tutorial"

_STEP = re.compile(
    r"^(?:<!-- not run: (?P<reason>[^\n]+?) -->\n)?```(?P<language>sh|python)\n(?P<code>.*?)^```\n"
    r"(?:\n```text\n(?P<output>.*?)^```\n)?"
    r"|^<!-- made: (?P<made>\S+) -->\n!\[[^\]]*\]\((?P<picture>[^)]+)\)",
    re.MULTILINE | re.DOTALL,
)
_NUMBER = re.compile(r"[-+]?\d[\d,]*\.?\d*(?:e[-+]?\d+)?")
_WIDEST = 1200


@dataclass(frozen=True, slots=True)
class Step:
    """A block to run, with the output that the page shows, or a picture that an earlier block made."""

    start: int
    end: int
    language: str
    code: str
    output: str | None
    made: str | None = None
    picture: str | None = None


@dataclass(frozen=True, slots=True)
class Difference:
    """A step that does not do what the page shows, and what it did."""

    step: Step
    told: str


def steps(text: str) -> list[Step]:
    """Return the steps of a page, in order, without blocks that say why they are not run."""
    return [
        Step(
            found.start(),
            found.end(),
            found["language"] or "",
            found["code"] or "",
            found["output"],
            found["made"],
            found["picture"],
        )
        for found in _STEP.finditer(text)
        if found["reason"] is None
    ]


def follow(page: Path, folder: Path, *, write: bool = False) -> list[Difference]:
    """Run the page's blocks in `folder`, up to one that fails, and return what differs from the page.

    With `write` the page gets the output, and the folder beside it the pictures.
    """
    text = page.read_text(encoding="utf-8")
    variables: dict[str, object] = {"__name__": "__main__"}
    differences, written, end = [], "", 0
    for step in steps(text):
        if step.made is not None:
            told = _picture(folder / step.made, page.parent / str(step.picture), write=write)
            differences += [Difference(step, told)] if told else []
            continue
        status, printed = _run(step, folder, variables)
        if status:
            return [*differences, Difference(step, f"it failed:\n{printed}")]
        printed = printed.replace(str(folder.resolve()), HOME)
        if step.output is not None and _shape(printed) != _shape(step.output):
            differences.append(Difference(step, f"it printed:\n{printed}\nand the page shows:\n{step.output}"))
        if step.output is not None:
            block = text[step.start : step.end]
            written += (
                text[end : step.start]
                + block[: block.index("\n```text\n")]
                + f"\n```text\n{printed.strip(chr(10))}\n```\n"
            )
            end = step.end
    if write:
        page.write_text(written + text[end:], encoding="utf-8")
    return differences


def _run(step: Step, folder: Path, variables: dict[str, object]) -> tuple[int, str]:
    """Return whether the block failed, and what it printed, with the errors if it did."""
    if step.language == "sh":
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        environment = {**os.environ, "PATH": path, "EDGEFEAT_CACHE": str(folder / ".cache"), "COLUMNS": "120"}
        command = ["sh", "-ec", step.code]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + (done.stderr if done.returncode else "")
    printed = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(printed):
        try:
            exec(compile(step.code, "<tutorial>", "exec"), variables)
        except Exception as error:  # noqa: BLE001  any error of the block is a difference to report
            return 1, f"{printed.getvalue()}{type(error).__name__}: {error}"
    return 0, printed.getvalue()


def _shape(output: str) -> list[str]:
    """Return the lines with every number as `#`, and every run of spaces as one."""
    return [" ".join(_NUMBER.sub("#", line).split()) for line in output.strip().splitlines()]


def _picture(made: Path, shown: Path, *, write: bool) -> str:
    """Return why the picture is not as the page shows it, or nothing. With `write`, show this one."""
    if not made.is_file():
        return f"{made.name} was not made"
    with Image.open(made) as image:
        size = image.size
        if write:
            shown.parent.mkdir(exist_ok=True)
            image.thumbnail((_WIDEST, _WIDEST))
            image.convert("RGB").quantize(128).save(shown, optimize=True)
    if not shown.is_file():
        return f"{shown.name} is missing beside the page: run with --write"
    with Image.open(shown) as image:
        ratio, here = image.width / image.height, size[0] / size[1]
    return (
        "" if abs(ratio / here - 1) < 0.1 else f"{made.name} is {size[0]}x{size[1]}, of another shape than {shown.name}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="+", type=Path)
    parser.add_argument("--write", action="store_true", help="write output and pictures into the page")
    parser.add_argument(
        "--with",
        dest="files",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="a file that the reader has, such as keras_model.h5=FILE",
    )
    options = parser.parse_args()
    failed = False
    for page in options.pages:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            (folder / "examples").symlink_to(ROOT / "examples")
            for name, _, file in (given.partition("=") for given in options.files):
                shutil.copy(file, folder / name)
            differences = follow(page, folder, write=options.write)
        broken = [one for one in differences if not options.write or one.told.startswith("it failed")]
        for one in broken:
            print(f"{page}, at\n{one.step.code or one.step.picture}\n{one.told}\n")
        failed |= bool(broken)
        print(f"{page}: {'differs' if broken else 'written' if options.write else 'as shown'}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
