"""Figures from a manifest as table rows and sentences, shared by the terminal and the card."""

from __future__ import annotations

from collections.abc import Iterator

from edgefeat import Manifest
from edgefeat._bundle.manifest import Accuracy, Fidelity, Variant
from edgefeat_export._measure.intervals import Interval, Intervals

__all__ = ["FIDELITY_HEADER", "accuracies", "accuracy_sentence", "fidelities", "fidelity_row", "interval_sentence"]

FIDELITY_HEADER = (
    "variant",
    "size",
    "tap",
    "mean cosine",
    "5th percentile",
    "minimum",
    "overlap@10",
    "to a float gallery",
    "threshold shift",
)


def fidelities(manifest: Manifest) -> Iterator[tuple[Variant, str, Fidelity]]:
    """Yield each variant with each tap's name and fidelity."""
    for variant in manifest.variants:
        for tap, fidelity in variant.fidelity.items():
            yield variant, tap, fidelity


def fidelity_row(variant: Variant, tap: str, fidelity: Fidelity) -> tuple[str, ...]:
    """Return a table row under `FIDELITY_HEADER`."""
    return (
        variant.name,
        f"{variant.file.size / 1e6:.2f} MB",
        tap,
        f"{fidelity.mean_cosine:.5f}",
        f"{fidelity.low_cosine:.5f}",
        f"{fidelity.minimum_cosine:.5f}",
        _figure(fidelity.overlap, ".3f"),
        _figure(fidelity.mixed_overlap, ".3f"),
        _figure(fidelity.threshold_shift, "+.4f"),
    )


def accuracies(manifest: Manifest) -> Iterator[tuple[str, dict[str, Accuracy]]]:
    """Yield each tap that was measured with labels, with its accuracy by variant."""
    for tap in manifest.taps:
        by_variant = {
            variant.name: accuracy
            for variant in manifest.variants
            if (accuracy := variant.fidelity[tap.name].accuracy) is not None
        }
        if by_variant:
            yield tap.name, by_variant


def accuracy_sentence(tap: str, accuracy: dict[str, Accuracy]) -> str:
    """Return one line with the accuracies, those of the Keras features first."""
    first = next(iter(accuracy.values()))
    rows = [f"keras {first.nearest_keras:.3f} / {_figure(first.linear_keras, '.3f')}"]
    rows += [f"{name} {figures.nearest:.3f} / {_figure(figures.linear, '.3f')}" for name, figures in accuracy.items()]
    return f"{tap}: accuracy over {first.labels} labels, nearest neighbour / linear probe: {', '.join(rows)}"


def interval_sentence(variant: str, tap: str, found: Intervals) -> str | None:
    """Return one line with the intervals of a variant's figures, or None if the photos are too few for any."""
    rows = [
        ("mean cosine", found.mean_cosine, ".4f"),
        ("overlap@10", found.overlap, ".3f"),
        ("nearest-neighbour accuracy minus that of Keras", found.nearest, "+.3f"),
        ("linear-probe accuracy minus that of Keras", found.linear, "+.3f"),
    ]
    parts = [f"{name} {_span(span, form)}" for name, span, form in rows if span is not None]
    if not parts:
        return None
    return (
        f"{variant}, {tap}: for photos like these, with 95 % confidence: {', '.join(parts)}; at most {found.below:.1%} "
        "of them are below the minimum"
    )


def _span(span: Interval, form: str) -> str:
    return f"{_figure(span.low, form)} to {_figure(span.high, form)}"


def _figure(value: float | None, form: str) -> str:
    return "-" if value is None else format(round(value, 6) + 0.0, form)  # + 0.0 turns -0 into 0
