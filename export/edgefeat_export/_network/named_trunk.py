"""Build a backbone by name with its weights, and cut it at layers."""

from __future__ import annotations

import os
import re
from typing import Any

import keras

from edgefeat import ArgumentError, ExportError
from edgefeat_export._models.backbones import Backbone, backbone_named
from edgefeat_export._models.preprocessing import preprocessing_named
from edgefeat_export._models.weights import copy_weights, load_weights
from edgefeat_export._network.cut import cut
from edgefeat_export._network.hub_trunk import hub_trunk
from edgefeat_export._network.saved_trunk import saved_trunk
from edgefeat_export._network.trunk import Trunk, check_layers
from edgefeat_export._spec import IMAGENET, RANDOM, NetworkSpec, is_hub, is_model_file

__all__ = ["build_trunk"]

Size = tuple[int, int]


def build_trunk(spec: NetworkSpec, *, opened: bool = True) -> Trunk:
    """Return the backbone that `spec` names, of Keras or KerasHub, or the saved model at that path, cut at its layers.

    A backbone of KerasHub that is not to be `opened` stays one layer, which Keras can save and load.
    Raises ArgumentError for an invalid name, option, layer, size or weights, and ExportError if the weights are not
    available.
    """
    if spec.config and not is_hub(spec.backbone):
        raise ArgumentError(f"backbone {spec.backbone} has no config: leave --config out, it is for hub: backbones")
    if is_hub(spec.backbone):
        return hub_trunk(spec, opened=opened)
    if is_model_file(spec.backbone):
        return saved_trunk(spec, opened=opened)
    if spec.inputs:
        raise ArgumentError(f"backbone {spec.backbone} takes one image and no other input: leave --input out")
    backbone = backbone_named(spec.backbone)
    whole = _with_weights(backbone, spec)
    preprocessing = spec.preprocess or backbone.preprocessing
    preprocess = preprocessing_named(spec.preprocess) if spec.preprocess else backbone.preprocess
    model, layers = cut(whole, spec.layers)
    check_layers(model)
    height, width = whole.inputs[0].shape[1:3]
    return Trunk(backbone.name, model, (int(height), int(width)), layers, preprocess, preprocessing)


def _with_weights(backbone: Backbone, spec: NetworkSpec) -> keras.Model:
    """Return the network with the layers to cut at: without its top, unless a cut is in the top."""
    size = _size(backbone, spec)
    if spec.weights not in (None, IMAGENET):
        model, _ = _with_layers(backbone, spec, size)
        if spec.weights != RANDOM:
            load_weights(model, spec.weights, backbone.state_dict)
        return model
    if not backbone.downloads:
        raise ExportError(_no_download(backbone))
    top = False
    if spec.layers:
        model, top = _with_layers(backbone, spec, size)
        cut(model, spec.layers)  # report an invalid layer before anything is downloaded
    return _pretrained(backbone, spec, size, top=top)


def _size(backbone: Backbone, spec: NetworkSpec) -> Size:
    height, width = spec.size or (backbone.size, backbone.size)
    if min(height, width) < backbone.smallest:
        raise ArgumentError(
            f"backbone {backbone.name} does not accept images of {height}x{width} "
            f"(allowed: {backbone.smallest}x{backbone.smallest} or larger)"
        )
    return height, width


def _with_layers(backbone: Backbone, spec: NetworkSpec, size: Size) -> tuple[keras.Model, bool]:
    """Return the network with random weights, and whether it has its top: only if a layer is in the top."""
    model = _built(backbone, spec, size, top=False)
    wanted = {layer.partition("/")[0] for layer in spec.layers} - {layer.name for layer in model.layers}
    if not wanted:
        return model, False
    whole = _built(backbone, spec, (backbone.size, backbone.size) if backbone.fixed_top else size, top=True)
    found = sorted(wanted & {layer.name for layer in whole.layers})
    if found and backbone.fixed_top and size != (backbone.size, backbone.size):
        raise ArgumentError(
            f"layer {found[0]!r} of {backbone.name} accepts only images of {backbone.size}x{backbone.size}, "
            f"not {size[0]}x{size[1]}: leave --input-size out, or cut before the dense layers"
        )
    return whole, True


def _pretrained(backbone: Backbone, spec: NetworkSpec, size: Size, *, top: bool) -> keras.Model:
    """Return the network with Keras's weights; with a top, Keras has weights only for the sizes it was trained for."""
    trained = not top or (size[0] == size[1] and size[0] in backbone.trained_sizes)
    whole = _built(backbone, spec, size if trained else (backbone.size, backbone.size), top=top, weights=IMAGENET)
    if trained:
        return whole
    model = _built(backbone, spec, size, top=top)
    copy_weights(whole, model)
    return model


def _built(backbone: Backbone, spec: NetworkSpec, size: Size, *, top: bool, weights: str | None = None) -> keras.Model:
    """Return the network, with the same names and random weights whatever was built before it."""
    options: dict[str, Any] = {}
    if spec.alpha is not None:
        if not backbone.accepts("alpha"):
            raise ArgumentError(f"backbone {backbone.name} has no alpha: leave --alpha out")
        options["alpha"] = spec.alpha
    keras.utils.clear_session()
    keras.utils.set_random_seed(spec.seed)
    try:
        return backbone.factory(include_top=top, weights=weights, input_shape=(*size, 3), **options)
    except ValueError as error:
        raise ArgumentError(
            f"backbone {backbone.name} cannot be built at {size[0]}x{size[1]}"
            + (f" with alpha {spec.alpha}" if spec.alpha is not None else "")
            + f": {_one_line(error)}"
        ) from error
    except Exception as error:  # Keras raises a bare Exception if a download fails
        if weights is None:
            raise
        raise ExportError(_no_weights(backbone, error)) from error


def _no_download(backbone: Backbone) -> str:
    name = backbone.name
    if backbone.state_dict is None:
        return (
            f"there are no imagenet weights of {name} to download: use --weights with a .keras, .h5 or "
            ".weights.h5 file of this network; or test with --weights random, whose features mean nothing"
        )
    save = f"s.save_file(torchvision.models.{name}(weights='IMAGENET1K_V1').state_dict(), '{name}.safetensors')"
    return (
        f"there are no imagenet weights of {name} to download. Either save torchvision's, "
        f'python -c "import torchvision, safetensors.torch as s; {save}", and use --weights {name}.safetensors; '
        "or test with --weights random, whose features mean nothing"
    )


def _no_weights(backbone: Backbone, error: Exception) -> str:
    text = _one_line(error)
    address = re.search(r"https?://\S+/([\w.\-]+\.h5)", text)
    file = address.group(1) if address else "its weights file"
    home = os.environ.get("KERAS_HOME") or os.path.join(os.path.expanduser("~"), ".keras")
    return (
        f"the imagenet weights of {backbone.name} were not found in {os.path.join(home, 'models')} and cannot be "
        f"downloaded ({text}). Run once with a network connection; or set KERAS_HOME to a folder that contains "
        f"models/{file}; or test with --weights random, whose features mean nothing"
    )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
