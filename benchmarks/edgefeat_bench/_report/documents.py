"""Runs as documents: the HTML page, the Markdown beside it, and the block of a README, each from its template."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from jinja2.runtime import Macro

from edgefeat_bench._records import Photos, Run
from edgefeat_bench._report import findings, numbers, tables
from edgefeat_bench._report.plots import bars, canvas, costs, fidelity
from edgefeat_bench._statistics import FEWEST, Estimate, ratio

# The bits of a Raspberry Pi's `get_throttled`: now, and since it started.
_THROTTLED = 0xF000F


@dataclass(frozen=True, slots=True)
class _PeerVerdict:
    peer: str
    verdict: str
    text: str


def _peer_verdicts(run: Run) -> list[_PeerVerdict]:
    """Return for each peer and each kind of photos whether edgefeat is faster; level if the interval contains 1."""
    mine, found = findings.ours(run), []
    for photos in run.photos:
        for peer in findings.valid(run, "peer") if mine else []:
            if mine and (factor := findings.speedup(mine, peer, photos.name)):
                verdict = "faster" if factor.low > 1 else "slower" if factor.high < 1 else "level"
                cosine = peer.minimum_cosine
                far = f", lowest cosine {cosine:.2f}" if cosine and cosine < run.right_cosine else ""
                text = f"{peer.contender.name} on {photos.name} ({numbers.times_interval(factor)}{far})"
                found.append(_PeerVerdict(peer.contender.name, verdict, text))
    return found


def _better_cold_starts(run: Run) -> dict[str, list[str]]:
    """Return the peers whose fresh process is better than edgefeat's, by what is better."""
    mine = findings.first_of(run.cold_starts, "edgefeat")
    peers = [one for one in run.cold_starts if one.side == "peer"] if mine else []
    if mine is None:
        return {}
    return {
        "Faster to the first feature": [one.name for one in peers if ratio(one.seconds, mine.seconds).high < 1],
        "Less memory": [one.name for one in peers if one.peak_memory_bytes < mine.peak_memory_bytes],
        "Smaller install": [one.name for one in peers if one.installed_bytes < mine.installed_bytes],
    }


def _speedups(run: Run) -> dict[Photos, Estimate]:
    mine, base = findings.ours(run), findings.baseline(run)
    found = {photos: findings.speedup(mine, base, photos.name) if mine else None for photos in run.photos}
    return {photos: factor for photos, factor in found.items() if factor}


def _not_installed(run: Run) -> list[str]:
    """Return the names of absent contenders; only the engine, where edgefeat runs nothing on it."""
    used = {result.contender.engine for result in run.results if result.status != "absent"}
    absent = [result.contender for result in run.results if result.status == "absent"]
    return list(
        dict.fromkeys(
            f"edgefeat on {one.engine}" if one.kind == "edgefeat" and one.engine not in used else one.name
            for one in absent
        )
    )


def _throttling(run: Run) -> list[str]:
    flags = {state.throttled for state in (run.before, run.after) if state and state.throttled}
    return sorted(flags) if any(int(flag, 16) & _THROTTLED for flag in flags) else []


def _has_generated_photos(run: Run) -> bool:
    # Results of older versions call them made-up.
    return any(Path(file).name.startswith(("made-up", "generated")) for one in run.photos for file in one.files)


def _fewest_samples(run: Run) -> int | None:
    counts = [len(one.seconds) for result in findings.valid(run) for one in result.series if one.seconds]
    return min(counts, default=None)


def _markdown(text: str) -> str:
    """Return text in which Markdown and HTML see no markup."""
    for character in "&<>":
        text = text.replace(character, f"&#{ord(character)};")
    for character in "\\`*|[]~":
        text = text.replace(character, f"\\{character}")
    return " ".join(text.split())


def _lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]


def _sentence(macro: Callable[[Run], str], run: Run) -> str:
    """Return what a macro of `sentences.txt` says, as text that the page escapes like any other."""
    return str(macro(run))


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("edgefeat_bench._report"),
        undefined=StrictUndefined,
        autoescape=lambda name: bool(name and name.endswith(".html")),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    each: dict[str, Any] = {
        "latency": lambda run: [tables.latency_table(run, photos) for photos in run.photos],
        "stage": lambda run: [tables.stage_table(run, photos) for photos in run.photos],
        "cost": tables.cost_tables,
    }
    for name in ("bulk", "cold", "contender", "excluded", "peak", "peer", "quality", "versions"):
        each[name] = getattr(tables, f"{name}_table")
    for module in (findings, tables, canvas, bars, costs, fidelity):
        environment.globals.update(vars(module))
    environment.globals.update(
        tables=SimpleNamespace(**each),
        peer_verdicts=_peer_verdicts,
        better_cold_starts=_better_cold_starts,
        speedups=_speedups,
        not_installed=_not_installed,
        throttling=_throttling,
        has_generated_photos=_has_generated_photos,
        fewest_samples=_fewest_samples,
        FEWEST=FEWEST,
    )
    environment.filters |= {
        "for_page": canvas.for_page,
        "joined": numbers.joined,
        "lines": _lines,
        "markdown": _markdown,
        "plain": numbers.plain,
        "times": numbers.times,
        "times_interval": numbers.times_interval,
    }
    sentences = vars(environment.get_template("sentences.txt").module).items()
    each = {name: partial(_sentence, macro) for name, macro in sentences if isinstance(macro, Macro)}
    environment.globals["say"] = SimpleNamespace(**each)
    return environment


def _rendered(template: str, **values: Any) -> str:
    return _environment().get_template(template).render(**values)


def page(runs: Sequence[Run]) -> str:
    """Return runs, at least one, as one HTML page that makes no request: each in a section of its own."""
    return _rendered("page.html", runs=runs) + "\n"


def markdown(runs: Mapping[Path, Run]) -> str:
    """Return runs by the name of their file as Markdown."""
    return _rendered("benchmarks.md", runs=runs) + "\n"


def readme_block(runs: Sequence[Run], stem: str, folder: str) -> str:
    """Return the figures for a README: the first run gives the tables; its picture is `folder`/`stem`-light.svg."""
    return _rendered("readme.md", runs=runs, stem=stem, folder=folder) + "\n"
