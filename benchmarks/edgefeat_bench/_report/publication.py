"""A folder to publish: the page, its Markdown, pictures, and the raw results; and the figures of a README."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from edgefeat import ArgumentError
from edgefeat._bundle.atomic_files import written_file
from edgefeat_bench._records import Run
from edgefeat_bench._report.documents import markdown, page, readme_block, run_markdown
from edgefeat_bench._report.plots.bars import readme_plots

_MARKED = re.compile(r"<!-- figures: begin[^>\n]*-->\n(.*?)<!-- figures: end -->", re.DOTALL)
_SOURCES = re.compile(r"<!-- figures: begin of ([^>\n]*) -->")


def publish(files: Sequence[Path], folder: Path, readme: Path | None = None) -> list[Path]:
    """Write `folder` from results, at least one, with a page for each, and the figures in `readme`; return the files.

    Folders in `folder` that were written so themselves, such as one for each further machine, are linked.

    Raises ArgumentError, before anything is written, for a file that is not a result, two of the same name, or a
    README without marks.
    """
    runs = {file: Run.read(file) for file in files}
    names = [file.name for file in files]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ArgumentError(f"{' '.join(twice)} is given twice (expected: results with different file names)")
    texts = {folder / "README.md": markdown(runs, _further(folder)), folder / "index.html": page(list(runs.values()))}
    for file, run in runs.items():
        texts[folder / f"{file.stem}.md"] = run_markdown(file, run)
        texts |= {folder / f"{file.stem}-{tone}.svg": svg for tone, svg in readme_plots(run).items()}
    if readme is not None:
        link = Path(os.path.relpath(folder, readme.parent)).as_posix()
        texts[readme] = with_figures(_text(readme), files, link)
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        if file.resolve() != (folder / file.name).resolve():
            with file.open("rb") as source, written_file(folder / file.name) as copy:
                shutil.copyfileobj(source, copy)
    for path, text in texts.items():
        with written_file(path) as stream:
            stream.write(text.encode())
    return list(texts)


def _further(folder: Path) -> dict[str, Run]:
    """Return a run of each folder of results in `folder`, by the link to its README.md."""
    found = {}
    for readme in sorted(folder.glob("*/README.md")):
        try:
            if results := sorted(readme.parent.glob("*.json")):
                found[readme.relative_to(folder).as_posix()] = Run.read(results[0])
        except ArgumentError:  # a folder of something else
            continue
    return found


def _text(readme: Path) -> str:
    try:
        return readme.read_text(encoding="utf-8")
    except OSError as error:
        raise ArgumentError(f"{readme} cannot be read: {error.strerror}") from None


def with_figures(text: str, files: Sequence[Path], folder: str) -> str:
    """Return `text` with the figures between its marks replaced. Raises ArgumentError where it has no marks."""
    if not _MARKED.search(text):
        raise ArgumentError("no place for the figures; add the lines <!-- figures: begin --> and <!-- figures: end -->")
    names = ", ".join(file.name for file in files)
    figures = readme_block([Run.read(file) for file in files], [file.stem for file in files], folder)
    return _MARKED.sub(lambda _: f"<!-- figures: begin of {names} -->\n{figures}<!-- figures: end -->", text, count=1)


def figures_in(text: str) -> tuple[list[str], str] | None:
    """Return the names of the results whose figures are in `text`, and the figures; None where there are none."""
    marked, sources = _MARKED.search(text), _SOURCES.search(text)
    return (sources[1].split(", "), marked[1]) if marked and sources else None
