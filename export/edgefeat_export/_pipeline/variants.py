"""Runs the steps of an export in a workspace: the network, the float variants, then int8 held to its gate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from edgefeat import VARIANTS, EngineError, ExportError
from edgefeat._bundle.manifest import Gate, Refusal
from edgefeat_export._pipeline.ladder import faithful_int8
from edgefeat_export._pipeline.processes import run_step, stop_steps
from edgefeat_export._pipeline.progress import Progress
from edgefeat_export._pipeline.steps import ordered, waves
from edgefeat_export._quantize.fidelity import Measured, measure_variant
from edgefeat_export._quantize.gates import refusal, unfaithful
from edgefeat_export._quantize.timing import slower_than_float
from edgefeat_export._spec import Effort
from edgefeat_export._workspace import NETWORK, Workspace

__all__ = ["Made", "make"]


@dataclass(frozen=True, slots=True)
class Made:
    """A variant whose file is in the workspace, measured, and how its int8 was corrected."""

    variant: str
    measured: Measured
    correction: tuple[str, ...] = ()
    float_operations: tuple[str, ...] = ()


#: The float file that the corrections of both int8 formats are computed on.
_CORRECTED_ON = "onnx-float32"

#: The steps without which there is nothing faithful to write.
_NEEDED = (NETWORK, "tflite-float32")


def make(
    work: Workspace,
    wanted: Sequence[str],
    gate: Gate,
    pieces: tuple[str, ...],
    effort: Effort,
    jobs: int,
    progress: Progress,
    tell: Callable[[str], None],
    network_made: Callable[[], None],
) -> tuple[list[Made], list[Refusal]]:
    """The variants made, in the order of VARIANTS, and those refused.

    `effort` says how far the ladder of int8 is climbed. `jobs` steps run at once where they do not need
    each other; `network_made` is called once the network is known.
    Raises ExportError where the float32 TFLite file is not faithful, or all that was wanted is refused.
    """

    def run(step: str) -> None:
        progress.begin(step)
        run_step(work, step)

    def known() -> None:
        for note in work.facts.notes:
            tell(note)
        network_made()

    int8 = [variant for variant in wanted if variant.endswith("-int8")]
    steps = ordered([*wanted] if not int8 else [*wanted, _CORRECTED_ON])
    formats = tuple(variant.partition("-")[0] for variant in int8)
    made, reasons = _make_float(work, steps, gate, jobs, run, known)
    for variant in int8:
        # One that misses its own gate by a hair will do: int8 is held against Keras in any case.
        missing = None
        if not work.model(_CORRECTED_ON).exists():
            missing = f"int8 is corrected on {_CORRECTED_ON}, which cannot be had: {reasons[_CORRECTED_ON]}"
        result = missing or _make_int8(work, variant, gate, pieces, effort, formats, run)
        if isinstance(result, str):
            reasons[variant] = result
            continue
        made[variant] = result
        if slower := slower_than_float(work, variant):
            tell(slower)
    others = {name: one.measured.fidelity for name, one in made.items() if name in wanted}
    refusals = [refusal(variant, reasons[variant], others) for variant in VARIANTS if variant in {*reasons} & {*wanted}]
    kept = [made[variant] for variant in VARIANTS if variant in wanted and variant in made]
    if not kept:
        raise ExportError("; ".join(one.reason for one in refusals))
    for one in refusals:
        tell(one.reason)
    return kept, refusals


def _make_float(
    work: Workspace,
    steps: Sequence[str],
    gate: Gate,
    jobs: int,
    run: Callable[[str], None],
    network_made: Callable[[], None],
) -> tuple[dict[str, Made], dict[str, str]]:
    """The float variants made by `steps`, and the reasons why others were not, both by name."""

    def attempted(step: str) -> str | None:
        try:
            run(step)
        except ExportError as error:
            if step in _NEEDED:
                raise
            return str(error)
        return None

    made: dict[str, Made] = {}
    reasons: dict[str, str] = {}
    with ThreadPoolExecutor(jobs) as pool:
        for wave in waves(steps):
            try:
                failures = list(pool.map(attempted, wave))
            except BaseException:  # Ctrl-C comes to this thread alone: the others wait for their converters
                stop_steps()
                raise
            if wave == [NETWORK]:
                network_made()
                continue
            for step, failure in zip(wave, failures, strict=True):
                result = failure or _measured(work, step, gate)
                if isinstance(result, Made):
                    made[step] = result
                elif step in _NEEDED:
                    raise ExportError(f"{step} is not faithful: {result}; nothing was written")
                else:
                    reasons[step] = result
    return made, reasons


def _measured(work: Workspace, variant: str, gate: Gate) -> Made | str:
    """The variant in the workspace, measured, or why it is not to be written."""
    try:
        measured = measure_variant(work, variant)
    except EngineError as error:
        return str(error)
    return unfaithful(variant, measured.fidelity, gate) or Made(variant, measured)


def _make_int8(
    work: Workspace,
    variant: str,
    gate: Gate,
    pieces: tuple[str, ...],
    effort: Effort,
    formats: tuple[str, ...],
    run: Callable[[str], None],
) -> Made | str:
    """The int8 variant, or why there is none."""
    try:
        result = faithful_int8(work, variant, gate, pieces, effort, formats, run)
    except (EngineError, ExportError) as error:
        return str(error)
    if isinstance(result, str):
        return result
    return Made(variant, result.measured, result.correction, result.float_operations)
