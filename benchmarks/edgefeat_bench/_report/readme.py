"""The figures in a README: written from results, between two marks, so that no hand has to copy them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from edgefeat import ArgumentError
from edgefeat_bench._records import Photos, Result, Run
from edgefeat_bench._report.findings import baseline, best_peer, cold_pair, latency, ours, times_as_fast
from edgefeat_bench._report.markdown import escaped, markdown_table
from edgefeat_bench._report.numbers import megabytes, milliseconds, seconds, times
from edgefeat_bench._report.sentences import headline, machine_sentence, title
from edgefeat_bench._report.tables import Row, Table
from edgefeat_bench._statistics import median, ratio

__all__ = ["figures", "figures_in", "picture_lines", "replaced"]

_MARKED = re.compile(r"<!-- figures: begin[^>\n]*-->\n(.*?)<!-- figures: end -->", re.DOTALL)
_SOURCES = re.compile(r"<!-- figures: begin of ([^>\n]*) -->")


def figures(files: Sequence[Path], folder: str) -> str:
    """The lines between the marks: headline, picture, tables of medians and cold starts, what was run and where.

    `files` are results, at least one; the first gives the tables. `folder` is where they are, as a link.
    """
    run, *others = [Run.read(file) for file in files]
    lines = [f"{escaped(headline(run))}", ""]
    lines += [f"**Not to be quoted, this run is unstable: {escaped(reason)}**\n" for reason in run.unstable]
    lines += [*picture_lines(run, files[0].stem, folder), "", markdown_table(_medians(run)), ""]
    cold = _cold(run)
    lines += [markdown_table(cold), ""] if cold.rows else []
    lines += [f"{escaped(title(run))}, on {escaped(machine_sentence(run))}:", "", "```sh", run.command, "```", ""]
    lines += [f"- {escaped(title(other))}: {escaped(headline(other))}" for other in others] + [""] * bool(others)
    lines.append(f"Every contender, interval and raw sample, and what to mind: [{folder}]({folder}/README.md).")
    return "\n".join(lines) + "\n"


def picture_lines(run: Run, stem: str, folder: str) -> list[str]:
    """A picture in Markdown that follows the reader's light or dark page; `folder` "" is where the text itself is."""
    base = f"{folder}/{stem}" if folder else stem
    return [
        "<picture>",
        f'  <source media="(prefers-color-scheme: dark)" srcset="{base}-dark.svg">',
        f'  <img alt="Milliseconds a photo: {escaped(title(run)).replace(chr(34), "")}" src="{base}-light.svg">',
        "</picture>",
    ]


def replaced(text: str, files: Sequence[Path], folder: str) -> str:
    """`text` with the figures between its marks made anew. Raises ArgumentError where it has no marks."""
    if not _MARKED.search(text):
        raise ArgumentError(
            "no place for figures: put the lines <!-- figures: begin --> and <!-- figures: end --> where they are to go"
        )
    names = ", ".join(file.name for file in files)
    block = f"<!-- figures: begin of {names} -->\n{figures(files, folder)}<!-- figures: end -->"
    return _MARKED.sub(lambda _: block, text, count=1)


def figures_in(text: str) -> tuple[list[str], str] | None:
    """The names of the results that the figures in `text` are of, and the figures; None where there are none."""
    marked, sources = _MARKED.search(text), _SOURCES.search(text)
    return (sources[1].split(", "), marked[1]) if marked and sources else None


def _medians(run: Run) -> Table:
    mine, theirs = ours(run), baseline(run)
    shown = [photos for photos in run.photos if mine and latency(mine, photos.name)]
    rows = []
    if mine:
        rows.append(Row((mine.contender.name, *(_milliseconds(mine, photos) for photos in shown))))
    peers = [best_peer(run, photos.name) for photos in shown]
    if any(peers):
        cells = [_milliseconds(peer, photos, named=True) for peer, photos in zip(peers, shown, strict=True)]
        rows.append(Row(("quickest peer", *cells)))
    if mine and theirs:
        rows.append(Row((theirs.contender.name, *(_milliseconds(theirs, photos) for photos in shown))))
        ratios = [times_as_fast(mine, theirs, photos.name) for photos in shown]
        told = [f"{times(one.median)} ({times(one.low)} to {times(one.high)})" if one else "-" for one in ratios]
        rows.append(Row((f"times as fast as {theirs.contender.name}", *told)))
    return Table("", ("median a photo", *(photos.name for photos in shown)), tuple(rows))


def _milliseconds(result: Result | None, photos: Photos, *, named: bool = False) -> str:
    spread = latency(result, photos.name) if result else None
    if result is None or spread is None:
        return "-"
    return milliseconds(spread.median) + (f" ({result.contender.name})" if named else "")


def _cold(run: Run) -> Table:
    header = ("one photo, fresh process", "time", "memory", "installed")
    pair = cold_pair(run)
    if pair is None:
        return Table("", header, ())
    rows = [
        Row(
            (
                one.name,
                seconds(median(one.seconds).median),
                megabytes(one.peak_memory_bytes),
                megabytes(one.installed_bytes),
            )
        )
        for one in pair
    ]
    theirs, mine = pair
    factors = (
        ratio(theirs.seconds, mine.seconds).median,
        theirs.peak_memory_bytes / mine.peak_memory_bytes,
        theirs.installed_bytes / mine.installed_bytes,
    )
    return Table("", header, (*rows, Row(("times less", *(times(factor) for factor in factors)))))
