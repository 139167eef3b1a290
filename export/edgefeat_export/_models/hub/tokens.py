"""What the tokens of a transformer are: class, distillation and register tokens before the patches, and their grid."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from edgefeat._bundle.manifest import Pooling, Tokens
from edgefeat_export._models.saved.graph import is_model

__all__ = ["KnownTokens", "known_tokens", "tokens_of"]


@dataclass(frozen=True, slots=True)
class KnownTokens:
    """The special tokens before the patches, in order, and how the backbone's authors make one vector of all."""

    special: tuple[str, ...]
    authors_pooling: Pooling


def known_tokens(model: Any) -> KnownTokens | None:
    """Return what the tokens of a KerasHub model are, or of the first model of KerasHub in it; None if not known."""
    for one in _models(model):
        found = _of_class(one)
        if found is not None:
            return found
    return None


def _models(model: Any) -> Iterator[Any]:
    yield model
    for layer in getattr(model, "layers", ()):
        if is_model(layer):
            yield from _models(layer)


def _of_class(model: Any) -> KnownTokens | None:
    """Return the tokens by the model's class.

    Sources for the pooling: ViT, class token (Dosovitskiy et al. 2021), without one the mean (Beyer et al. 2022); DeiT,
    class token of the two (Touvron et al. 2021); DINOv2 and v3, class token for retrieval and nearest neighbours (Oquab
    et al. 2023, Simeoni et al. 2025); CLIP, class token before the projection (Radford et al. 2021); Swin, mean (Liu et
    al. 2021). SigLIP pools by an attention head, which is its last layer: before it, the mean.
    """
    match type(model).__name__:
        case "ViTBackbone":
            return KnownTokens(("class",), "cls") if model.use_class_token else KnownTokens((), "mean")
        case "DeiTBackbone":
            return KnownTokens(("class", "distillation"), "cls")
        case "DINOV2Backbone" | "DINOV3Backbone":
            return KnownTokens(("class", *["register"] * model.num_register_tokens), "cls")
        case "CLIPVisionEncoder" | "MetaCLIP2VisionEncoder":
            return KnownTokens(("class",), "cls")
        case "SigLIPVisionEncoder" | "SwinTransformerBackbone":
            return KnownTokens((), "mean")
    return None


def tokens_of(count: int, size: Sequence[int], known: KnownTokens | None) -> tuple[Tokens, str | None]:
    """Return what `count` tokens of an image of `size` (height, width) are, and a note if that is only assumed.

    A layer before the special tokens are added has only patches. If the model is not known, one token more than a grid
    of patches is taken to be a class token.
    """
    if known is not None:
        for special in (known.special, ()):
            grid = _grid(count - len(special), size)
            if grid:
                return Tokens(count, special, grid, known.authors_pooling if special == known.special else "mean"), None
    grid, without_one = _grid(count, size), _grid(count - 1, size)
    if grid or not without_one:
        return Tokens(count, (), grid, None), None
    note = (
        f"the layer gives {count} tokens: the first is taken to be a class token, the others "
        f"{without_one[0]}x{without_one[1]} patches"
    )
    return Tokens(count, ("class",), without_one, None), note


def _grid(patches: int, size: Sequence[int]) -> tuple[int, ...]:
    """Return rows and columns of square patches that cover the image; empty if there is no such grid."""
    if patches < 1:
        return ()
    height, width = size
    rows = math.isqrt(patches * height // width)
    for candidate in (rows, rows + 1):
        if candidate and patches % candidate == 0 and candidate * width == patches // candidate * height:
            return candidate, patches // candidate
    return ()
