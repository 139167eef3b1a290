"""Count the parts of a file that XNNPACK, the part of LiteRT that computes on CPUs, takes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from ai_edge_litert.interpreter import Interpreter

from edgefeat._engines.adapters.greeting import without_greeting

__all__ = ["Partitions", "partitions"]

_DELEGATED = "DELEGATE"


@dataclass(frozen=True, slots=True)
class Partitions:
    """The number of parts that XNNPACK takes, of all operators, and how many it leaves to the interpreter, by kind."""

    parts: int
    operators: int
    outside: dict[str, int]

    def __str__(self) -> str:
        parts = "1 part" if self.parts == 1 else f"{self.parts} parts"
        left = ", ".join(f"{count} {kind}" for kind, count in self.outside.items())
        taken = self.operators - sum(self.outside.values())
        return f"{taken} of {self.operators} operators in {parts}" + (f", all but {left}" if left else "")


def partitions(path: Path) -> Partitions:
    """Return what XNNPACK takes of a TFLite file, on this machine.

    LiteRT adds a DELEGATE operator for each part. Between the operators inside, tensors have no memory of their own.
    """
    with without_greeting():
        interpreter = Interpreter(str(path), num_threads=1)
        interpreter.allocate_tensors()
    listed = interpreter._get_ops_details()  # there is no public list of operators
    delegated = [one for one in listed if one["op_name"] == _DELEGATED]
    given = {int(tensor) for one in delegated for tensor in one["outputs"]}
    own = [one for one in listed if one["op_name"] != _DELEGATED]
    outside: Counter[str] = Counter()
    for one in own:
        result = int(one["outputs"][0])
        if result not in given and _has_memory(interpreter, result):
            outside[str(one["op_name"])] += 1
    return Partitions(len(delegated), len(own), dict(sorted(outside.items())))


def _has_memory(interpreter: Interpreter, tensor: int) -> bool:
    try:
        interpreter.get_tensor(tensor)
    except ValueError:  # "Tensor data is null"
        return False
    return True
