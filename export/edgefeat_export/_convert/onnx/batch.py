"""Check that the images of a batch do not affect each other in an ONNX model with a free batch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import onnxruntime

from edgefeat import ExportError
from edgefeat._bundle.fidelity import cosines
from edgefeat_export._convert.graph import INPUT

__all__ = ["check_rows"]

_Rows = list[npt.NDArray[np.float32]]

#: Lowest cosine allowed between an image's feature in a batch and alone. Engines sum in another order for a batch; in
#: int8 a sum between two levels may then round to the other one, and later layers enlarge the difference.
_ALONE = {"float32": 0.9999, "int8": 0.98}

#: Lowest cosine allowed between an image's features in batches with different neighbours. The order of the sums is the
#: same, so the features must be almost equal.
_NEIGHBOURS = {"float32": 0.9999, "int8": 0.999}

#: The allowed difference in a feature's length, as a fraction; the cosine does not show it.
_LENGTH = {"float32": 0.01, "int8": 0.1}


def check_rows(path: Path, precision: Literal["float32", "int8"]) -> None:
    """Raise ExportError if an image's feature depends on the other images of its batch.

    Three images of noise are run alone, together, and each between a black and a white one. A feature may be rounded
    differently in a batch, as far as `precision` allows; with other neighbours it must stay the same.
    """
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    run = _runner(session)
    height, width = session.get_inputs()[0].shape[1:3]
    names = [output.name for output in session.get_outputs()]
    pictures = np.random.default_rng(0).integers(0, 256, (3, height, width, 3), np.uint8)
    alone = [run(picture[np.newaxis]) for picture in pictures]
    together = run(pictures)
    for place in range(len(pictures)):
        neighbours = np.stack([np.zeros_like(pictures[0]), np.full_like(pictures[0], 255), pictures[0] // 2])
        neighbours[place] = pictures[place]
        elsewhere = run(neighbours)
        for index, name in enumerate(names):
            row = together[index][place : place + 1]
            if together[index].shape != (len(pictures), *alone[place][index].shape[1:]):
                raise _mixed(name, f"a batch of three gives the shape {together[index].shape}")
            if (found := _difference(elsewhere[index][place : place + 1], row, _NEIGHBOURS, precision)) is not None:
                raise _mixed(name, f"an image's feature changes with its neighbours: {found}")
            if (found := _difference(alone[place][index], row, _ALONE, precision)) is not None:
                raise _mixed(name, f"an image's feature in a batch differs from its feature alone: {found}")


def _runner(session: Any) -> Callable[[npt.NDArray[np.uint8]], _Rows]:
    def run(pictures: npt.NDArray[np.uint8]) -> _Rows:
        try:
            rows: _Rows = session.run(None, {INPUT: pictures})
        except Exception as error:  # onnxruntime's errors have no other common base class
            raise ExportError(f"the ONNX model does not run on a batch of {len(pictures)}: {error}") from error
        return rows

    return run


def _difference(
    one: npt.NDArray[np.float32], other: npt.NDArray[np.float32], least: dict[str, float], precision: str
) -> str | None:
    """Return a description of the difference between two features (1, ...) of one image, or None if it is allowed."""
    cosine = float(cosines(one, other)[0])
    if cosine < least[precision]:
        return f"cosine {cosine:.5f} (allowed: {least[precision]} or more)"
    lengths = sorted(float(np.linalg.norm(row.astype(np.float64))) for row in (one, other))
    if lengths[1] - lengths[0] > _LENGTH[precision] * lengths[1]:
        return f"length {lengths[0]:.4g} instead of {lengths[1]:.4g} (allowed: {_LENGTH[precision]:.0%} more)"
    return None


def _mixed(tap: str, why: str) -> ExportError:
    return ExportError(f"tap {tap}: the ONNX model mixes the images of a batch: {why}")
