"""How near int8 inference comes to what the machine's own matrix product reaches, engine by engine."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

from edgefeat import EdgefeatError
from edgefeat._engines.selection import candidates
from edgefeat_bench._measure.matrix_product import FILES, OPERATIONS
from edgefeat_bench._measure.timed_calls import PointTask, measure_point
from edgefeat_bench._processes import child_environment
from edgefeat_bench._records import Peak
from edgefeat_bench._setup.setup import Setup

__all__ = ["peaks"]

_SECONDS, _PASSES = 1.0, 2


def peaks(setup: Setup, tell: Callable[[str], None]) -> tuple[Peak, ...]:
    """One entry for each int8 variant and engine; none without a Keras model, from which the work is counted."""
    if not setup.facts.operations:
        return ()
    folder = setup.settings.prepared
    if not all((folder / name).exists() for name in FILES.values()):
        tell("building the matrix products")
        command = [sys.executable, "-P", "-m", "edgefeat_bench._measure.matrix_product", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, env=child_environment(), check=False)
        if done.returncode != 0:
            tell(f"the matrix products could not be built: {(done.stderr.strip().splitlines() or ['no word'])[-1]}")
            return ()
    found = []
    threads = setup.settings.threads
    for choice in candidates(setup.bundle):
        engine, variant = choice.engine.name, choice.variant.name
        if choice.variant.precision != "int8" or engine not in FILES:
            continue
        tell(f"{variant} on {engine} against a matrix product")
        bundle = str(setup.bundle.path)
        model = PointTask("edgefeat", _SECONDS, threads, path=bundle, variant=variant, engine=engine)
        product = PointTask("product", _SECONDS, threads, path=str(folder / FILES[engine]), engine=engine)
        try:
            pairs = [(measure_point(model), measure_point(product)) for _ in range(_PASSES)]
        except EdgefeatError as error:
            tell(str(error))
            continue
        ours, best = (tuple(one for part in parts for one in part) for parts in zip(*pairs, strict=True))
        found.append(Peak(engine, variant, setup.facts.operations, ours, OPERATIONS, best))
    return tuple(found)
