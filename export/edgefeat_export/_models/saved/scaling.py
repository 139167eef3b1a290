"""Find out how a saved model's pixels are scaled: inside the model, or outside, with hints at the mode."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefeat_export._models.saved.graph import calls, functional, inputs_of, is_model, key

__all__ = ["OwnScaling", "graph_arithmetic", "own_scaling", "scaling_hint"]

#: A network takes numbers that are at most this far apart, unless they are pixels less their mean.
_MOST_APART = 32.0
#: Pixels less their mean are on both sides of 0, at least as far.
_LEAST_ASIDE = 20.0

#: Layers that do not change pixel values at inference, or change only the size.
_PASSED = frozenset(
    """
    InputLayer Resizing CenterCrop Cropping2D ZeroPadding2D Dropout GaussianNoise GaussianDropout Identity Permute
    Reshape RandomBrightness RandomContrast RandomCrop RandomFlip RandomHeight RandomRotation RandomTranslation
    RandomWidth RandomZoom RandAugment MixUp CutMix RandomHue RandomSaturation RandomGrayscale RandomColorJitter
    RandomSharpness RandomShear RandomPerspective RandomErasing RandomGaussianBlur RandomInvert RandomPosterization
    RandomColorDegeneration RandomElasticTransform AutoContrast Cast GetItem SlicingOpLambda ExpandDims Squeeze
    """.split()
)
_SCALING_LAYERS = ("Rescaling", "Normalization")
#: Arithmetic, by class in Keras 3 and by the function that a TFOpLambda of Keras 2 calls.
_ARITHMETIC = frozenset({"Add", "Subtract", "Multiply", "Divide", "TrueDivide"})
_FUNCTIONS = frozenset(
    """
    math.truediv math.divide math.subtract math.multiply math.add __operators__.add truediv subtract multiply add
    divide nn.bias_add image.per_image_standardization realdiv
    """.split()
)
_PASSED_FUNCTIONS = frozenset({"cast", "image.resize", "__operators__.getitem", "reverse", "expand_dims", "stack"})


@dataclass(frozen=True, slots=True)
class _Family:
    """Layer names that identify a family of backbones, its name, and the preprocessing it was trained with."""

    layers: frozenset[str]
    name: str
    mode: str


_FAMILIES = tuple(
    _Family(frozenset(layers.split()), name, mode)
    for layers, name, mode in (
        ("conv2_block1_preact_bn", "ResNet V2", "tf"),
        ("conv2_block1_concat", "DenseNet", "torch"),
        ("conv1_conv conv2_block1_1_conv", "ResNet", "caffe"),
        ("res2a_branch2a", "ResNet", "caffe"),
        ("block2_sepconv1", "Xception", "tf"),
        ("block1_conv1 block3_conv3", "VGG", "caffe"),
        ("expanded_conv_depthwise block_1_expand", "MobileNetV2", "tf"),
        ("conv_dw_1 conv_pw_1", "MobileNet", "tf"),
        ("mixed0 mixed10", "InceptionV3", "tf"),
        ("mixed_5b mixed_6a", "InceptionResNetV2", "tf"),
        ("normal_add_1_0", "NASNet", "tf"),
        ("normal_conv_1_0", "NASNet", "tf"),
    )
)


@dataclass(frozen=True, slots=True)
class OwnScaling:
    """What scales pixels inside a model, in words, and what it makes of a black and of a white image in each channel.

    These are empty if they could not be computed.
    """

    words: str
    black: tuple[float, ...]
    white: tuple[float, ...]

    @property
    def is_for_bytes(self) -> bool:
        """Whether its input are pixels from 0 to 255, as far as that can be known: it may continue another scaling."""
        ends = [sorted(pair) for pair in zip(self.black, self.white, strict=True)]
        if all(high - low <= _MOST_APART for low, high in ends):
            return True
        return all(high - low <= 255.5 and low <= -_LEAST_ASIDE and high >= _LEAST_ASIDE for low, high in ends)


def own_scaling(model: Any, picture: str) -> OwnScaling | None:
    """Return what scales the pixels inside `model`, after the input named `picture`; None if nothing does.

    Recognizes Rescaling, Normalization and the arithmetic that a `preprocess_input` leaves in a graph, before the first
    layer of any other kind.
    """
    source = next((one for one in inputs_of(model) if str(one.name).partition(":")[0] == picture), None)
    if source is None:
        return None
    steps = list(_behind(model, source))
    if not steps:
        return None
    return OwnScaling(", ".join(step.words for step in steps), *_ends(source, steps[-1]))


@dataclass(frozen=True, slots=True)
class _Step:
    """A layer that scales pixels, in words. `path` leads to its result: pairs of an input and a tensor computed of it,
    the first in the model, others in inner models.
    """

    words: str
    path: tuple[tuple[Any, Any], ...]


def _ends(source: Any, last: _Step) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return what the steps up to the `last` make of a black and of a white image, in each channel."""
    shape = [side or 1 for side in source.shape[1:]]
    kind = getattr(source.dtype, "as_numpy_dtype", source.dtype)
    found: NDArray[Any] = np.stack([np.zeros(shape, kind), np.full(shape, 255, kind)])
    try:
        for given, made in last.path:
            if given is not made:
                found = np.asarray(functional([given], made)([found], training=False))
        # Not of the border, which may be padded.
        black, white = np.median(found.reshape(2, -1, found.shape[-1]).astype(np.float64), axis=1).tolist()
    except Exception:  # noqa: BLE001  # Keras raises many types for a part that needs more than the image
        return (), ()
    return tuple(black), tuple(white)


def _behind(model: Any, source: Any) -> Iterator[_Step]:
    """Yield what scales the tensor `source` of `model`, up to the first layer that does anything else."""
    reached = {key(source)}
    for call in calls(model):
        if call.is_input or not any(key(tensor) in reached for tensor in call.sources):
            continue
        layer = call.layer
        if is_model(layer):
            (taken, *_) = [
                inside for inside, given in zip(inputs_of(layer), call.sources, strict=False) if key(given) in reached
            ] or [None]
            inner = list(_behind(layer, taken)) if taken is not None else []
            (into, *_) = [tensor for tensor in call.sources if key(tensor) in reached]
            yield from (_Step(step.words, ((source, into), *step.path)) for step in inner)
            if not inner and not _only_passes(layer):
                return
        else:
            kind = _kind(layer)
            if kind is None:
                return
            if kind:
                yield _Step(kind, ((source, call.results[0]),))
        reached.update(key(tensor) for tensor in call.results)


def _only_passes(model: Any) -> bool:
    """Return whether an inner model, such as one of augmentations, leaves the pixels unchanged."""
    return all(
        _only_passes(call.layer) if is_model(call.layer) else _kind(call.layer) == ""
        for call in calls(model)
        if not call.is_input
    )


def _kind(layer: Any) -> str | None:
    """Return what a layer does to pixels: a description if it scales them, "" if nothing, None if it is the network."""
    kind = type(layer).__name__
    if kind in _PASSED:
        return ""
    if kind == "Rescaling":
        return f"Rescaling {layer.name!r} (scale {_short(layer.scale)}, offset {_short(layer.offset)})"
    if kind in _SCALING_LAYERS:
        return f"{kind} {layer.name!r}"
    function = layer.get_config().get("function") if kind in ("TFOpLambda", "SlicingOpLambda") else None
    if function in _PASSED_FUNCTIONS:
        return ""
    if function in _FUNCTIONS:
        return f"tf.{function}"
    if kind in _ARITHMETIC and not getattr(layer, "weights", None):
        return kind.lower()
    return None


def _short(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, int | float) else str(value)


def graph_arithmetic(model: Any) -> str:
    """Return the arithmetic with which a graph without layers begins, such as `* 2 - 1`; empty if there is none.

    It may scale pixels, or continue a scaling outside.
    """
    sources = {key(source) for source in inputs_of(model)}
    takers = [call.layer for call in calls(model) if any(key(tensor) in sources for tensor in call.sources)]
    return str(getattr(takers[0], "first_arithmetic", "")) if len(takers) == 1 else ""


def scaling_hint(model: Any) -> str | None:
    """Return a hint at the preprocessing, from the names of the model's layers; None if they are not known."""
    names = set(_names(model))
    family = next((family for family in _FAMILIES if family.layers <= names), None)
    if any(name.startswith("dense_Dense") for name in names):
        return "it is an export of Teachable Machine, which uses `tf`"
    if family is not None:
        return f"its layers are those of {family.name}, which uses `{family.mode}`"
    return None


def _names(model: Any) -> Iterator[str]:
    for layer in model.layers:
        yield layer.name
        if is_model(layer):
            yield from _names(layer)
