"""The parts of a KerasHub model to cut at: its image tower, its blocks, and the levels of its pyramid."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import keras

from edgefeat import ArgumentError
from edgefeat_export._models.hub_package import PACKAGE
from edgefeat_export._models.saved.graph import giver, inputs_of
from edgefeat_export._models.saved.picture_inputs import input_name, picture_input

__all__ = ["Parts", "closed", "is_backbone", "parts_of"]


#: Attributes of models with more inputs that are the part for images.
_TOWERS = ("vision_encoder", "image_encoder", "vit_encoder")


@dataclass(frozen=True, slots=True)
class Parts:
    """A functional model with one image as its input, and its outputs by name, in order, besides its layers.

    `last` is the name to cut at if the user names none.
    """

    model: keras.Model
    named: dict[str, Any]
    last: str


def is_backbone(model: Any) -> bool:
    """Return whether a loaded model is a backbone of KerasHub, rather than a task or a model that contains one."""
    hub = sys.modules.get(PACKAGE)
    return hub is not None and isinstance(model, hub.models.Backbone)


def parts_of(model: Any) -> Parts:
    """Return the parts of a backbone of KerasHub.

    Of a model with two towers it is the one for images, up to its embedding. Blocks that KerasHub hides in one layer
    become layers. Raises ArgumentError if the model takes no image.
    """
    pictures = [source for source in inputs_of(model) if picture_input(source) is not None]
    if len(pictures) != 1:
        taken = ", ".join(f"{input_name(source)} {tuple(source.shape)[1:]}" for source in inputs_of(model))
        raise ArgumentError(f"{type(model).__name__} takes {taken} (allowed: a backbone with one image as its input)")
    if len(inputs_of(model)) > 1:
        return _tower(model, pictures[0])
    named = {str(name): tensor for name, tensor in (getattr(model, "pyramid_outputs", None) or {}).items()}
    if isinstance(model.output, dict):
        named |= {str(name): tensor for name, tensor in model.output.items()}
        return Parts(keras.Model(pictures[0], list(named.values())), named, list(named)[-1])
    blocks = _dino(model, pictures[0]) or _blocks(model, pictures[0])
    if blocks is not None:
        return blocks
    outputs = [*named.values(), model.outputs[0]]
    whole = keras.Model(pictures[0], outputs) if named else keras.Model(pictures[0], model.outputs[0])
    return Parts(whole, named, str(giver(model.outputs[0]).name))


def closed(model: Any) -> Any:
    """Return the same as the last of `parts_of`, from the image, with the backbone or its tower as one layer.

    Keras can save and load this one. Of some layers inside, KerasHub does not write down all that builds them again.
    """
    (picture,) = [source for source in inputs_of(model) if picture_input(source) is not None]
    if len(inputs_of(model)) > 1:
        return _tower(model, picture).model
    fresh = keras.Input(tuple(picture.shape)[1:])
    result = model(fresh)
    return keras.Model(fresh, list(result.values())[-1] if isinstance(result, dict) else result)


def _tower(model: Any, picture: Any) -> Parts:
    """Return the tower for images of a model that also takes text."""
    tower = next((getattr(model, name) for name in _TOWERS if hasattr(model, name)), None)
    if hasattr(model, "get_vision_embeddings"):
        embedding = model.get_vision_embeddings(picture)
    elif tower is not None:
        embedding = tower(picture)
    else:
        raise ArgumentError(
            f"{type(model).__name__} takes {', '.join(map(input_name, inputs_of(model)))}, and has no part for images "
            "alone (allowed: a backbone with one image as its input, or two towers as in CLIP)"
        )
    return Parts(keras.Model(picture, embedding), {}, str(giver(embedding).name))


def _dino(model: Any, picture: Any) -> Parts | None:
    """Return DINOv2 or v3 with each block of its encoder as a layer; None for other models.

    The levels of its pyramid are the blocks' results, normalized if the model does that.
    """
    if type(model).__name__ not in ("DINOV2Backbone", "DINOV3Backbone"):
        return None
    tokens = model.embeddings(picture)
    levels = {"stem": tokens}
    position: dict[str, Any] = {}
    if hasattr(model, "rope_embedding"):
        position = {"position_embeddings": model.rope_embedding(picture)}
        position["num_prefix_tokens"] = 1 + model.num_register_tokens
    for number, block in enumerate(model.encoder.layers, start=1):
        tokens = block(tokens, **position)
        levels[f"stage{number}"] = tokens
    last = model.layernorm(tokens)
    if model.apply_layernorm:
        levels = {name: model.layernorm(level) for name, level in levels.items()}
    named = {name: level for name, level in levels.items() if name in model.pyramid_outputs}
    return Parts(
        keras.Model(picture, [*named.values(), last]), {**named, model.layernorm.name: last}, model.layernorm.name
    )


def _blocks(model: Any, picture: Any) -> Parts | None:
    """Return ViT or DeiT with each block of its encoder as a layer; None for other models.

    KerasHub's encoder of these is one layer, which calls its blocks in order and then normalizes. The layers, and so
    the weights, are the same.
    """
    if type(model).__name__ not in ("ViTBackbone", "DeiTBackbone"):
        return None
    *before, encoder = [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]
    tokens = picture
    for layer in before:
        tokens = layer(tokens)
    if hasattr(encoder, "dropout"):
        tokens = encoder.dropout(tokens)
    for block in encoder.encoder_layers:
        tokens = TransformerBlock(block)(tokens)
    tokens = encoder.layer_norm(tokens)
    return Parts(keras.Model(picture, tokens), {}, encoder.layer_norm.name)


class TransformerBlock(keras.Layer):  # type: ignore[misc]  # keras has no types
    """Calls a block of KerasHub and returns its tokens, without the attention scores that a block of DeiT adds."""

    def __init__(self, block: Any) -> None:
        super().__init__(name=block.name)
        self.block = block
        self.built = True

    def call(self, tokens: Any) -> Any:
        result = self.block(tokens)
        return result[0] if isinstance(result, tuple) else result

    def compute_output_spec(self, tokens: Any) -> Any:
        return keras.KerasTensor(tokens.shape, dtype=tokens.dtype)
