"""Numbers and lists as text."""

from __future__ import annotations

from collections.abc import Sequence

from edgefeat_bench._statistics import Estimate


def plain(value: float) -> str:
    """Return about three digits: 0.042, 1.04, 12.3, 249."""
    if value and abs(value) < 0.1:
        return f"{value:.2g}" if abs(value) >= 0.001 else "<0.001"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}" if abs(value) < 100 else f"{value:,.0f}"


def times(value: float) -> str:
    """Return a factor: 0.98x, 4.2x, 18.9x, 120x. Two decimals only near 1, where they decide."""
    return f"{value:.2f}x" if value < 2 else f"{value:.1f}x" if value < 100 else f"{value:.0f}x"


def interval(estimate: Estimate, scale: float = 1.0) -> str:
    """Return `low to high`; `-` for a single sample, which has no interval."""
    if estimate.count < 2:
        return "-"
    return f"{plain(estimate.low * scale)} to {plain(estimate.high * scale)}"


def times_interval(estimate: Estimate) -> str:
    """Return `low to high` of a factor."""
    return f"{times(estimate.low)} to {times(estimate.high)}"


def standing(speedup: Estimate) -> str:
    """Return `faster` or `slower`, or `level` if the interval contains 1."""
    return "faster" if speedup.low > 1 else "slower" if speedup.high < 1 else "level"


def milliseconds(seconds: float) -> str:
    """Return seconds in milliseconds."""
    return f"{plain(seconds * 1e3)} ms"


def megabytes(size: float) -> str:
    """Return bytes in megabytes."""
    return f"{plain(size / 1e6)} MB"


def joined(words: Sequence[str]) -> str:
    """Return `a`, `a and b`, or `a, b and c`."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
