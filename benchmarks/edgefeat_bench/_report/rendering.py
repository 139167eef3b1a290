"""The templates of the report, with the functions and filters that they use."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from edgefeat_bench import _statistics
from edgefeat_bench._report import comparison, findings, numbers
from edgefeat_bench._statistics import Estimate

NOTHING = "-"


def _verdict(factor: Estimate) -> str:
    """Return a speed-up with its interval; `level` if that contains 1."""
    word = {"faster": ""}.get(standing := numbers.standing(factor), f", {standing}")
    return f"{numbers.times(factor.median)} ({numbers.times_interval(factor)}){word}"


_FILTERS: dict[str, Callable[[Any], str]] = {
    "cosine": lambda value: f"{value:.4f}",
    "factor": lambda estimate: numbers.times(estimate.median),
    "factor_interval": numbers.times_interval,
    "interval": numbers.interval,
    "joined": numbers.joined,
    "mb": lambda size: numbers.plain(size / 1e6),
    "milliseconds": lambda estimate: numbers.milliseconds(estimate.median),
    "ms": lambda estimate: numbers.plain(estimate.median * 1e3),
    "ms_interval": lambda estimate: numbers.interval(estimate, 1e3),
    "name": findings.name_of,
    "plain": numbers.plain,
    "remark": findings.remark_of,
    "seconds_ms": lambda seconds: numbers.plain(seconds * 1e3),
    "status": findings.status_of,
    "times": numbers.times,
    "verdict": _verdict,
}


def environment(*, escape: Callable[[str], str] | None = None) -> Environment:
    """Return an environment for the templates. `escape` changes every text that they insert, except in HTML."""
    found = Environment(
        loader=PackageLoader("edgefeat_bench._report"),
        undefined=StrictUndefined,
        autoescape=lambda name: bool(name and name.endswith(".html")),
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=(lambda value: escape(value) if type(value) is str else value) if escape else None,
    )
    found.globals.update(vars(findings) | vars(comparison) | vars(_statistics))
    found.filters |= {name: _optional(form) for name, form in _FILTERS.items()}
    found.filters["with_large_photos"] = findings.with_large_photos
    return found


def _optional(form: Callable[[Any], str]) -> Callable[[Any], str]:
    return lambda value: NOTHING if value is None else form(value)


def markdown_text(text: str) -> str:
    """Return text in which Markdown and HTML see no markup."""
    return " ".join(re.sub(r"[&<>]", lambda it: f"&#{ord(it[0])};", re.sub(r"([\\`*|\[\]~])", r"\\\1", text)).split())
