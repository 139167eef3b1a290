"""The steps of an export, each a function on a workspace, each run in a process of its own by `_subprocess`.

What the steps of float variants need of others is in `NEEDS`; those of int8 are called for by `_int8`. Heavy packages
are imported inside, so that a step loads only its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from edgefeat import ExportError
from edgefeat._bundle.manifest import VARIANTS
from edgefeat._images.form import PictureForm
from edgefeat_export._pipeline.ladder import CORRECTED, EARLY, SENSITIVITY
from edgefeat_export._workspace import NETWORK, NetworkFacts, Workspace

__all__ = ["NEEDS", "STEPS", "ordered", "waves"]

#: What must have been made before each step.
NEEDS: dict[str, tuple[str, ...]] = {
    NETWORK: (),
    "tflite-float32": (NETWORK,),
    "tflite-float16": ("tflite-float32",),
    "tflite-dynamic": (NETWORK,),
    "onnx-float32": ("tflite-float32",),
}


def ordered(variants: Sequence[str]) -> list[str]:
    """The steps that bring the float ones of `variants`, each after what it needs."""
    steps: list[str] = []

    def add(step: str) -> None:
        for need in NEEDS[step]:
            add(need)
        if step not in steps:
            steps.append(step)

    for variant in VARIANTS:
        if variant in variants and variant in NEEDS:
            add(variant)
    return steps


def waves(steps: Sequence[str]) -> list[list[str]]:
    """`steps` in groups: those of one need only those of the groups before, and so can run at once."""
    level: dict[str, int] = {}
    for step in steps:
        level[step] = 1 + max((level[need] for need in NEEDS[step]), default=-1)
    return [[step for step in steps if level[step] == depth] for depth in range(max(level.values()) + 1)]


def _network(work: Workspace) -> None:
    from edgefeat_export._convert.graph import save_graph
    from edgefeat_export._images.calibration import gather
    from edgefeat_export._network.heads import build, weights_sha256
    from edgefeat_export._network.random_weights import condition
    from edgefeat_export._network.trunk import build_trunk

    spec = work.spec
    trunk = build_trunk(spec)
    height, width = trunk.size
    form = PictureForm(height, width, fit=spec.fit, transparency=spec.background, color=trunk.color)
    notes = list(trunk.notes)
    pictures = gather(spec.calibration, spec.evaluation, form, seed=spec.seed, tell=notes.append)
    work.write_pictures(pictures)
    if spec.weights == "random":
        condition(trunk, pictures.calibrating)
    network = build(trunk, spec, pictures.calibrating)
    save_graph(network.model, [tap.name for tap in network.taps], work.graph_path)
    facts = NetworkFacts(
        backbone=trunk.name,
        preprocessing=trunk.preprocessing,
        weights_sha256=weights_sha256(trunk.model),
        picture=form,
        taps=network.taps,
        calibration=pictures.about,
        notes=tuple(notes),
    )
    reference = network.features(pictures.checking)
    for tap, rows in reference.items():
        _check_features(tap, rows)
    work.write_facts(facts, reference)


def _check_features(tap: str, rows: NDArray[np.float32]) -> None:
    """Raises ExportError where Keras's own features say nothing: nothing could be measured against them."""
    if not np.isfinite(rows).all():
        raise ExportError(
            f"the Keras features of tap {tap} are not finite numbers: the weights or preprocessing are wrong"
        )
    if not rows.any():
        raise ExportError(f"the Keras features of tap {tap} are all zero: the weights or the preprocessing are wrong")


def _tflite_float32(work: Workspace) -> None:
    from edgefeat_export._convert.tflite import conversion as tflite

    tflite.float32(work.graph, work.model("tflite-float32"))
    _describe(work, "tflite-float32")


def _tflite_float16(work: Workspace) -> None:
    from edgefeat_export._convert.tflite import conversion as tflite

    tflite.float16(work.model("tflite-float32"), work.model("tflite-float16"))
    _describe(work, "tflite-float16")


def _tflite_dynamic(work: Workspace) -> None:
    from edgefeat_export._convert.tflite import conversion as tflite

    tflite.dynamic(work.graph, work.model("tflite-dynamic"))
    _describe(work, "tflite-dynamic")


def _describe(work: Workspace, variant: str) -> None:
    """Before the file is measured and hashed, so that what is measured is what is shipped."""
    from edgefeat_export._bundle.description import about
    from edgefeat_export._bundle.tflite_metadata import describe

    describe(work.model(variant), about(work, variant))


def _onnx_float32(work: Workspace) -> None:
    from edgefeat_export._convert.onnx import conversion as onnx

    onnx.float32(work.model("tflite-float32"), work.model("onnx-float32"))


def _correct(work: Workspace) -> None:
    from edgefeat_export._quantize.rungs import correct_weights

    correct_weights(work)


def _rank(work: Workspace) -> None:
    from edgefeat_export._quantize.rungs import rank_sections

    rank_sections(work)


def _time_early(work: Workspace) -> None:
    from edgefeat_export._quantize.rungs import time_early_sections

    time_early_sections(work)


def _tflite_int8(work: Workspace) -> None:
    from edgefeat_export._quantize.rungs import quantize_tflite

    quantize_tflite(work)
    _describe(work, "tflite-int8")


def _onnx_int8(work: Workspace) -> None:
    from edgefeat_export._quantize.rungs import quantize_onnx

    quantize_onnx(work)


STEPS: dict[str, Callable[[Workspace], None]] = {
    NETWORK: _network,
    "tflite-float32": _tflite_float32,
    "tflite-float16": _tflite_float16,
    "tflite-dynamic": _tflite_dynamic,
    CORRECTED: _correct,
    SENSITIVITY: _rank,
    EARLY: _time_early,
    "tflite-int8": _tflite_int8,
    "onnx-float32": _onnx_float32,
    "onnx-int8": _onnx_int8,
}
