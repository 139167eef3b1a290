"""Make the wanted variants: first the network, then the float variants, then int8 held to its gate."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from edgefeat import EngineError, ExportError
from edgefeat._bundle.manifest import ALL_VARIANTS, INTEGER, Refusal
from edgefeat_export._bundle.figures import interval_sentence
from edgefeat_export._convert.tflite.facts import has_weights, is_transformer
from edgefeat_export._convert.tflite.partitions import partitions
from edgefeat_export._images.calibration import few_photos
from edgefeat_export._measure.gate import unfaithful
from edgefeat_export._measure.refusals import refusal
from edgefeat_export._measure.timing import slower_than_float
from edgefeat_export._measure.variants import Made, measure_frame, measure_variant
from edgefeat_export._pipeline.attention_ladder import AttentionLadder
from edgefeat_export._pipeline.integer_ladder import IntegerLadder
from edgefeat_export._pipeline.ladder import Ladder
from edgefeat_export._pipeline.steps import BUILD_NETWORK, FLOAT_VARIANTS, FRAME_VARIANT, INT8_VARIANTS, NEEDS
from edgefeat_export._pipeline.worker_pool import Workers
from edgefeat_export._spec import NetworkSpec, VariantSpec
from edgefeat_export._workspace import BuiltNetwork, Workspace

__all__ = ["build_network", "make_variants"]

#: The float file from which all others are made, and the file on which both int8 formats are corrected.
_FIRST, _CORRECTED_ON = "tflite-float32", "onnx-float32"

#: The variants made from corrected weights.
_CORRECTED = (*INT8_VARIANTS, INTEGER)

#: The files of a transformer to take in TFLite.
_SHOWN = (_FIRST, "tflite-dynamic")

#: Bytes of the float32 file from which conversions run one after another: side by side they would take too much memory.
_ALONE = 150_000_000


@dataclass(slots=True)
class _Outcome:
    """The variants so far, by name: those made, and for the others the reason why not."""

    made: dict[str, Made] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)


def build_network(spec: NetworkSpec, wanted: VariantSpec, work: Workspace, workers: Workers) -> BuiltNetwork:
    """Return the network, and meanwhile start workers for the next steps."""
    if {*wanted.variants} & {*_CORRECTED, "tflite-float16"}:
        workers.warm(tensorflow=False)
    return workers.run(BUILD_NETWORK, work, spec)


def make_variants(
    network: BuiltNetwork, wanted: VariantSpec, workers: Workers, tell: Callable[[str], None]
) -> tuple[list[Made], list[Refusal]]:
    """Return the variants made, in the order of ALL_VARIANTS, and those refused.

    Raises ExportError if the float32 TFLite file is not faithful, or if all wanted variants are refused.
    """
    outcome = _Outcome()
    int8 = [variant for variant in wanted.variants if variant in _CORRECTED]
    if int8 and (few := few_photos(network.facts.calibration)):
        tell(few)
    _make_float(network, wanted, workers, outcome)
    workers.close(tensorflow=True)
    ladder = Ladder(network, wanted, workers)
    attention = AttentionLadder(network, wanted, workers, dynamic="tflite-dynamic" in outcome.made, tell=tell)
    for variant in int8:
        is_attention = attention.takes(variant)  # that ladder tells the times itself
        result = _missing(network, outcome) or _int8(attention if is_attention else ladder, variant)
        if isinstance(result, str):
            outcome.reasons[variant] = result
            continue
        outcome.made[variant] = result
        for tap, found in result.measured.intervals.items():
            if sentence := interval_sentence(variant, tap, found):
                tell(sentence)
        if not is_attention and variant != INTEGER and (slower := slower_than_float(network, variant)):
            tell(slower)
    written = [outcome.made[name] for name in ALL_VARIANTS if name in wanted.variants and name in outcome.made]
    fidelity = {one.variant: one.measured.fidelity for one in written}
    missed = [name for name in ALL_VARIANTS if name in wanted.variants and name in outcome.reasons]
    refusals = [refusal(name, outcome.reasons[name], fidelity) for name in missed]
    if not written:
        raise ExportError("; ".join(one.reason for one in refusals))
    framed, unframed = _make_frames(network, wanted, workers, written)
    refusals += [refusal(name, reason, fidelity) for name, reason in unframed.items()]
    for one in refusals:
        tell(one.reason)
    _tell_partitions(network, written, tell)
    return [*written, *framed], refusals


def _tell_partitions(network: BuiltNetwork, written: list[Made], tell: Callable[[str], None]) -> None:
    """Tell how much of a transformer's TFLite files XNNPACK takes: some of its operators are not in every file."""
    names = [one.variant for one in written if one.variant in _SHOWN]
    if names and is_transformer(network.work.model(_FIRST)):
        found = {name: str(partitions(network.work.model(name))) for name in names}
        same = " and ".join(found) if len(set(found.values())) == 1 else ""
        words = {same: next(iter(found.values()))} if same else found
        tell("in LiteRT, XNNPACK computes of " + "; of ".join(f"{name} {text}" for name, text in words.items()))


def _make_frames(
    network: BuiltNetwork, wanted: VariantSpec, workers: Workers, written: list[Made]
) -> tuple[list[Made], dict[str, str]]:
    """Return the written variants with each frame as their input, and by name why others were refused."""
    made: list[Made] = []
    reasons: dict[str, str] = {}
    for frame in network.spec.frames:
        for one in written:
            name = f"{one.variant}@{frame.name}"
            try:
                integers = workers.run(FRAME_VARIANT, network, one.variant, frame)
                measured = measure_frame(network, name, frame, integers)
            except (EngineError, ExportError) as error:
                reasons[name] = str(error)
                continue
            missed = unfaithful(name, measured.fidelity, wanted.gate)
            if missed is None:
                made.append(replace(one, variant=name, measured=measured, frame=frame, integers=integers))
            else:
                reasons[name] = missed
    return made, reasons


def _make_float(network: BuiltNetwork, wanted: VariantSpec, workers: Workers, outcome: _Outcome) -> None:
    """Make the float variants that are wanted or required: first the source of the others, then the rest at once."""
    steps = {*wanted.variants} & {*FLOAT_VARIANTS}
    if {*wanted.variants} & {*_CORRECTED}:
        steps.add(_CORRECTED_ON)
    steps |= {NEEDS[step] for step in steps if step in NEEDS}
    ordered = [name for name in ALL_VARIANTS if name in steps]

    def attempt(variant: str) -> str | None:
        try:
            workers.run(FLOAT_VARIANTS[variant], network)
        except ExportError as error:
            if variant == _FIRST:
                raise
            return str(error)
        return None

    for wave in ([one for one in ordered if one == _FIRST], [one for one in ordered if one != _FIRST]):
        first = network.work.model(_FIRST)
        alone = first.exists() and first.stat().st_size > _ALONE
        with ThreadPoolExecutor(1 if alone else None) as pool:  # `workers` limits how many run at once
            try:
                failures = list(pool.map(attempt, wave))
            except BaseException:  # only this thread receives Ctrl-C: the others wait for their workers
                workers.stop()
                raise
        for variant, failure in zip(wave, failures, strict=True):
            result = failure or _measured(network, variant, wanted)
            if isinstance(result, Made):
                outcome.made[variant] = result
            elif variant == _FIRST:
                raise ExportError(f"{variant} is not faithful: {result}; nothing was written")
            else:
                outcome.reasons[variant] = result


def _measured(network: BuiltNetwork, variant: str, wanted: VariantSpec) -> Made | str:
    """Return the variant in the workspace with its figures, or the reason why it is refused."""
    try:
        measured = measure_variant(network, variant)
    except EngineError as error:
        return str(error)
    return unfaithful(variant, measured.fidelity, wanted.gate) or Made(variant, measured)


def _missing(network: BuiltNetwork, outcome: _Outcome) -> str | None:
    """Return why int8 is impossible, or None if it is possible.

    A float file that narrowly misses its own gate is good enough: int8 is compared with Keras in any case.
    """
    if not network.work.model(_CORRECTED_ON).exists():
        return f"int8 is corrected on {_CORRECTED_ON}, which is not available: {outcome.reasons[_CORRECTED_ON]}"
    if not has_weights(network.work.model(_FIRST)):
        return "the network has no convolution or dense layer, so there is nothing to quantize"
    return None


def _int8(ladder: Ladder | AttentionLadder, variant: str) -> Made | str:
    """Return the int8 variant, or the reason why it is refused."""
    try:
        if variant == INTEGER and isinstance(ladder, Ladder):
            return IntegerLadder(ladder.network, ladder.wanted, ladder.workers, ladder.ranked).climb()
        return ladder.climb(variant)
    except (EngineError, ExportError) as error:
        return str(error)
