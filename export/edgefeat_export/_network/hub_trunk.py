"""The trunk of a backbone of KerasHub: loaded, cut at layers or at levels of its pyramid, with its preprocessing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edgefeat import ArgumentError
from edgefeat_export._models.hub.converter import converted
from edgefeat_export._models.hub.parts import Parts, closed, parts_of
from edgefeat_export._models.hub.source import Loaded, load_hub
from edgefeat_export._models.hub.tokens import known_tokens
from edgefeat_export._models.preprocessing import preprocessing_named
from edgefeat_export._models.saved.graph import inputs_of
from edgefeat_export._network.cut import cut
from edgefeat_export._network.trunk import Trunk
from edgefeat_export._spec import Fit, NetworkSpec

__all__ = ["hub_parts", "hub_trunk"]


def hub_trunk(spec: NetworkSpec, *, opened: bool = True) -> Trunk:
    """Return the backbone of KerasHub that `spec` names, cut at its layers.

    If it is not to be `opened`, it is one layer, which Keras can save and load, unless it is cut inside.
    Raises the errors of `load_hub`, and ArgumentError for an unknown layer or preprocessing.
    """
    if spec.inputs:
        raise ArgumentError(f"backbone {spec.backbone} takes one image and no other input: leave --input out")
    loaded, parts = hub_parts(spec)
    model, layers = cut(parts.model, spec.layers or (parts.last,), parts.named)
    if not opened and layers == (parts.last,):
        model = closed(loaded.model)
    preprocess, preprocessing, fit, notes = _preprocessing(spec, loaded)
    height, width = inputs_of(model)[0].shape[1:3]
    return Trunk(
        name=loaded.name,
        model=model,
        size=(int(height), int(width)),
        layers=layers,
        preprocess=preprocess,
        preprocessing=preprocessing,
        notes=notes,
        fit=fit,
        tokens=known_tokens(loaded.model),
    )


def hub_parts(spec: NetworkSpec) -> tuple[Loaded, Parts]:
    """Return the loaded backbone, and its parts."""
    loaded = load_hub(spec)
    return loaded, parts_of(loaded.model)


def _preprocessing(spec: NetworkSpec, loaded: Loaded) -> tuple[Callable[[Any], Any], str, Fit | None, tuple[str, ...]]:
    """Return the preprocessing, its name, how photos are fitted to the size, and notes for the user."""
    own = None if loaded.converter is None else converted(loaded.converter)
    fit, notes = (None, ()) if own is None else (own.fit, own.notes)
    name = spec.preprocess or loaded.preprocessing
    if name is not None:
        return preprocessing_named(name), name, fit, notes
    if own is None:
        raise ArgumentError(
            f"backbone {spec.backbone} comes without an image converter, and wrong scaling gives wrong features. Say "
            "how pixels were scaled when it was trained: --preprocess tf (-1 to 1), unit (0 to 1), torch, caffe, raw "
            "(0 to 255) or MEAN/DEVIATION"
        )
    return own.preprocess, own.preprocessing, own.fit, own.notes
