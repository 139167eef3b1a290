"""A manifest with every field, the places in it, and changes of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgefeat import BundleError, Manifest

DATA = Path(__file__).parents[2] / "data"
BUNDLES = ("one_tap", "two_taps")

# Objects whose names are free: the packages used, the backbone's options, the taps.
FREE = ("tools", "options", "fidelity")
# What may be null.
OPTIONAL = (
    "linear",
    "linear_keras",
    "projection",
    "overlap",
    "mixed_overlap",
    "threshold_shift",
    "accuracy",
    "substitute",
)
KINDS: tuple[Any, ...] = (None, True, 3, 3.5, "text", [], {})

Place = tuple[str | int, ...]


def full() -> dict[str, Any]:
    """A valid manifest in which every field has a value."""
    value: dict[str, Any] = json.loads((DATA / "two_taps.edgefeat" / "manifest.json").read_text("utf-8"))
    value["backbone"]["options"] = {"alpha": "0.35"}
    value["taps"][0]["projection"] = {"dimensions": 8, "whiten": True, "kept_variance": 0.99}
    value["gate"]["overlap"] = 0.9
    value["refusals"] = [{"name": "onnx-int8", "reason": "was not faithful", "substitute": "onnx-float32"}]
    value["variants"] = [variant for variant in value["variants"] if variant["name"] != "onnx-int8"]
    value["variants"][0].update(correction=["bias"], float_operations=["first"])
    scores = {"labels": 2, "nearest": 0.9, "nearest_keras": 0.9, "linear": 0.8, "linear_keras": 1.0}
    value["variants"][0]["fidelity"]["stem"]["accuracy"] = scores
    return value


def refusal(data: bytes) -> str:
    with pytest.raises(BundleError) as raised:
        Manifest.from_bytes(data)
    assert len(str(raised.value)) < 6000
    return str(raised.value)


def places(value: object, place: Place = ()) -> Iterator[Place]:
    """Every place in the value, but the whole."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        yield (*place, name)
        yield from places(item, (*place, name))


def at(value: Any, place: Place) -> Any:
    for name in place:
        value = value[name]
    return value


def shown(place: Place) -> str:
    """The place as an error names it: `variants[0].file.size`."""
    text = ""
    for name in place:
        text += f"[{name}]" if isinstance(name, int) else f".{name}"
    return text.removeprefix(".")


def records(value: object) -> Iterator[Place]:
    """The objects whose fields are fixed."""
    yield ()
    for place in places(value):
        if isinstance(at(value, place), dict) and place[-1] not in FREE:
            yield place


def changed(place: Place, item: object) -> dict[str, Any]:
    value = full()
    at(value, place[:-1])[place[-1]] = item
    return value
