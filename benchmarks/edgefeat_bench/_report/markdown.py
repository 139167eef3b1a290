"""Runs as Markdown, and as the plain tables of the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from edgefeat_bench._records import Result, Run
from edgefeat_bench._report.findings import baseline, latency, series_of, times_as_fast
from edgefeat_bench._report.numbers import interval, plain, times
from edgefeat_bench._report.sentences import against_peers, caveats, headline, machine_sentence, title
from edgefeat_bench._report.tables import (
    Table,
    apart_table,
    bulk_table,
    cold_table,
    contender_table,
    cost_tables,
    latency_table,
    peak_table,
    quality_table,
    stage_table,
    versions_table,
)

__all__ = ["COLD_HEADER", "HEADER", "all_tables", "cold_rows", "escaped", "markdown", "markdown_table", "rows"]

HEADER = ("photos", "contender", "ms", "95 % interval", "times as fast", "cosine", "start s", "memory MB", "")
COLD_HEADER = (
    "one photo, fresh process",
    "s",
    "95 % interval",
    "times as fast",
    "memory MB",
    "times less",
    "installed MB",
    "times less",
)


def rows(run: Run) -> list[tuple[str, ...]]:
    """One row of `HEADER` for each kind of photos and contender, in the run's order; absent ones once, at the end."""
    timed = [
        _row(run, result, photos.name)
        for photos in run.photos
        for result in run.results
        if series_of(result, photos.name)
    ]
    untimed = [result for result in run.results if not any(series_of(result, photos.name) for photos in run.photos)]
    return timed + [("-", result.contender.name, *"------", f"{result.status}: {result.reason}") for result in untimed]


def _row(run: Run, result: Result, photos: str) -> tuple[str, ...]:
    time, fast = latency(result, photos), times_as_fast(result, baseline(run), photos)
    assert time is not None
    return (
        photos,
        result.contender.name,
        plain(time.median * 1e3),
        interval(time, 1e3),
        times(fast.median) if fast else "-",
        "-" if result.minimum_cosine is None else f"{result.minimum_cosine:.4f}",
        "-" if result.start_seconds is None else plain(result.start_seconds),
        "-" if result.peak_memory_bytes is None else plain(result.peak_memory_bytes / 1e6),
        {"wrong": f"WRONG: {result.reason}", "died": f"died: {result.reason}"}.get(result.status, ""),
    )


def cold_rows(run: Run) -> list[tuple[str, ...]]:
    """One row of `COLD_HEADER` for each cold start."""
    return [row.cells for row in cold_table(run).rows]


def all_tables(run: Run) -> list[Table]:
    """Every table of a run that has rows, in reading order."""
    found = [
        *(latency_table(run, photos) for photos in run.photos),
        *(stage_table(run, photos) for photos in run.photos),
        contender_table(run),
        cold_table(run),
        bulk_table(run),
        quality_table(run),
        *cost_tables(run),
        peak_table(run),
        apart_table(run),
        versions_table(run),
    ]
    return [table for table in found if table.rows]


def markdown(*runs: Run) -> str:
    """Runs as Markdown: the headline, what to mind, every table. Runs are set one after the other, never merged."""
    return "\n".join(_section(run) for run in runs)


def _section(run: Run) -> str:
    sentences = [headline(run), against_peers(run)]
    lines = [
        f"## {escaped(title(run))}",
        "",
        escaped(" ".join(filter(None, sentences))),
        "",
        *(f"- **Not to be quoted, this run is unstable: {escaped(reason)}**" for reason in run.unstable),
        *(f"- {escaped(caveat)}" for caveat in caveats(run)),
        "",
        f"{escaped(machine_sentence(run))}. Kinds of photos: {len(run.photos)}; rounds: {run.rounds}; contenders "
        "called in turn. Made with",
        "",
        f"    {run.command}",
        "",
    ]
    for table in all_tables(run):
        lines += [f"### {escaped(table.caption)}", "", markdown_table(table), ""]
    return "\n".join(lines)


def markdown_table(table: Table) -> str:
    """A table in Markdown; what is in a cell cannot break out of it. Rows of wrong contenders are struck."""
    lines = [_line(table.header), "|---|" + "---:|" * (len(table.header) - 1)]
    for row in table.rows:
        cells = [escaped(cell) for cell in row.cells]
        lines.append(_line([f"~~{cell}~~" if row.struck and cell != "-" else cell for cell in cells]))
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def escaped(text: str) -> str:
    """Text in which Markdown and HTML see no markup."""
    for character in "&<>":
        text = text.replace(character, f"&#{ord(character)};")
    for character in "\\`*|[]~":
        text = text.replace(character, f"\\{character}")
    return " ".join(text.split())
