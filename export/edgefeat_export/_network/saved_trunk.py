"""The trunk of a saved model: loaded, cut at layers that depend only on one image, with its preprocessing."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from edgefeat import ArgumentError, ExportError
from edgefeat_export._models.hub.converter import saved_converter
from edgefeat_export._models.hub.parts import closed, is_backbone, parts_of
from edgefeat_export._models.hub.tokens import known_tokens
from edgefeat_export._models.preprocessing import gray, preprocessing_named
from edgefeat_export._models.saved.embedded import embedded
from edgefeat_export._models.saved.graph import inputs_of, is_keras2, needs
from edgefeat_export._models.saved.model import load_model
from edgefeat_export._models.saved.picture_inputs import PictureInput, input_name, picture_input
from edgefeat_export._models.saved.scaling import OwnScaling, graph_arithmetic, own_scaling, scaling_hint
from edgefeat_export._network.alternatives import code_in, last_without_code, remedy
from edgefeat_export._network.cut import cut
from edgefeat_export._network.trunk import Trunk, check_layers
from edgefeat_export._spec import NetworkSpec, model_name

__all__ = ["saved_trunk"]


def saved_trunk(spec: NetworkSpec, *, opened: bool = True) -> Trunk:
    """Return the model saved at `spec.backbone`, cut at its layers.

    A backbone of KerasHub that is not to be `opened` is one layer, as in `hub_trunk`.
    Raises ArgumentError if the cut requires more than one image, if a layer cannot be converted, or if the scaling of
    the pixels is unknown, and ExportError if the cut requires a layer whose code is not run.
    """
    keras.utils.set_random_seed(spec.seed)
    whole = loaded = load_model(spec)
    named: dict[str, Any] = {}
    if is_backbone(whole) and not spec.inputs:
        parts = parts_of(whole)
        whole, named = parts.model, parts.named
        spec = replace(spec, layers=spec.layers or (parts.last,))
    fixed = _fixed_inputs(spec, whole)
    _check_inputs(spec, whole, whole.outputs if not spec.layers else None, fixed)
    model, layers = cut(whole, spec.layers, named)
    _check_inputs(spec, whole, model.outputs, fixed)
    if not opened and is_backbone(loaded) and layers == (parts_of(loaded).last,):
        model = closed(loaded)
    _check_code(spec, whole, model)
    check_layers(model)
    free = [source for source in inputs_of(model) if input_name(source) not in fixed]
    picture = picture_input(free[0])
    assert picture is not None  # guaranteed by _check_inputs
    assert picture.height is not None  # set by load_model
    assert picture.width is not None
    own = None if spec.preprocess is not None else saved_converter(loaded)
    if own is not None:
        preprocess, preprocessing, notes = own.preprocess, own.preprocessing, own.notes
    else:
        preprocess, preprocessing, notes = _preprocessing(spec, whole, model, picture)
    if is_keras2(model) or len(inputs_of(model)) > 1:
        used = {input_name(source) for source in inputs_of(model)}
        model = embedded(model, {name: value for name, value in fixed.items() if name in used})
    return Trunk(
        name=model_name(spec.backbone),
        model=model,
        size=(picture.height, picture.width),
        layers=layers,
        preprocess=preprocess,
        preprocessing=preprocessing,
        color=picture.color,
        notes=notes,
        fit=None if own is None else own.fit,
        tokens=known_tokens(loaded),
    )


def _fixed_inputs(spec: NetworkSpec, whole: Any) -> dict[str, NDArray[np.float32]]:
    """Return the values of the inputs that are not images, each in the shape of its input, by name."""
    sources = {input_name(source): source for source in inputs_of(whole)}
    fixed = {}
    for name, numbers in spec.inputs.items():
        if name not in sources:
            raise ArgumentError(f"input {name!r} is not in {spec.backbone} (allowed: {', '.join(sources)})")
        shape = [side for side in sources[name].shape[1:] if side is not None]
        if len(numbers) not in (1, math.prod(shape)):
            raise ArgumentError(
                f"input {name} of {spec.backbone} takes {math.prod(shape)} numbers, not {len(numbers)} (or 1 for all)"
            )
        fixed[name] = np.broadcast_to(
            np.asarray(numbers, np.float32).reshape(-1 if len(numbers) == 1 else shape), shape
        )
    return fixed


def _check_inputs(spec: NetworkSpec, whole: Any, outputs: Any, fixed: dict[str, NDArray[np.float32]]) -> None:
    """Raise ArgumentError unless `outputs` depend only on one image and on fixed inputs."""
    if outputs is None:
        return
    needed = [source for source in needs(outputs) if input_name(source) not in fixed]
    if len(needed) == 1 and picture_input(needed[0]) is not None:
        return
    names = [input_name(source) for source in inputs_of(whole)]
    if not needed:
        raise ArgumentError(
            f"model {spec.backbone}: --input fixes all of {', '.join(names)} (allowed: all but the image)"
        )
    place = f"layer {', '.join(spec.layers)}" if spec.layers else "its output"
    wanted = sorted((input_name(source) for source in needed), key=names.index)
    raise ArgumentError(
        f"model {spec.backbone} has {len(names)} inputs, {', '.join(names)}, and {place} requires {', '.join(wanted)} "
        f"(allowed: one image). {remedy(whole, needed)}"
    )


def _check_code(spec: NetworkSpec, whole: Any, model: Any) -> None:
    """Raise ExportError if `model`, cut from `whole`, has a layer whose code is not run, and say what can be done."""
    found = next(code_in(model, ""), None)
    if found is None:
        return
    _, why = found
    place = " or ".join(f"--layer {name}" for name in dict.fromkeys(last_without_code(whole, "")))
    if place:
        raise ExportError(f"model {spec.backbone} {why}: replace it with a Keras layer, or cut before it: {place}")
    name, _ = next(code_in(whole, ""))
    raise ExportError(
        f"model {spec.backbone} {why}: replace it with a Keras layer. If it only scales pixels, leave it out, and say "
        f"how they are scaled: --skip-layer {name} --preprocess unit"
    )


def _preprocessing(
    spec: NetworkSpec, whole: Any, model: Any, picture: PictureInput
) -> tuple[Callable[[Any], Any], str, tuple[str, ...]]:
    """Return the preprocessing of RGB pixels 0..255, its name, and notes about it for the user."""
    own = own_scaling(model, picture.name)
    notes = [f"layer {name!r} is left out, as requested: its input passes unchanged" for name in spec.skipped]
    if picture.is_whole and spec.preprocess not in (None, "raw"):
        raise ArgumentError(
            f"model {spec.backbone} takes whole numbers, which --preprocess {spec.preprocess} does not leave (allowed: "
            "raw, the default of such a model)"
        )
    if own is not None and (own.is_for_bytes or spec.preprocess is not None):
        notes.append(f"the model scales its own pixels: {own.words}")
        if own.is_for_bytes and spec.preprocess not in (None, "raw"):
            notes.append(f"--preprocess {spec.preprocess} is applied in addition: leave it out unless you want both")
    elif picture.is_whole:
        notes.append("the model takes whole numbers: pixels from 0 to 255")
    elif own is not None:
        raise ArgumentError(_scaling_to_continue(spec, own))
    elif spec.preprocess is None:
        raise ArgumentError(_unknown_scaling(spec, whole))
    name = spec.preprocess or "raw"
    scale = preprocessing_named(name, picture.color)
    if picture.color == "rgb":
        return scale, name, tuple(notes)
    notes.append("the model takes gray images: the files convert colour to gray")
    if picture.channels is None:
        return lambda pixels: ops.squeeze(scale(gray(pixels)), axis=-1), name, tuple(notes)
    return lambda pixels: scale(gray(pixels)), name, tuple(notes)


def _scaling_to_continue(spec: NetworkSpec, own: OwnScaling) -> str:
    low, high = min(*own.black, *own.white), max(*own.black, *own.white)
    return (
        f"model {spec.backbone} begins with {own.words}, which makes {low:.4g} to {high:.4g} of pixels from 0 "
        "to 255, so it may continue a scaling outside, and wrong scaling gives wrong features. Say which pixels it is "
        "for: --preprocess unit (0 to 1), raw (0 to 255), tf (-1 to 1), torch, caffe or MEAN/DEVIATION. For example: "
        f"edgefeat export {spec.backbone} --preprocess unit"
    )


def _unknown_scaling(spec: NetworkSpec, whole: Any) -> str:
    hint = scaling_hint(whole)
    mode = hint.rpartition("`")[0].rpartition("`")[2] if hint else "unit"
    known = f"; {hint}" if hint else ""
    first = graph_arithmetic(whole)
    if first:
        return (
            f"model {spec.backbone} begins with pixels {first}, and wrong scaling gives wrong features. Say which "
            "pixels that is for: --preprocess raw (0 to 255), unit (0 to 1), tf (-1 to 1), torch, caffe or "
            f"MEAN/DEVIATION. For example: edgefeat export {spec.backbone} --preprocess raw"
        )
    is_graph = any(hasattr(layer, "first_arithmetic") for layer in whole.layers)
    said = "is a graph that does not show how its pixels are scaled" if is_graph else "does not scale its own pixels"
    return (
        f"model {spec.backbone} {said}, and wrong scaling gives wrong features{known}. Say how "
        "they were scaled when it was trained: --preprocess tf (-1 to 1), unit (0 to 1), torch, caffe, raw (0 to 255) "
        f"or MEAN/DEVIATION. For example: edgefeat export {spec.backbone} --preprocess {mode}"
    )
