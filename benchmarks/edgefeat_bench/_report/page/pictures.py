"""Pictures for a README: one SVG for light pages, one for dark."""

from __future__ import annotations

from xml.etree.ElementTree import Element

from edgefeat_bench._records import Run
from edgefeat_bench._report.findings import baseline, best_peer, ours
from edgefeat_bench._report.page import plots
from edgefeat_bench._report.page.layout import sheet
from edgefeat_bench._report.page.markup import picture, tag
from edgefeat_bench._report.page.scales import WIDTH, words

__all__ = ["pictures"]

_GAP, _MARGIN, _HEAD = 32.0, 16.0, 30.0


def pictures(run: Run) -> dict[str, str]:
    """SVG texts, `light` and `dark`: edgefeat, the best peer and the full TensorFlow path on each kind of photos.

    Empty where none of them was timed.
    """
    panels = []
    for photos in run.photos:
        among = {id(one): one for one in (ours(run), best_peer(run, photos.name), baseline(run)) if one}
        plot = plots.latency_plot(run, photos, list(among.values()))
        if plot is not None:
            panels.append((photos.name, plot))
    if not panels:
        return {}
    svg = _beside(panels)
    return {tone: picture(svg, sheet(f"{tone}.css") + sheet("plot.css")) for tone in ("light", "dark")}


def _beside(panels: list[tuple[str, Element]]) -> Element:
    """Plots in rows of two, each under its name."""
    columns = min(len(panels), 2)
    tall = max(float(plot.attrib["viewBox"].split()[3]) for _, plot in panels) + _HEAD + 14
    width = columns * (WIDTH + _GAP) - _GAP + 2 * _MARGIN
    height = -(-len(panels) // columns) * tall + _MARGIN
    children: list[Element] = [tag("rect", {"width": width, "height": height, "style": "fill: var(--paper)"})]
    for index, (name, plot) in enumerate(panels):
        x = _MARGIN + index % columns * (WIDTH + _GAP)
        y = _MARGIN + index // columns * tall
        inside = tag("g", {"transform": f"translate({x:g} {y + _HEAD:g})"}, *list(plot))
        children += [words(x, y + 14, name, {"class": "head"}), inside]
    told = " ".join(plot.attrib["aria-label"] for _, plot in panels)
    return tag(
        "svg",
        {
            "class": "plot",
            "viewBox": f"0 0 {width:g} {height:g}",
            "width": width,
            "height": height,
            "role": "img",
            "aria-label": told,
        },
        *children,
    )
