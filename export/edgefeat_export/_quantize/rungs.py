"""The steps that make int8 files: correct the weights, keep some sections in float, quantize."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgefeat._bundle.json_records import to_json
from edgefeat_export._quantize.correction.corrected_files import Models, correct, features_cosine
from edgefeat_export._quantize.correction.record import allowed
from edgefeat_export._quantize.correction.sections import Section, prefix, sections
from edgefeat_export._quantize.rung import (
    CORRECTED_FILE,
    EARLY_FILE,
    SENSITIVITY_FILE,
    Corrected,
    EarlySections,
    Rung,
    Sensitivity,
)
from edgefeat_export._quantize.stock import Guard, Stock
from edgefeat_export._workspace import Workspace

__all__ = ["correct_weights", "quantize_onnx", "quantize_tflite", "rank_sections", "time_early_sections"]

# Of the calibration pictures so many do not correct but say whether the correction helped.
_GUARDING = 16
# Ranking only compares: fewer pictures tell the same order.
_RANKING_CHECKS = 16
_GROUPS = 12


def time_early_sections(work: Workspace) -> None:
    """Writes `early.json`: timed on this machine, one thread, all lengths of the float beginning in turn."""
    from edgefeat_export._quantize.early_layers import time_prefixes

    parts = _sections(work)
    litert, onnxruntime = time_prefixes(_float32(work), parts, work.calibrating)
    found = EarlySections(*(tuple(part.name for part in parts[: one.sections]) for one in (litert, onnxruntime)))
    (work.folder / EARLY_FILE).write_text(json.dumps(to_json(found)))


def correct_weights(work: Workspace) -> None:
    """Writes corrected float32 models in both formats, and `corrected.json`, in the folder of the rung."""
    rung = Rung.read(work)
    rung.folder(work).mkdir(exist_ok=True)
    parts = _sections(work)
    nodes, operators = prefix([part for part in parts if part.name in rung.float_sections])
    pictures = work.calibrating
    guards = min(_GUARDING, len(pictures) // 4)
    checking = pictures[:guards] if guards else pictures
    int8 = _models(rung.folder(work), "int8")
    guard = Guard(Stock.of(work, _float32(work)), int8, rung.formats, nodes, operators, pictures, checking)
    report = correct(
        _float32(work),
        _corrected(work),
        pictures[guards:],
        checking,
        kept=nodes,
        ladder=allowed(rung.pieces),
        comparison=guard,
    )
    if not report.used:  # what is there was made from weights that were not kept
        int8.tflite.unlink(missing_ok=True)
        int8.onnx.unlink(missing_ok=True)
    done = Corrected(tuple(part.name for part in parts), nodes, operators, _names(report.used), report)
    (rung.folder(work) / CORRECTED_FILE).write_text(json.dumps(to_json(done)))


def quantize_tflite(work: Workspace) -> None:
    """Writes `tflite-int8` from the corrected model; where it was made to be compared, that is it."""
    from edgefeat_export._convert.tflite import int8 as tflite_int8

    done, made, output = Corrected.read(work), _models(Rung.read(work).folder(work), "int8"), work.model("tflite-int8")
    if made.tflite.exists():
        shutil.copyfile(made.tflite, output)
        return
    tflite_int8.int8(_corrected(work).tflite, work.calibrating, output, kept=done.float_operators)


def quantize_onnx(work: Workspace) -> None:
    """Writes `onnx-int8` from the corrected model; where it was made to be compared, that is it, checked."""
    from edgefeat_export._convert.onnx import int8 as onnx_int8

    done, made, output = Corrected.read(work), _models(Rung.read(work).folder(work), "int8"), work.model("onnx-int8")
    if made.onnx.exists():
        shutil.copyfile(made.onnx, output)
    else:
        onnx_int8.quantize(_corrected(work).onnx, work.calibrating, output, kept=done.float_operations)
    onnx_int8.check(output)


def rank_sections(work: Workspace) -> None:
    """Writes `sensitivity.json`: each group of sections left in float by itself, measured, without correction."""
    parts = _sections(work)
    checking = work.calibrating[:_RANKING_CHECKS]
    stock = Stock.of(work, _float32(work))
    groups = [
        [parts[index] for index in group] for group in np.array_split(np.arange(len(parts)), _GROUPS) if len(group)
    ]

    def reached(kept: Sequence[Section]) -> float:
        with tempfile.TemporaryDirectory() as folder:
            made = Path(folder) / "part.onnx"
            stock.onnx(made, prefix(kept)[0])
            return features_cosine(made, stock.float32.onnx, checking)

    without = reached([])
    gains = [reached(group) - without for group in groups]
    order = np.argsort(-np.array(gains), kind="stable")
    ranked = [groups[index] for index in order]
    left = [
        1 - reached([part for group in ranked[:count] for part in group]) for count in range(2, len(groups) // 2 + 1)
    ]
    found = Sensitivity(
        tuple(tuple(part.name for part in group) for group in ranked),
        tuple(gains[index] for index in order),
        (1 - without, 1 - without - gains[order[0]], *left),
    )
    (work.folder / SENSITIVITY_FILE).write_text(json.dumps(to_json(found)))


def _sections(work: Workspace) -> list[Section]:
    models = _float32(work)
    return sections(models.onnx, models.tflite)


def _float32(work: Workspace) -> Models:
    return Models(work.model("tflite-float32"), work.model("onnx-float32"))


def _corrected(work: Workspace) -> Models:
    return _models(Rung.read(work).folder(work), "corrected")


def _models(folder: Path, name: str) -> Models:
    return Models(folder / f"{name}.tflite", folder / f"{name}.onnx")


def _names(correction: object) -> tuple[str, ...]:
    """The pieces of a correction that are on."""
    return tuple(name for name, on in to_json(correction).items() if on)
