"""Figures in pixels, written as SVG, and their colours on light and dark pages."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

#: Each colour on a light and on a dark page. Plots are drawn in the light ones, which are then replaced.
COLOURS = {
    "paper": ("#ffffff", "#0f1216"),
    "panel": ("#f5f6f8", "#191d23"),
    "ink": ("#16181d", "#e8eaee"),
    "faint": ("#5b6270", "#9aa3b0"),
    "rule": ("#dde1e7", "#2c323b"),
    "link": ("#0058a3", "#7cc0f5"),
    "edgefeat": ("#0072b2", "#56b4e9"),
    "tensorflow": ("#d55e00", "#f0803c"),
    "peer": ("#8a8f98", "#8d95a1"),
    "resize": ("#e69f00", "#e6b422"),
    "inference": ("#009e73", "#2fc096"),
    "warn": ("#8a4b00", "#ffcf87"),
    "warn-paper": ("#fff6e5", "#2b2213"),
}
LIGHT = {name: light for name, (light, _) in COLOURS.items()}
_NAMES = {light: name for name, light in LIGHT.items()}
#: The width of a plot: a phone shows it at its own size.
WIDTH = 360.0
#: Text stands out from what it crosses, in the reader's own font.
TEXT_STYLE = """.plot text { paint-order: stroke; stroke: %s; stroke-width: 3px; stroke-linejoin: round;
  font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif !important; }"""
#: A style for all elements of the page, names that several plots on a page share, turns by nothing.
_SUPERFLUOUS = r'<style.*?</style>|(?<=<g) id="[^"]*"| transform="rotate\(-0 [^"]*"'
_STYLE: Any = {
    "font.family": ["DejaVu Sans"],
    "svg.fonttype": "none",
    "svg.hashsalt": "edgefeat",
    "text.parse_math": False,
    "figure.dpi": 72,
    "font.size": 12,
    "text.color": LIGHT["ink"],
    "axes.axisbelow": True,
    "axes.facecolor": "none",
    "grid.color": LIGHT["rule"],
    "grid.linewidth": 1,
    **{f"axes.spines.{side}": False for side in ("left", "right", "top", "bottom")},
    **{f"{axis}tick.color": LIGHT["faint"] for axis in "xy"},
    **{f"{axis}tick.labelsize": 10.5 for axis in "xy"},
    **{f"{axis}tick.{level}.size": 0 for axis in "xy" for level in ("major", "minor")},
}


@dataclass(frozen=True, slots=True)
class Plot:
    """An SVG under a caption. The label inside it is what a screen reader says."""

    caption: str
    svg: str


@contextmanager
def canvas(width: float, height: float) -> Iterator[Figure]:
    """Give a figure of that many pixels, and the style of all plots while it is drawn."""
    with mpl.rc_context(_STYLE):
        yield Figure((width / 72, height / 72), facecolor="none")


def axes_at(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Return axes at a place in pixels from the top left."""
    wide, tall = figure.get_size_inches() * 72
    return figure.add_axes((left / wide, 1 - (top + height) / tall, width / wide, height / tall))


def note(figure: Figure, x: float, y: float, text: str, align: str = "left") -> None:
    """Write a small remark at a place in pixels from the top left."""
    wide, tall = figure.get_size_inches() * 72
    figure.text(x / wide, 1 - y / tall, text, size=10.5, color=LIGHT["faint"], ha=align)


def svg_of(figure: Figure, label: str) -> str:
    """Return the figure as an SVG element in light colours, without metadata, sized by its container."""
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    body = re.sub(_SUPERFLUOUS, "", stream.getvalue().partition("<svg")[2].partition(">")[2], flags=re.DOTALL)
    body = re.sub(r"\s*\n\s*", " ", body)
    width, height = figure.get_size_inches() * 72
    return f'<svg class="plot" viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{html.escape(label)}">{body}'


def for_page(svg: str) -> str:
    """Return a plot with the page's CSS variables as colours."""
    return re.sub("|".join(_NAMES), lambda found: f"var(--{_NAMES[found[0]]})", svg)


def svg_files(svg: str) -> dict[str, str]:
    """Return a plot as files of their own: `light` and `dark`."""
    width, height = re.findall(r"[\d.]+", svg.partition("viewBox")[2])[2:4]
    spaces = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    start = f'<svg {spaces} width="{width}" height="{height}"'
    inside = f'><style>{TEXT_STYLE % LIGHT["paper"]}</style><rect width="100%" height="100%" fill="{LIGHT["paper"]}"/>'
    light = svg.replace("<svg", start, 1).replace(">", inside, 1)
    return {"light": light, "dark": re.sub("|".join(_NAMES), lambda found: COLOURS[_NAMES[found[0]]][1], light)}
