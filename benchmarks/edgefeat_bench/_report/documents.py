"""Runs as documents: the HTML page, the Markdown beside it, and the block of a README, each from its template."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from jinja2 import Environment
from jinja2.runtime import Macro

from edgefeat_bench._records import Run
from edgefeat_bench._report import findings, numbers, tables
from edgefeat_bench._report.plots import bars, canvas, costs, fidelity
from edgefeat_bench._report.rendering import environment, markdown_text
from edgefeat_bench._statistics import ratio


def page(runs: Sequence[Run]) -> str:
    """Return runs, at least one, as one HTML page that makes no request: a table of all, and a section for each."""
    return _rendered("page.html", runs=runs, links=_links(runs, [f"#run{index}" for index in range(len(runs))]))


def markdown(runs: Mapping[Path, Run], further: Mapping[str, Run] | None = None) -> str:
    """Return what runs of several networks have in common, by the name of their file, as Markdown.

    `further` has a run of each machine whose results have a page of their own, by the link to it.
    """
    links = _links(list(runs.values()), [f"{file.stem}.md" for file in runs])
    return _rendered("benchmarks.md", runs=runs, links=links, further=further or {})


def run_markdown(file: Path, run: Run) -> str:
    """Return all of a run as Markdown."""
    return _rendered("run.md", file=file, run=run)


def readme_block(runs: Sequence[Run], stems: Sequence[str], folder: str) -> str:
    """Return the figures for a README: those of the first run, and a table of all.

    `stems` are the names of the files without their suffix: a run's page is `folder`/`stem`.md.
    """
    links = _links(runs, [f"{folder}/{stem}.md" for stem in stems])
    return _rendered("readme.md", runs=runs, stem=stems[0], folder=folder, links=links)


def _links(runs: Sequence[Run], addresses: Sequence[str]) -> dict[str, str]:
    """Return the addresses of the runs by their titles, without titles that several have."""
    titles = findings.titles(runs)
    return {title: link for title, link in zip(titles, addresses, strict=True) if titles.count(title) == 1}


def _rendered(template: str, **values: Any) -> str:
    return _environment().get_template(template).render(**values) + "\n"


@functools.cache
def _environment() -> Environment:
    found = environment()
    for module in (tables, canvas, bars, costs, fidelity):
        found.globals.update(vars(module))
    found.globals |= {"peer_verdicts": _peer_verdicts, "better_cold_starts": _better_cold_starts}
    found.filters |= {"for_page": canvas.for_page, "markdown": markdown_text, "lines": _lines}
    macros = vars(found.get_template("sentences.jinja").module).items()
    sentences = {name: functools.partial(_sentence, macro) for name, macro in macros if isinstance(macro, Macro)}
    found.globals["say"] = SimpleNamespace(**sentences)
    return found


def _sentence(macro: Callable[[Any], str], subject: Any) -> str:
    """Return what a macro of `sentences.jinja` says, as text that the page escapes like any other."""
    return str(macro(subject))


def _lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]


def _peer_verdicts(run: Run) -> list[tuple[str, str, str]]:
    """Return peer, verdict and text for each peer and kind of photos: level if the interval contains 1."""
    mine, found = findings.ours(run), []
    for photos in run.photos:
        for peer in findings.valid(run, "peer") if mine else []:
            if mine and (factor := findings.speedup(mine, peer, photos.name)):
                cosine = peer.minimum_cosine
                far = f", lowest cosine {cosine:.2f}" if cosine and cosine < run.right_cosine else ""
                text = f"{peer.contender.name} on {photos.name} ({numbers.times_interval(factor)}{far})"
                found.append((peer.contender.name, numbers.standing(factor), text))
    return found


def _better_cold_starts(run: Run) -> dict[str, list[str]]:
    """Return the peers whose new process is better than edgefeat's, by what is better."""
    mine = findings.first_of(run.cold_starts, "edgefeat")
    if mine is None:
        return {}
    peers = [one for one in run.cold_starts if one.side == "peer"]
    return {
        "Faster to the first feature": [one.name for one in peers if ratio(one.seconds, mine.seconds).high < 1],
        "Less memory": [one.name for one in peers if one.peak_memory_bytes < mine.peak_memory_bytes],
        "Smaller install": [one.name for one in peers if one.installed_bytes < mine.installed_bytes],
    }
