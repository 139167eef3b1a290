"""Published sizes of transformers by preset name, to build them with random weights without downloading the preset.

Sources: Dosovitskiy et al. (ViT, 2021), Touvron et al. (DeiT, 2021), Oquab et al. (DINOv2, 2023), Zhai et al. (SigLIP,
2023), Radford et al. (CLIP, 2021), Liu et al. (Swin, 2021), each in its table of model variants.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import keras

from edgefeat_export._models.hub_package import keras_hub

__all__ = ["Configuration", "configuration_of"]

#: Layers, heads and width; the layers between are four times as wide.
_SIZES = {
    "tiny": (12, 3, 192),
    "small": (12, 6, 384),
    "base": (12, 12, 768),
    "large": (24, 16, 1024),
    "huge": (32, 16, 1280),
}
#: Width of the first stage, blocks and heads by stage.
_SWINS = {
    "tiny": (96, (2, 2, 6, 2), (3, 6, 12, 24)),
    "small": (96, (2, 2, 18, 2), (3, 6, 12, 24)),
    "base": (128, (2, 2, 18, 2), (4, 8, 16, 32)),
    "large": (192, (2, 2, 18, 2), (6, 12, 24, 48)),
}
_CLIP_FEATURES = {"base": 512, "large": 768}
_HALF, _IMAGENET = "tf", "123.675,116.28,103.53/58.395,57.12,57.375"
_CLIP = "122.7709383,116.7460125,104.09373615/68.5005327,66.6321579,70.32316305"


@dataclass(frozen=True, slots=True)
class Configuration:
    """A class of KerasHub, the arguments to build it with, and its images: side and preprocessing, by name."""

    class_name: str
    arguments: dict[str, Any]
    side: int
    preprocessing: str


_PATTERNS = {
    "ViTBackbone": r"vit_(?P<size>base|large|huge)_patch(?P<patch>\d+)_(?P<side>\d+)_imagenet(?:21k)?",
    "DeiTBackbone": r"deit_(?P<size>tiny|small|base)_distilled_patch(?P<patch>\d+)_(?P<side>\d+)_imagenet",
    "DINOV2Backbone": r"dinov2_(?P<registers>with_registers_)?(?P<size>small|base|large)",
    "SigLIPBackbone": r"siglip2?_(?P<size>base|large)_patch(?P<patch>\d+)_(?P<side>\d+)(?:_multilingual)?",
    "CLIPBackbone": r"clip_vit_(?P<size>base|large)_patch(?P<patch>\d+)(?:_(?P<side>\d+))?",
    "SwinTransformerBackbone": r"swin_(?P<size>\w+)_patch(?P<patch>4)_window(?P<window>\d+)_(?P<side>\d+)",
}


def configuration_of(preset: str) -> Configuration | None:
    """Return the configuration of the preset of that name, or None if it is not one of those known here."""
    for name, pattern in _PATTERNS.items():
        match = re.fullmatch(pattern, preset)
        if match is not None:
            return _configuration(name, match.groupdict())
    return None


def _configuration(name: str, found: dict[str, str | None]) -> Configuration:
    side = int(found.get("side") or 224)
    patch = int(found.get("patch") or 14)
    shape = [side, side, 3]
    if name == "SwinTransformerBackbone":
        width, depths, heads = _SWINS[str(found["size"])]
        window = int(found["window"] or 7)
        named = {"embed_dim": width, "depths": depths, "num_heads": heads, "window_size": window, "patch_size": patch}
        return Configuration(name, {"image_shape": shape, **named}, side, _IMAGENET)
    layers, heads_, width = _SIZES[str(found["size"])]
    sizes = {"num_layers": layers, "num_heads": heads_, "hidden_dim": width}
    between = {"mlp_dim" if name == "ViTBackbone" else "intermediate_dim": 4 * width}
    if name == "DINOV2Backbone":
        registers = {"num_register_tokens": 4 if found["registers"] else 0, "position_embedding_shape": [518, 518]}
        return Configuration(
            name, {"patch_size": patch, "image_shape": shape, **sizes, **between, **registers}, side, _IMAGENET
        )
    if name in ("SigLIPBackbone", "CLIPBackbone"):
        vision = {"patch_size": patch, "image_shape": shape, **sizes, **between}
        towers = _towers(name, vision, width)
        if name == "CLIPBackbone":
            return Configuration(name, {**towers, "projection_dim": _CLIP_FEATURES[str(found["size"])]}, side, _CLIP)
        return Configuration(name, towers, side, _HALF)
    scaled = _HALF if name == "ViTBackbone" else _IMAGENET
    return Configuration(name, {"patch_size": patch, "image_shape": shape, **sizes, **between}, side, scaled)


def _towers(name: str, vision: dict[str, Any], width: int) -> dict[str, Any]:
    """Return both towers as `from_config` takes them; that of text, which no image needs, as small as it can be."""
    models, family = keras_hub().models, name.removesuffix("Backbone")
    text: dict[str, Any] = {"vocabulary_size": 2, "num_layers": 1, "num_heads": 1, "hidden_dim": 8}
    if family == "SigLIP":
        text |= {"embedding_dim": 8, "intermediate_dim": 8, "max_sequence_length": 2, "projection_dim": width}
    else:
        text |= {"embedding_dim": 8, "intermediate_dim": 8, "max_sequence_length": 2}
    return {
        "vision_encoder": _serialized(getattr(models, f"{family}VisionEncoder"), {**vision, "name": "vision_encoder"}),
        "text_encoder": _serialized(getattr(models, f"{family}TextEncoder"), {**text, "name": "text_encoder"}),
    }


def _serialized(made: Any, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return what `keras.saving.serialize_keras_object` gives for a layer of that class, without making the layer."""
    registered = keras.saving.get_registered_name(made)
    return {
        "module": made.__module__,
        "class_name": made.__name__,
        "config": arguments,
        "registered_name": registered,
    }
