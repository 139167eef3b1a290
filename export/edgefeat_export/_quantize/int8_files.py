"""Make int8 files: choose the layers that can stay in float, correct the weights, quantize."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from edgefeat._bundle.json_records import to_json
from edgefeat._bundle.manifest import INTEGER, Integers
from edgefeat_export._convert.onnx import int8 as onnx_int8
from edgefeat_export._convert.tflite import flatbuffer
from edgefeat_export._convert.tflite import int8 as tflite_int8
from edgefeat_export._convert.tflite.integer import conversion
from edgefeat_export._convert.tflite.integer.facts import integer_facts
from edgefeat_export._measure.variants import ENGINES
from edgefeat_export._quantize.correction.corrected_files import Models, correct, features_cosine
from edgefeat_export._quantize.correction.pieces import allowed
from edgefeat_export._quantize.cost import estimate, operations
from edgefeat_export._quantize.records import Corrected, EarlySections, Estimate, Prefixes, Rung, Sensitivity
from edgefeat_export._quantize.sections import Section, prefix, sections
from edgefeat_export._quantize.uncorrected import Guard, Uncorrected
from edgefeat_export._spec import FloatLayers, IntegerInput
from edgefeat_export._workspace import BuiltNetwork, Workspace

__all__ = [
    "choose_early_sections",
    "correct_weights",
    "estimated",
    "extend_early_sections",
    "quantize_integer",
    "quantize_onnx",
    "quantize_tflite",
    "rank_sections",
]

# This number of the calibration images is not used to correct, but to measure whether the correction helped.
_GUARDING = 16
# Ranking only compares: fewer images give the same order.
_RANKING_CHECKS = 16
_GROUPS = 12

#: How many times as fast as float int8 stays, by the cost table, if more first layers are in float than cost nothing,
#: by engine. LiteRT was 1.3 to 1.5 times as fast where the table says 1.25.
_STILL_FASTER = {"litert": 1.25, "onnxruntime": 1.0}

#: The shares of the sections that can be afforded in float as well, to choose from.
_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)


def choose_early_sections(work: Workspace, wanted: FloatLayers) -> EarlySections:
    """Return the first sections that stay in float in each format, and the estimated cost of files that have them.

    `wanted` is their number by format. If it is None, both formats get the largest number with which neither is slower,
    by the cost table: the same on every machine.
    """
    parts, graph = _sections(work), operations.count(_float32(work).tflite)
    shared = estimate.free_prefix(graph, [part.operators for part in parts]) if wanted is None else 0
    chosen, estimates = {}, {}
    for form in ENGINES:
        own = parts[: shared if wanted is None else wanted.get(form, 0)]
        chosen[form] = tuple(part.name for part in own)
        estimates[form] = _estimated(graph, form, own)
    curved = any(one.kind == "curve" for index, one in enumerate(graph.operations) if index not in graph.ends)
    return EarlySections(chosen, estimates, sum(one.float_products for one in graph.operations), curved)


def estimated(work: Workspace, kept: Sequence[str]) -> dict[str, Estimate]:
    """Return the estimated cost of the files of each format that have the sections `kept` in float."""
    parts = [part for part in _sections(work) if part.name in kept]
    graph = operations.count(_float32(work).tflite)
    return {form: _estimated(graph, form, parts) for form in ENGINES}


def _estimated(graph: operations.Graph, form: str, kept: Sequence[Section]) -> Estimate:
    return Estimate(*(estimate.milliseconds(graph, ENGINES[form], one) for one in (prefix(kept)[1], None)))


def extend_early_sections(work: Workspace, own: Sequence[str]) -> Prefixes:
    """Return longer and longer prefixes of the sections, from `own` on, with which int8 is still faster than float."""
    parts, graph = _sections(work), operations.count(_float32(work).tflite)
    most = estimate.affordable_prefix(graph, [part.operators for part in parts], _STILL_FASTER)
    more, reached = max(most - len(own), 0), _uncorrected_cosine(work)
    prefixes = [parts[:count] for count in sorted({len(own) + round(more * share) for share in _SHARES})]
    names = tuple(tuple(part.name for part in one) for one in prefixes)
    return Prefixes(names, tuple(1 - reached(one) for one in prefixes))


def correct_weights(work: Workspace, rung: Rung) -> Corrected:
    """Write float32 models with corrected weights in both formats to the rung's folder, and return their record."""
    folder = work.rung(rung.folder_name)
    folder.mkdir(exist_ok=True)
    parts = _sections(work)
    nodes, operators = prefix([part for part in parts if part.name in rung.float_sections])
    pictures = work.quantizing
    guards = min(_GUARDING, len(pictures) // 4)
    checking = pictures[:guards] if guards else pictures
    int8 = _models(folder, "int8")
    guard = Guard(Uncorrected.of(work, _float32(work)), int8, rung.formats, nodes, operators, pictures, checking)
    report = correct(
        _float32(work),
        _models(folder, "corrected"),
        pictures[guards:],
        kept=nodes,
        ladder=allowed(rung.pieces),
        comparison=guard,
    )
    if not report.used:  # these files were made from weights that were not kept
        int8.tflite.unlink(missing_ok=True)
        int8.onnx.unlink(missing_ok=True)
    formats = rung.formats if report.used else ()
    return Corrected(rung, len(parts), nodes, operators, _names(report.used), report.ranges, formats)


def quantize_tflite(work: Workspace, done: Corrected) -> None:
    """Write `tflite-int8` from the corrected model, or copy it if the comparison already made it."""
    folder, output = work.rung(done.rung.folder_name), work.model("tflite-int8")
    if "tflite" in done.int8:
        shutil.copyfile(_models(folder, "int8").tflite, output)
        return
    source = _models(folder, "corrected").tflite
    tflite_int8.int8(source, work.quantizing, output, kept=done.float_operators, chosen=done.ranges)


def quantize_onnx(work: Workspace, done: Corrected) -> None:
    """Write `onnx-int8` from the corrected model, or copy it if the comparison already made it; then check it."""
    folder, output = work.rung(done.rung.folder_name), work.model("onnx-int8")
    if "onnx" in done.int8:
        shutil.copyfile(_models(folder, "int8").onnx, output)
    else:
        source = _models(folder, "corrected").onnx
        onnx_int8.quantize(source, work.quantizing, output, kept=done.float_operations, chosen=done.ranges)
    onnx_int8.check(output)


def quantize_integer(network: BuiltNetwork, done: Corrected, wide: Sequence[str], input_type: IntegerInput) -> Integers:
    """Write `tflite-integer` from the corrected model, and return its facts.

    The operations of the sections `wide`, by name, have activations of 16 bits.
    """
    work = network.work
    source, output = _models(work.rung(done.rung.folder_name), "corrected").tflite, work.model(INTEGER)
    graph = flatbuffer.read(work.model("tflite-float32")).subgraphs[0]
    operators = prefix([part for part in _sections(work) if part.name in wide])[1] if wide else ()
    conversion.integer(
        source,
        work.quantizing,
        output,
        normalized=[tap.name for tap in network.facts.taps if tap.normalization == "l2"],
        input_type=input_type,
        wide=[graph.tensors[i].name.decode() for index in operators for i in graph.operators[index].outputs],
        chosen=done.ranges,
    )
    return integer_facts(output)


def rank_sections(work: Workspace) -> Sensitivity:
    """Return the gain of each group of sections if only that group stays in float, measured without correction."""
    parts, reached = _sections(work), _uncorrected_cosine(work)
    groups = [
        [parts[index] for index in group] for group in np.array_split(np.arange(len(parts)), _GROUPS) if len(group)
    ]

    without = reached([])
    if not groups:  # no layer can stay in float by itself
        return Sensitivity((), (1 - without,))
    gains = [reached(group) - without for group in groups]
    order = np.argsort(-np.array(gains), kind="stable")
    ranked = [groups[index] for index in order]
    left = [
        1 - reached([part for group in ranked[:count] for part in group]) for count in range(2, len(groups) // 2 + 1)
    ]
    return Sensitivity(
        tuple(tuple(part.name for part in group) for group in ranked),
        (1 - without, 1 - without - gains[order[0]], *left),
    )


def _uncorrected_cosine(work: Workspace) -> Callable[[Sequence[Section]], float]:
    """Return a function that gives the mean cosine without correction if some sections stay in float."""
    stock, checking = Uncorrected.of(work, _float32(work)), work.quantizing[:_RANKING_CHECKS]

    def reached(kept: Sequence[Section]) -> float:
        with tempfile.TemporaryDirectory() as folder:
            made = Path(folder) / "part.onnx"
            stock.onnx(made, prefix(kept)[0])
            return features_cosine(made, stock.float32.onnx, checking)

    return reached


def _sections(work: Workspace) -> list[Section]:
    models = _float32(work)
    return sections(models.onnx, models.tflite)


def _float32(work: Workspace) -> Models:
    return Models(work.model("tflite-float32"), work.model("onnx-float32"))


def _models(folder: Path, name: str) -> Models:
    return Models(folder / f"{name}.tflite", folder / f"{name}.onnx")


def _names(correction: object) -> tuple[str, ...]:
    """Return the names of the pieces of a correction that are on."""
    return tuple(name for name, on in to_json(correction).items() if on)
