"""A run as a table for people."""

from __future__ import annotations

from edgefeat_bench._records import Result, Run
from edgefeat_bench._statistics import median, ratio

__all__ = ["COLD_HEADER", "HEADER", "cold_rows", "markdown", "rows"]

COLD_HEADER = (
    "one photo, fresh process",
    "s",
    "times as fast",
    "memory MB",
    "times less",
    "installed MB",
    "times less",
)
HEADER = ("contender", "ms a photo", "95 % interval", "times as fast", "cosine", "start s", "memory MB", "")


def rows(run: Run) -> list[tuple[str, ...]]:
    """One row of `HEADER` for each contender, in the run's order."""
    first = run.results[0]
    return [_row(result, first) for result in run.results]


def markdown(run: Run) -> str:
    """The run as a Markdown table with what it was measured on."""
    machine = run.machine
    lines = [
        f"| {' | '.join(HEADER)} |",
        "|" + "---|" * len(HEADER),
        *(f"| {' | '.join(row)} |" for row in rows(run)),
        "",
        f"{run.bundle}, {len(run.photos)} photos x {run.rounds} rounds, contenders called in turn in one run; "
        f"from file to feature. {machine.processor}, {machine.cores} cores, {machine.system}, Python {machine.python}, "
        f"edgefeat {run.edgefeat}.",
    ]
    if run.cold_starts:
        lines += [
            "",
            f"| {' | '.join(COLD_HEADER)} |",
            "|" + "---|" * len(COLD_HEADER),
            *(f"| {' | '.join(row)} |" for row in cold_rows(run)),
        ]
    return "\n".join(lines) + "\n"


def cold_rows(run: Run) -> list[tuple[str, ...]]:
    """One row of `COLD_HEADER` for each cold start; ratios are of the first to this one."""
    found: list[tuple[str, ...]] = []
    for one in run.cold_starts:
        first, time = run.cold_starts[0], median(one.seconds)
        found.append(
            (
                one.name,
                f"{time.median:.2f}",
                f"{ratio(first.seconds, one.seconds).median:.1f}",
                f"{one.peak_memory_bytes / 1e6:.0f}",
                f"{first.peak_memory_bytes / one.peak_memory_bytes:.1f}",
                f"{one.installed_bytes / 1e6:.0f}",
                f"{first.installed_bytes / one.installed_bytes:.1f}",
            )
        )
    return found


def _row(result: Result, first: Result) -> tuple[str, ...]:
    if not result.seconds or result.start_seconds is None or result.peak_memory_bytes is None:
        return (result.contender.name, "-", "-", "-", "-", "-", "-", f"absent: {result.reason}")
    time = median(result.seconds)
    faster = f"{ratio(first.seconds, result.seconds).median:.1f}" if first.seconds else "-"
    return (
        result.contender.name,
        f"{time.median * 1e3:.1f}",
        f"{time.low * 1e3:.1f} to {time.high * 1e3:.1f}",
        faster,
        "-" if result.minimum_cosine is None else f"{result.minimum_cosine:.4f}",
        f"{result.start_seconds:.2f}",
        f"{result.peak_memory_bytes / 1e6:.0f}",
        f"WRONG: {result.reason}" if result.status == "wrong" else "",
    )
