"""The page: what was found on top, what to mind beside it, then plot and table for each question."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from xml.etree.ElementTree import Element

from edgefeat_bench._records import Result, Run
from edgefeat_bench._report.findings import baseline, cold_pair, ours, own_variants, shown_first, times_as_fast
from edgefeat_bench._report.numbers import times
from edgefeat_bench._report.page import plots
from edgefeat_bench._report.page.markup import Child, document, tag
from edgefeat_bench._report.page.parts import part
from edgefeat_bench._report.sentences import against_peers, caveats, headline, machine_sentence, title, words
from edgefeat_bench._report.tables import (
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
from edgefeat_bench._statistics import ratio

__all__ = ["page", "sheet"]


def page(runs: Sequence[Run]) -> str:
    """Runs, at least one, as one HTML page: each in a section of its own, never merged."""
    first = runs[0]
    name = "edgefeat beside the full TensorFlow path and its peers"
    head = tag(
        "head",
        {},
        tag("meta", {"charset": "utf-8"}),
        tag("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}),
        tag("meta", {"name": "color-scheme", "content": "light dark"}),
        tag("title", {}, f"{name}: {first.network}"),
        tag("style", {}, _style()),
    )
    several = len(runs) > 1
    body = tag(
        "body",
        {},
        tag("header", {}, tag("h1", {}, name), _contents(runs) if several else None),
        tag("main", {}, *(_section(run, f"run{index}") for index, run in enumerate(runs))),
    )
    return document(tag("html", {"lang": "en"}, head, body))


def sheet(name: str) -> str:
    """A style sheet of this package."""
    return (files("edgefeat_bench._report.page") / name).read_text()


def _style() -> str:
    # Only on screens: paper is white whatever the screen is.
    dark = f"@media screen and (prefers-color-scheme: dark) {{\n{sheet('dark.css')}}}\n"
    return sheet("light.css") + dark + sheet("style.css") + sheet("plot.css")


def _contents(runs: Sequence[Run]) -> Element:
    links = [
        tag("li", {}, tag("a", {"href": f"#run{index}"}, f"{title(run)}, {run.machine.processor}"))
        for index, run in enumerate(runs)
    ]
    return tag("nav", {"aria-label": "Runs"}, tag("ul", {}, *links))


def _section(run: Run, name: str) -> Element:
    peers = against_peers(run)
    return tag(
        "section",
        {"id": name},
        tag("h2", {}, title(run)),
        tag("p", {"class": "faint"}, f"{machine_sentence(run)}."),
        tag("p", {"class": "headline"}, headline(run)),
        *(tag("p", {"class": "alarm"}, f"Not to be quoted, this run is unstable: {reason}") for reason in run.unstable),
        tag("p", {}, peers) if peers else None,
        _tiles(run),
        _mind(run),
        *_latency(run),
        *_stages(run),
        *_front(run),
        *_cold(run),
        *_memory(run),
        *_bulk(run),
        *_quality(run),
        *_costs(run),
        *_peak(run),
        *_apart(run),
        *_method(run),
    )


def _tiles(run: Run) -> Element | None:
    mine, theirs = ours(run), baseline(run)
    told = []
    if mine:
        for photos in run.photos:
            fast = times_as_fast(mine, theirs, photos.name)
            if fast:
                told.append(
                    (times(fast.median), f"as fast on {words(photos)}, {times(fast.low)} to {times(fast.high)}")
                )
    pair = cold_pair(run)
    if pair:
        first, ours_cold = pair
        told += [
            (times(ratio(first.seconds, ours_cold.seconds).median), "sooner to the first feature"),
            (times(first.peak_memory_bytes / ours_cold.peak_memory_bytes), "less memory"),
            (times(first.installed_bytes / ours_cold.installed_bytes), "smaller install"),
        ]
    if not told:
        return None
    return tag(
        "ul",
        {"class": "tiles", "aria-label": "edgefeat beside the full TensorFlow path"},
        *(tag("li", {}, tag("b", {}, f"{figure}\u00d7"), tag("span", {}, text)) for figure, text in told),
    )


def _mind(run: Run) -> Element:
    return tag(
        "aside",
        {"class": "mind", "aria-label": "Before you repeat this"},
        tag("h3", {}, "Before you repeat this"),
        tag("ul", {}, *(tag("li", {}, caveat) for caveat in caveats(run))),
    )


def _latency(run: Run) -> list[Child]:
    theirs = baseline(run)
    against = (
        f" \u00d7 is how many times as fast as {theirs.contender.name}, ratio by ratio within each turn."
        if theirs
        else ""
    )
    told = (
        "Median milliseconds from a photo's file, or an array in memory, to its feature, one at a time; "
        "the shorter the better. "
        f"The whisker is the median's 95 % interval.{against}"
    )
    first, own = shown_first(run), own_variants(run)
    tables = [latency_table(run, photos) for photos in run.photos]
    if not own:
        return part("Photo to feature", told, _latencies(run, first), tables)
    inside = (
        "The same calls, on a scale of their own. What is quickest differs by network, machine and threads: "
        "hence the tuning."
    )
    return [
        *part("Photo to feature", told, _latencies(run, first), tables),
        *part("edgefeat's engines and variants", inside, _latencies(run, [*own, *filter(None, [ours(run)])]), []),
    ]


def _latencies(run: Run, among: Sequence[Result]) -> list[tuple[str, Element | None]]:
    return [(photos.name, plots.latency_plot(run, photos, among)) for photos in run.photos]


def _stages(run: Run) -> list[Child]:
    figures = [(photos.name, plots.stage_plot(run, photos)) for photos in run.photos]
    return part(
        "Where the time goes",
        "The shares of decoding, resizing and inference in each contender's own time, where they can be told apart: "
        "medians in milliseconds, which need not add up to the median of the whole on the right.",
        figures,
        [stage_table(run, photos) for photos in run.photos],
    )


def _front(run: Run) -> list[Child]:
    # Fidelity is the same on all of them: the first photos, and what is left of the time without decoding.
    chosen = dict.fromkeys([run.photos[0], *(photos for photos in run.photos if photos.arrays)])
    figures = [(photos.name, plots.front_plot(run, photos)) for photos in chosen]
    return part(
        "Speed, fidelity and size",
        "To the left is quicker, up is nearer to Keras, a larger mark is a larger model file. The dotted line joins "
        "those that nothing beats in both. Circles are edgefeat, squares TensorFlow, diamonds peers.",
        figures,
        [contender_table(run)],
    )


def _cold(run: Run) -> list[Child]:
    told = "A fresh process each time: interpreter, imports, model, one photo. Installed size is all packages it needs."
    return part("From nothing to the first feature", told, plots.cold_plots(run), [cold_table(run)])


def _memory(run: Run) -> list[Child]:
    told = "The most memory each contender's process had while it was timed."
    figures = [("Contenders", plots.memory_plot(run, shown_first(run)))]
    own = plots.memory_plot(run, own_variants(run))
    return part("Memory while serving", told, [*figures, ("edgefeat's engines and variants", own)], [])


def _bulk(run: Run) -> list[Child]:
    told = "A whole folder on all cores, start of the process included. Here longer is better."
    return part("A folder at once", told, [("Pictures a second", plots.bulk_plot(run))], [bulk_table(run)])


def _quality(run: Run) -> list[Child]:
    told = (
        "Cosine and overlap of the ten nearest neighbours are to the Keras float features; accuracies by the nearest "
        "neighbour, the photo itself left out, and by a linear probe, cross-validated."
    )
    return part("What the features are worth", told, [], [quality_table(run)], folded=False)


def _costs(run: Run) -> list[Child]:
    told = "Median milliseconds a picture as the work grows; both axes linear, the upright one from zero."
    return part("As the work grows", told, plots.cost_plots(run), cost_tables(run))


def _peak(run: Run) -> list[Child]:
    told = (
        "Multiplications and additions a second of the whole network, as a part of what the same engine reaches in a "
        "large matrix product of the same precision, measured the same way."
    )
    figures = [("Part of the engine's own peak", plots.peak_plot(run))]
    return part("How near to the machine's peak", told, figures, [peak_table(run)])


def _apart(run: Run) -> list[Child]:
    told = "Contenders that gave wrong features, stopped midway or could not be started, and what to do about it."
    return part("Not compared", told, [], [apart_table(run)], folded=False, wordy=True)


def _method(run: Run) -> list[Child]:
    state = [
        f"load {condition.load:.2f}"
        for condition in (run.before, run.after)
        if condition and condition.load is not None
    ]
    heat = [
        f"{condition.celsius:.0f} \u00b0C" for condition in (run.before, run.after) if condition and condition.celsius
    ]
    told = (
        "Each contender in a process of its own, started fresh and warmed, then called in turn, photo by photo, "
        f"{run.rounds} round{'s' * (run.rounds != 1)}. "
        f"Features count as right from cosine {run.right_cosine:g} to those of {run.reference}. "
        f"Before and after: {', '.join(state + heat) or 'the machine does not tell'}. Bundle {run.bundle}. Made with:"
    )
    section = part("How it was measured", told, [], [versions_table(run)], summary="Versions", wordy=True)
    section.insert(2, tag("pre", {}, run.command))
    return section
