"""Runs the steps of an export in a workspace: the network, the float variants, then int8 held to its gate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from edgefeat import VARIANTS, ExportError
from edgefeat._manifest import Gate, Refusal
from edgefeat_export._check import Measured, measure_variant
from edgefeat_export._int8 import faithful_int8, refusal
from edgefeat_export._pays import slower_than_float
from edgefeat_export._progress import Progress
from edgefeat_export._steps import ordered, waves
from edgefeat_export._subprocess import run_step, stop_steps
from edgefeat_export._workspace import NETWORK, Workspace

__all__ = ["Made", "make"]


@dataclass(frozen=True, slots=True)
class Made:
    """A variant whose file is in the workspace, measured, and how its int8 was corrected."""

    variant: str
    measured: Measured
    correction: tuple[str, ...] = ()
    float_operations: tuple[str, ...] = ()


def make(
    work: Workspace,
    wanted: Sequence[str],
    gate: Gate,
    pieces: tuple[str, ...],
    jobs: int,
    progress: Progress,
    tell: Callable[[str], None],
    network_made: Callable[[], None],
) -> tuple[list[Made], list[Refusal]]:
    """The variants made, in the order of VARIANTS, and those refused.

    `jobs` steps run at once where they do not need each other; `network_made` is called once the network is known.
    Raises ExportError where a float variant is not faithful, or all that was wanted is refused.
    """

    def run(step: str) -> None:
        progress.begin(step)
        run_step(work, step)

    int8 = [variant for variant in wanted if variant.endswith("-int8")]
    made: dict[str, Made] = {}
    with ThreadPoolExecutor(jobs) as pool:
        for wave in waves(ordered([*wanted] if not int8 else [*wanted, "onnx-float32"])):
            try:
                list(pool.map(run, wave))
            except BaseException:  # Ctrl-C comes to this thread alone: the others wait for their converters
                stop_steps()
                raise
            if wave == [NETWORK]:
                for note in work.facts.notes:
                    tell(note)
                network_made()
            made |= {step: Made(step, measure_variant(work, step)) for step in wave if step != NETWORK}
    refusals: list[Refusal] = []
    others = {name: one.measured.fidelity for name, one in made.items() if name in wanted}
    for variant in int8:
        result = faithful_int8(work, variant, gate, pieces, run)
        if isinstance(result, str):
            refusals.append(refusal(variant, result, others))
            continue
        made[variant] = Made(variant, result.measured, result.correction, result.float_operations)
        if slower := slower_than_float(work, variant):
            tell(slower)
    kept = [made[variant] for variant in VARIANTS if variant in wanted and variant in made]
    if not kept:
        raise ExportError("; ".join(one.reason for one in refusals))
    for one in refusals:
        tell(one.reason)
    return kept, refusals
