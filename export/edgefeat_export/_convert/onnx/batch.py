"""Whether the pictures of a batch leave each other alone, in an ONNX model with a free batch."""

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

#: Least cosine of a picture's feature in a batch to its feature alone. Engines add up in another order for a batch; in
#: int8 a sum that lies between two levels may then fall to the other one, and layers behind it enlarge the difference.
_ALONE = {"float32": 0.9999, "int8": 0.98}

#: Least cosine of a picture's feature in a batch to that in a batch with other neighbours. The order of the sums is the
#: same, so hardly anything may differ.
_NEIGHBOURS = {"float32": 0.9999, "int8": 0.999}

#: How much longer or shorter a feature may be, as a fraction; a cosine does not tell.
_LENGTH = {"float32": 0.01, "int8": 0.1}


def check_rows(path: Path, precision: Literal["float32", "int8"]) -> None:
    """Raise ExportError where a picture's feature depends on the other pictures of its batch.

    Three pictures of noise are run one by one, together, and each between a black and a white one. A feature may be
    rounded differently in a batch, as far as `precision` allows; with other neighbours it must stay the same.
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
                raise _mixed(name, f"three give the shape {together[index].shape}")
            if (found := _difference(elsewhere[index][place : place + 1], row, _NEIGHBOURS, precision)) is not None:
                raise _mixed(name, f"one picture's feature changes with its neighbours: {found}")
            if (found := _difference(alone[place][index], row, _ALONE, precision)) is not None:
                raise _mixed(name, f"one picture's feature in a batch is not the one it has alone: {found}")


def _runner(session: Any) -> Callable[[npt.NDArray[np.uint8]], _Rows]:
    def run(pictures: npt.NDArray[np.uint8]) -> _Rows:
        try:
            rows: _Rows = session.run(None, {INPUT: pictures})
        except Exception as error:  # onnxruntime's errors have no common base but this
            raise ExportError(f"the ONNX model does not run on a batch of {len(pictures)}: {error}") from error
        return rows

    return run


def _difference(
    one: npt.NDArray[np.float32], other: npt.NDArray[np.float32], least: dict[str, float], precision: str
) -> str | None:
    """By how much two features (1, ...) of one picture differ, in words, where that is too much."""
    cosine = float(cosines(one, other)[0])
    if cosine < least[precision]:
        return f"cosine {cosine:.5f} (allowed: {least[precision]} or more)"
    lengths = sorted(float(np.linalg.norm(row.astype(np.float64))) for row in (one, other))
    if lengths[1] - lengths[0] > _LENGTH[precision] * lengths[1]:
        return f"length {lengths[0]:.4g} against {lengths[1]:.4g} (allowed: {_LENGTH[precision]:.0%} more)"
    return None


def _mixed(tap: str, why: str) -> ExportError:
    return ExportError(f"tap {tap}: the ONNX model mixes the pictures of a batch, {why}")
