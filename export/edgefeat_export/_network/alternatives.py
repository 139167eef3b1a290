"""Where else a saved model can be cut, if a cut requires code or more than one image; for errors."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from edgefeat_export._models.saved.code.placeholder import left_out
from edgefeat_export._models.saved.graph import Call, calls, inputs_of, is_model, key, needs
from edgefeat_export._models.saved.picture_inputs import input_name, picture_input, pictures_of

__all__ = ["code_in", "last_without_code", "remedy"]


def remedy(whole: Any, needed: Sequence[Any]) -> str:
    """Return where else the model can be cut, and how to fix the other inputs."""
    said = []
    place = _last_alone(whole)
    if place:
        said.append(f"Cut at a layer that depends on one image: {place}")
    others = [source for source in needed if picture_input(source) is None]
    if others and len(others) < len(needed):
        values = " ".join(
            f"--input {input_name(source)}={','.join(['0'] * math.prod(side or 1 for side in source.shape[1:]))}"
            for source in others
        )
        said.append(f"or fix the inputs that are not images: {values}")
    return "; ".join(said) or "It has no layer that depends on only one image"


def _last_alone(whole: Any) -> str:
    """Return as options the layers to cut at: inner models that depend on one image, else the last such layers."""
    pictures = pictures_of(whole)
    alone = []
    for call in _without_code(whole):
        if len(call.results) != 1 or call.layer not in whole.layers:
            continue
        names = {input_name(source) for source in needs(call.results)}
        if len(names) == 1 and names <= set(pictures):
            alone.append(call)
    models = list(dict.fromkeys(call.layer.name for call in alone if is_model(call.layer)))
    if models:
        return " or ".join(f"--layer {name}" for name in models)
    taken = {key(tensor) for call in alone for tensor in call.sources}
    ends = [call.layer.name for call in alone if key(call.results[0]) not in taken]
    return " or ".join(f"--layer {name}" for name in dict.fromkeys(ends))


def code_in(model: Any, prefix: str) -> Iterator[tuple[str, str]]:
    """Yield the path of each layer of `model` that is not loaded, with the reason."""
    for call in calls(model):
        why = left_out(call.layer)
        if why:
            yield f"{prefix}{call.layer.name}", why
        elif is_model(call.layer):
            yield from code_in(call.layer, f"{prefix}{call.layer.name}/")


def last_without_code(model: Any, prefix: str) -> Iterator[str]:
    """Yield the paths of the last layers that depend on no code, if anything is computed before them."""
    taken: set[Any] = set()
    ends: list[tuple[str, Any]] = []
    found = list(_without_code(model))
    for call in found:
        path = f"{prefix}{call.layer.name}"
        taken.update(key(tensor) for tensor in call.sources)
        if _has_code(call.layer):
            yield from last_without_code(call.layer, f"{path}/")
        elif len(call.results) == 1 and call.layer in model.layers:
            ends.append((path, key(call.results[0])))
    if any(call.layer.weights for call in found if hasattr(call.layer, "weights")):
        yield from (path for path, result in ends if result not in taken)


def _without_code(model: Any) -> Iterator[Call]:
    """Yield the calls in `model` on tensors that depend on no code, except calls of placeholders."""
    clean = {key(source) for source in inputs_of(model)}
    for call in calls(model):
        if call.is_input or left_out(call.layer) or not all(key(tensor) in clean for tensor in call.sources):
            continue
        yield call
        if not _has_code(call.layer):
            clean.update(key(tensor) for tensor in call.results)


def _has_code(layer: Any) -> bool:
    return is_model(layer) and any(code_in(layer, ""))
