"""A contact sheet: each photo beside its nearest neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps

__all__ = ["Neighbours", "nearest", "write_sheet"]

#: For each photo its nearest others: index and cosine, nearest first.
Neighbours = list[list[tuple[int, float]]]

_TILE, _GAP, _TEXT = 120, 10, 26


def nearest(features: NDArray[np.float32], count: int) -> Neighbours:
    """The `count` nearest others of each row of `features` (N, D) by cosine."""
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    unit = features / np.where(norms == 0, 1, norms)
    cosine = unit @ unit.T
    np.fill_diagonal(cosine, -np.inf)
    order = np.argsort(-cosine, axis=1, kind="stable")[:, : min(count, len(features) - 1)]
    return [[(int(other), float(cosine[row, other])) for other in others] for row, others in enumerate(order)]


def write_sheet(paths: Sequence[str], neighbours: Neighbours, output: Path) -> None:
    """A PNG with a row for each of `neighbours`: the photo of that index in `paths`, then its neighbours."""
    columns = 1 + max(len(row) for row in neighbours)
    step = _TILE + _GAP
    sheet = Image.new("RGB", (columns * step + 3 * _GAP, len(neighbours) * (step + _TEXT) + _GAP), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for row, others in enumerate(neighbours):
        y = _GAP + row * (step + _TEXT)
        tiles = [(paths[row], Path(paths[row]).name)] + [(paths[other], f"{cosine:.3f}") for other, cosine in others]
        for column, (picture, caption) in enumerate(tiles):
            x = _GAP + column * step + (2 * _GAP if column else 0)
            with Image.open(picture) as image:
                sheet.paste(ImageOps.fit(ImageOps.exif_transpose(image).convert("RGB"), (_TILE, _TILE)), (x, y))
            text = caption if len(caption) <= 20 else f"{caption[:18]}.."
            draw.text((x, y + _TILE + 4), text, fill="black", font=font)
    sheet.save(output)
