"""A folder to publish: the page, its Markdown, pictures, and the raw results they were made of."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from edgefeat import ArgumentError
from edgefeat_bench._records import Run
from edgefeat_bench._report.markdown import markdown
from edgefeat_bench._report.page import page, pictures
from edgefeat_bench._report.readme import picture_lines, replaced

__all__ = ["publish"]

_INTRODUCTION = """# Benchmarks

Made by `edgefeat-bench report` from the results beside it, which hold every raw sample. [index.html](index.html) is the
same as one page with plots, to be opened in a browser. Runs are set one after the other, never merged.
"""


def publish(files: Sequence[Path], folder: Path, readme: Path | None = None) -> list[Path]:
    """Writes `folder` from results, at least one, and the figures between the marks of `readme`; what was written.

    Raises ArgumentError for a file that is no result, two of one name, or a README without marks: nothing is written.
    """
    runs = {file: Run.read(file) for file in files}
    names = [file.name for file in files]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ArgumentError(
            f"{' '.join(twice)} is given twice: results that are published together need names of their own"
        )
    texts = {
        folder / "README.md": _overview(runs),
        folder / "index.html": page(list(runs.values())),
        **{
            folder / f"{file.stem}-{tone}.svg": text
            for file, run in runs.items()
            for tone, text in pictures(run).items()
        },
    }
    if readme is not None:
        link = Path(os.path.relpath(folder, readme.parent)).as_posix()
        texts[readme] = replaced(_text(readme), files, link)
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        if file.resolve() != (folder / file.name).resolve():
            shutil.copyfile(file, folder / file.name)
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")
    return list(texts)


def _text(readme: Path) -> str:
    try:
        return readme.read_text(encoding="utf-8")
    except OSError as error:
        raise ArgumentError(f"{readme} cannot be read: {error.strerror}") from None


def _overview(runs: dict[Path, Run]) -> str:
    sections = []
    for file, run in runs.items():
        heading, _, rest = markdown(run).partition("\n")
        sections += [
            heading,
            "",
            *picture_lines(run, file.stem, ""),
            "",
            f"Raw samples: [{file.name}]({file.name}).",
            rest,
        ]
    return "\n".join([_INTRODUCTION, *sections])
