"""The steps that make int8 files: correct the weights, keep some sections in float, quantize."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from edgefeat._records import to_json
from edgefeat_export._correct.files import Models, correct, mean_cosine
from edgefeat_export._correct.record import allowed
from edgefeat_export._correct.sections import Section, prefix, sections
from edgefeat_export._rung import EARLY_FILE, SENSITIVITY_FILE, Corrected, EarlySections, Rung, Sensitivity
from edgefeat_export._workspace import Workspace

__all__ = ["correct_weights", "quantize_onnx", "quantize_tflite", "rank_sections", "time_early_sections"]

# Of the calibration pictures so many do not correct but say whether the correction helped.
_GUARDING = 16
# Ranking only compares: fewer pictures tell the same order.
_RANKING_PICTURES, _RANKING_CHECKS = 24, 16
_GROUPS = 12


def time_early_sections(work: Workspace) -> None:
    """Writes `early.json`: timed on this machine, one thread, all lengths of the float beginning in turn."""
    from edgefeat_export._correct.early import time_prefixes

    parts = _sections(work)
    litert, onnxruntime = time_prefixes(_float32(work), parts, work.calibrating)
    found = EarlySections(*(tuple(part.name for part in parts[: one.sections]) for one in (litert, onnxruntime)))
    (work.folder / EARLY_FILE).write_text(json.dumps(to_json(found)))


def correct_weights(work: Workspace) -> None:
    """Writes corrected float32 models in both formats, and `corrected.json`."""
    rung = Rung.read(work)
    parts = _sections(work)
    nodes, operators = prefix([part for part in parts if part.name in rung.float_sections])
    pictures = work.calibrating
    guards = min(_GUARDING, len(pictures) // 4)
    report = correct(
        _float32(work),
        _corrected(work),
        pictures[guards:],
        pictures[:guards] if guards else pictures,
        kept=nodes,
        ladder=allowed(rung.pieces),
    )
    done = Corrected(tuple(part.name for part in parts), nodes, operators, _names(report.used), report)
    (work.folder / "corrected.json").write_text(json.dumps(to_json(done)))


def quantize_tflite(work: Workspace) -> None:
    """Writes `tflite-int8` from the corrected model."""
    from edgefeat_export._convert import tflite_int8

    done = Corrected.read(work)
    tflite_int8.int8(
        _corrected(work).tflite,
        work.calibrating,
        work.model("tflite-int8"),
        kept=done.float_operators,
    )


def quantize_onnx(work: Workspace) -> None:
    """Writes `onnx-int8` from the corrected model."""
    from edgefeat_export._convert import onnx_int8

    done = Corrected.read(work)
    onnx_int8.int8(
        _corrected(work).onnx,
        work.calibrating,
        work.model("onnx-int8"),
        kept=done.float_operations,
    )


def rank_sections(work: Workspace) -> None:
    """Writes `sensitivity.json`: each group of sections left in float by itself, measured, without correction."""
    parts = _sections(work)
    pictures = work.calibrating
    fitting, checking = pictures[_RANKING_CHECKS:][:_RANKING_PICTURES], pictures[:_RANKING_CHECKS]
    if not len(fitting):
        fitting = checking
    float32 = _float32(work).onnx
    groups = [
        [parts[index] for index in group] for group in np.array_split(np.arange(len(parts)), _GROUPS) if len(group)
    ]
    without = mean_cosine(float32, float32, fitting, checking)
    gains = [mean_cosine(float32, float32, fitting, checking, kept=prefix(group)[0]) - without for group in groups]
    order = np.argsort(-np.array(gains), kind="stable")
    found = Sensitivity(
        tuple(tuple(part.name for part in groups[index]) for index in order), tuple(gains[index] for index in order)
    )
    (work.folder / SENSITIVITY_FILE).write_text(json.dumps(to_json(found)))


def _sections(work: Workspace) -> list[Section]:
    models = _float32(work)
    return sections(models.onnx, models.tflite)


def _float32(work: Workspace) -> Models:
    return Models(work.model("tflite-float32"), work.model("onnx-float32"))


def _corrected(work: Workspace) -> Models:
    return Models(Path(work.folder / "corrected.tflite"), Path(work.folder / "corrected.onnx"))


def _names(correction: object) -> tuple[str, ...]:
    """The pieces of a correction that are on."""
    return tuple(name for name, on in to_json(correction).items() if on)
