"""Figures and lists as people write them."""

from __future__ import annotations

from collections.abc import Sequence

from edgefeat_bench._statistics import Estimate

__all__ = ["gigabytes", "interval", "joined", "megabytes", "milliseconds", "plain", "seconds", "times"]


def plain(value: float) -> str:
    """Three figures or so: 0.042, 1.04, 12.3, 249."""
    if value and abs(value) < 0.1:
        return f"{value:.2g}" if abs(value) >= 0.001 else "<0.001"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}" if abs(value) < 100 else f"{value:,.0f}"


def times(value: float) -> str:
    """How many times: 0.98, 4.2, 18.9, 120. Two places only near 1, where they decide."""
    return f"{value:.2f}" if value < 2 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def interval(estimate: Estimate, scale: float = 1.0) -> str:
    """`low to high`."""
    return f"{plain(estimate.low * scale)} to {plain(estimate.high * scale)}"


def milliseconds(value: float) -> str:
    """Seconds, in milliseconds."""
    return f"{plain(value * 1e3)} ms"


def seconds(value: float) -> str:
    """Seconds."""
    return f"{plain(value)} s"


def megabytes(value: float) -> str:
    """Bytes, in millions."""
    return f"{plain(value / 1e6)} MB"


def gigabytes(value: float) -> str:
    """Bytes, in thousands of millions."""
    return f"{value / 1e9:.1f} GB"


def joined(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
