"""The steps of an export: each is a function with typed arguments that writes its file and returns a record.

Each runs in a worker process, see `worker_pool`. Heavy packages are imported inside functions, so that a worker loads
only what its steps use.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from edgefeat import ExportError
from edgefeat._bundle.manifest import INTEGER, Integers
from edgefeat._images.form import PictureForm
from edgefeat._images.frames.form import FrameForm
from edgefeat_export._quantize.records import Corrected, EarlySections, Estimate, Prefixes, Rung, Sensitivity
from edgefeat_export._spec import Activations, FloatLayers, IntegerInput, NetworkSpec
from edgefeat_export._workspace import BuiltNetwork, NetworkFacts, Workspace

__all__ = [
    "BUILD_NETWORK",
    "CHOOSE_EARLY_SECTIONS",
    "CORRECT_WEIGHTS",
    "DENSE_INT8",
    "ESTIMATED_COST",
    "EXTEND_EARLY_SECTIONS",
    "FLOAT_VARIANTS",
    "FRAME_VARIANT",
    "INT8_VARIANTS",
    "INTEGER_VARIANT",
    "NEEDS",
    "RANK_SECTIONS",
    "STEPS",
    "Step",
]

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Step(Generic[P, R]):
    """A function that a worker runs; `tensorflow` says whether the worker has TensorFlow.

    `weight` is its rough relative duration, measured on ResNet50, MobileNetV2 and EfficientNetV2 B0.
    """

    name: str
    function: Callable[P, R]
    tensorflow: bool = False
    weight: int = 1


def _build_network(work: Workspace, spec: NetworkSpec) -> BuiltNetwork:
    from edgefeat_export._convert.frames.plan import enlarged
    from edgefeat_export._convert.graph import save_graph
    from edgefeat_export._images.calibration import gather
    from edgefeat_export._images.frames import camera_frames, prepared
    from edgefeat_export._network.named_trunk import build_trunk
    from edgefeat_export._network.network import build, layer_poolings, weights_sha256
    from edgefeat_export._network.random_weights import condition

    trunk = build_trunk(spec)
    layer_poolings(trunk, spec)  # before the photos are read: a pooling that does not apply is an error
    height, width = trunk.size
    form = PictureForm(
        height, width, fit=spec.fit or trunk.fit or "stretch", transparency=spec.background, color=trunk.color
    )
    notes = [*trunk.notes, *(note for frame in spec.frames if (note := enlarged(frame, form)) is not None)]
    pictures = gather(spec.calibration, spec.evaluation, form, seed=spec.seed, tell=notes.append)
    work.write_pictures(pictures)
    if spec.weights == "random":
        condition(trunk, pictures.calibrating)
    network = build(trunk, spec, pictures.calibrating)
    save_graph(network.model, [tap.name for tap in network.taps], work.graph_path)
    reference = network.features(pictures.checking)
    for tap, rows in reference.items():
        _check_features(tap, rows)
    facts = NetworkFacts(
        backbone=trunk.name,
        preprocessing=trunk.preprocessing,
        weights_sha256=weights_sha256(trunk.model),
        picture=form,
        taps=network.taps,
        calibration=pictures.about,
        labels=pictures.labels,
        notes=(*notes, *network.notes),
    )
    built = BuiltNetwork(work, spec, facts)
    built.write_reference(reference)
    for frame in spec.frames:
        frames = camera_frames(pictures.photos, frame, form, seed=spec.seed)
        work.write_frames(frame.name, frames)
        built.write_reference(network.features(prepared(frames, frame, form)), frame.name)
    return built


def _check_features(tap: str, rows: NDArray[np.float32]) -> None:
    """Raise ExportError if Keras's own features are useless as a reference."""
    if not np.isfinite(rows).all():
        raise ExportError(
            f"the Keras features of tap {tap} are not finite numbers: the weights or preprocessing are wrong"
        )
    if not rows.any():
        raise ExportError(f"the Keras features of tap {tap} are all zero: the weights or the preprocessing are wrong")


def _tflite_float32(network: BuiltNetwork) -> None:
    from edgefeat_export._convert.tflite import conversion

    conversion.float32(network.graph, network.work.model("tflite-float32"))
    _describe(network, "tflite-float32")


def _tflite_float16(network: BuiltNetwork) -> None:
    from edgefeat_export._convert.tflite import conversion

    conversion.float16(network.work.model("tflite-float32"), network.work.model("tflite-float16"))
    _describe(network, "tflite-float16")


def _tflite_dynamic(network: BuiltNetwork) -> None:
    from edgefeat_export._convert.tflite import conversion

    conversion.dynamic(network.graph, network.work.model("tflite-dynamic"))
    _describe(network, "tflite-dynamic")


def _onnx_float32(network: BuiltNetwork) -> None:
    from edgefeat_export._convert.onnx import conversion

    conversion.float32(network.work.model("tflite-float32"), network.work.model("onnx-float32"))


def _tflite_int8(network: BuiltNetwork, corrected: Corrected) -> None:
    from edgefeat_export._quantize.int8_files import quantize_tflite

    quantize_tflite(network.work, corrected)
    _describe(network, "tflite-int8")


def _onnx_int8(network: BuiltNetwork, corrected: Corrected) -> None:
    from edgefeat_export._quantize.int8_files import quantize_onnx

    quantize_onnx(network.work, corrected)


def _tflite_integer(
    network: BuiltNetwork, corrected: Corrected, wide: tuple[str, ...], input_type: IntegerInput
) -> Integers:
    """Write the file without floats; the sections `wide` have activations of 16 bits."""
    from edgefeat_export._quantize.int8_files import quantize_integer

    integers = quantize_integer(network, corrected, wide, input_type)
    _describe(network, INTEGER, integers)
    return integers


def _frame_variant(network: BuiltNetwork, variant: str, frame: FrameForm) -> Integers | None:
    """Write the file of a variant with a frame as its input, from the variant's own file.

    Return the facts of a file without floats.
    """
    from edgefeat_export._convert.frames.onnx import file as onnx
    from edgefeat_export._convert.frames.plan import plan_frame
    from edgefeat_export._convert.frames.tflite import file as tflite
    from edgefeat_export._convert.tflite.integer.facts import integer_facts

    plan, name = plan_frame(frame, network.facts.picture), f"{variant}@{frame.name}"
    source, output = network.work.model(variant), network.work.model(name)
    if variant.startswith("onnx"):
        onnx.with_frame(source, plan, output)
        return None
    tflite.with_frame(source, plan, output)
    integers = integer_facts(output) if variant == INTEGER else None
    _describe(network, name, integers)
    return integers


def _describe(network: BuiltNetwork, variant: str, integers: Integers | None = None) -> None:
    """Write the metadata before the file is measured and hashed, so that the measured file is the exported file."""
    from edgefeat_export._bundle.description import about
    from edgefeat_export._bundle.tflite_metadata import describe

    describe(network.work.model(variant), about(network, variant, integers))


def _choose_early_sections(work: Workspace, wanted: FloatLayers) -> EarlySections:
    from edgefeat_export._quantize.int8_files import choose_early_sections

    return choose_early_sections(work, wanted)


def _extend_early_sections(work: Workspace, own: Sequence[str]) -> Prefixes:
    from edgefeat_export._quantize.int8_files import extend_early_sections

    return extend_early_sections(work, own)


def _estimated_cost(work: Workspace, kept: Sequence[str]) -> dict[str, Estimate]:
    from edgefeat_export._quantize.int8_files import estimated

    return estimated(work, kept)


def _correct_weights(work: Workspace, rung: Rung) -> Corrected:
    from edgefeat_export._quantize.int8_files import correct_weights

    return correct_weights(work, rung)


def _dense_int8(work: Workspace, activations: Activations) -> tuple[str, ...]:
    """Write the ONNX file with only its dense layers in int8; return the operators that stay in float."""
    from edgefeat_export._convert.onnx.dense_int8 import quantize_dense

    return quantize_dense(work.model("onnx-float32"), work.quantizing, work.model("onnx-int8"), activations)


def _rank_sections(work: Workspace) -> Sensitivity:
    from edgefeat_export._quantize.int8_files import rank_sections

    return rank_sections(work)


BUILD_NETWORK = Step("network", _build_network, tensorflow=True, weight=4)

FLOAT_VARIANTS = {
    "tflite-float32": Step("tflite-float32", _tflite_float32, tensorflow=True, weight=2),
    "tflite-float16": Step("tflite-float16", _tflite_float16),
    "tflite-dynamic": Step("tflite-dynamic", _tflite_dynamic, tensorflow=True, weight=2),
    # tf2onnx imports TensorFlow.
    "onnx-float32": Step("onnx-float32", _onnx_float32, tensorflow=True, weight=2),
}

#: The variant from whose file each float variant is made; the others are made from the network.
NEEDS = {"tflite-float16": "tflite-float32", "onnx-float32": "tflite-float32"}

CHOOSE_EARLY_SECTIONS = Step("early layers", _choose_early_sections)
EXTEND_EARLY_SECTIONS = Step("more early layers", _extend_early_sections)
ESTIMATED_COST = Step("estimated cost", _estimated_cost)
CORRECT_WEIGHTS = Step("corrected weights", _correct_weights, weight=8)
RANK_SECTIONS = Step("sensitivity", _rank_sections, weight=3)

#: onnx-int8 of a transformer.
DENSE_INT8 = Step("onnx-int8", _dense_int8)

#: The variant of another with a frame as its input.
FRAME_VARIANT = Step("frames", _frame_variant)

#: The variant without floats.
INTEGER_VARIANT = Step(INTEGER, _tflite_integer)

INT8_VARIANTS = {
    "tflite-int8": Step("tflite-int8", _tflite_int8),
    "onnx-int8": Step("onnx-int8", _onnx_int8),
}

#: All steps; of two with one name, only one runs in an export.
STEPS: tuple[Step[..., Any], ...] = (
    BUILD_NETWORK,
    *FLOAT_VARIANTS.values(),
    CHOOSE_EARLY_SECTIONS,
    EXTEND_EARLY_SECTIONS,
    ESTIMATED_COST,
    CORRECT_WEIGHTS,
    RANK_SECTIONS,
    *INT8_VARIANTS.values(),
    DENSE_INT8,
    INTEGER_VARIANT,
    FRAME_VARIANT,
)
