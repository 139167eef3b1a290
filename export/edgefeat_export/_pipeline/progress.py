"""A progress bar for the steps of an export, on terminals only."""

from __future__ import annotations

import sys
import threading
from types import TracebackType

from tqdm import tqdm

from edgefeat_export._pipeline import steps
from edgefeat_export._spec import VariantSpec

__all__ = ["Progress"]

_WEIGHTS = {step.name: step.weight for step in steps.STEPS}


class Progress:
    """A bar on standard error for the steps that `wanted` takes at least, if `show` and on a terminal.

    Steps that the ladder of int8 adds make the bar longer when they begin.
    """

    def __init__(self, wanted: VariantSpec, *, show: bool) -> None:
        expected = {steps.BUILD_NETWORK.name, "tflite-float32", *wanted.variants}
        if {*wanted.variants} & {*steps.INT8_VARIANTS, steps.INTEGER_VARIANT.name}:
            expected |= {"onnx-float32", steps.CORRECT_WEIGHTS.name}
        self._expected = [name for name in _WEIGHTS if name in expected]
        self._bar = tqdm(
            total=sum(_WEIGHTS[name] for name in self._expected),
            bar_format="{desc}{percentage:3.0f}%|{bar}| {elapsed}, about {remaining} left",
            disable=not (show and sys.stderr.isatty()),
            leave=False,
        )
        self._running: list[str] = []
        self._lock = threading.Lock()  # steps begin and end in several threads

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()

    def begin(self, step: str) -> None:
        """Show that `step` has begun."""
        with self._lock:
            if step in self._expected:
                self._expected.remove(step)
            else:
                self._bar.total += _WEIGHTS[step]
            self._running.append(step)
            self._bar.set_description(", ".join(self._running))

    def end(self, step: str) -> None:
        """Show that `step` is over."""
        with self._lock:
            self._running.remove(step)
            self._bar.update(_WEIGHTS[step])
