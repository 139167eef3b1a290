"""A question of the page: heading, plots, and their figures as tables."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree.ElementTree import Element

from edgefeat_bench._report.page.markup import Child, tag
from edgefeat_bench._report.tables import Table

__all__ = ["part"]


def part(
    heading: str,
    told: str,
    figures: Sequence[tuple[str, Element | None]],
    tables: Sequence[Table],
    *,
    folded: bool = True,
    summary: str = "Every figure, as a table",
    wordy: bool = False,
) -> list[Child]:
    """A heading, what is shown, the plots, and their figures as tables; nothing where nothing was measured."""
    shown = [
        tag("figure", {}, tag("figcaption", {}, tag("h4", {}, name)), plot)
        for name, plot in figures
        if plot is not None
    ]
    full = [_table(table, wordy) for table in tables if table.rows]
    if not shown and not full:
        return []
    children: list[Child] = [tag("h3", {}, heading), tag("p", {"class": "faint"}, told)]
    if shown:
        children.append(tag("div", {"class": "plots pairs" if len(shown) in (2, 4) else "plots"}, *shown))
    if folded and full:
        children.append(tag("details", {}, tag("summary", {}, summary), *full))
    return children if folded else [*children, *full]


def _table(table: Table, wordy: bool) -> Element:
    head = tag("tr", {}, *(tag("th", {"scope": "col"}, cell) for cell in table.header))
    rows = [
        tag(
            "tr",
            {"class": "struck" if row.struck else None},
            tag("th", {"scope": "row"}, row.cells[0]),
            *(tag("td", {}, cell) for cell in row.cells[1:]),
        )
        for row in table.rows
    ]
    inner = tag(
        "table",
        {"class": "wordy" if wordy else None},
        tag("caption", {}, table.caption),
        tag("thead", {}, head),
        tag("tbody", {}, *rows),
    )
    # What scrolls must be reachable by keyboard.
    return tag("div", {"class": "scroll", "tabindex": "0", "role": "region", "aria-label": table.caption}, inner)
