"""Estimate the time of a file from its operations and the table; choose the first layers that cost nothing in float.

The estimate is a sum over operations (after Qi, Sparks, Talwalkar: Paleo, 2017; Zhang et al.: nn-Meter, 2021): a time
for each operation, for each multiplication by kind and for each element, and for each tensor that changes between float
and int8.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from edgefeat_export._quantize.cost.operations import Graph, Operation
from edgefeat_export._quantize.cost.table import TABLES

__all__ = ["affordable_prefix", "free_prefix", "milliseconds", "terms"]

#: The share of the sections that may stay in float because they cost nothing there.
_MOST = 0.4

_KINDS = ("pointwise", "shallow", "spatial", "depthwise")


def terms(graph: Graph, engine: str, kept: Collection[int] | None) -> Mapping[str, float]:
    """Return how often each of `TERMS` counts for a file with the operators `kept` in float; all of them if None."""
    everything = range(len(graph.operations))
    always = {index for index in everything if not graph.operations[index].in_int8(engine)} | graph.ends
    floats = {*everything} if kept is None else {*kept} | always
    found: defaultdict[str, float] = defaultdict(float)
    found["call"] = 1.0
    for index, operation in enumerate(graph.operations):
        _add(found, operation, "float32" if index in floats else "int8")
    for tensor in _borders(graph, floats):
        found["border"] += 1
        found["border_element"] += graph.elements[tensor]
    return dict(found)


def _add(found: defaultdict[str, float], operation: Operation, precision: str) -> None:
    if not operation.elements:
        return
    found[f"{precision}_operation"] += 1
    found[f"{precision}_element"] += operation.elements
    if operation.kind in _KINDS:
        products = operation.float_products if precision == "float32" else operation.int8_products
        found[f"{precision}_{operation.kind}"] += products
        found[f"{precision}_position"] += operation.positions
    if operation.kind == "curve":
        found[f"{precision}_curve"] += operation.elements


def _borders(graph: Graph, floats: Collection[int]) -> set[int]:
    """Return the tensors that one precision writes and the other reads; the image and the features are float."""
    writer = {tensor: index in floats for index, one in enumerate(graph.operations) for tensor in one.writes}
    return {
        tensor
        for index, one in enumerate(graph.operations)
        for tensor in one.reads
        if writer.get(tensor, True) != (index in floats)
    }


def milliseconds(graph: Graph, engine: str, kept: Collection[int] | None) -> float:
    """Return the estimated time of one inference on one thread, with the operators `kept` in float; all if None."""
    table = TABLES[engine]
    return sum(table[term] * amount for term, amount in terms(graph, engine, kept).items()) / 1e6


def free_prefix(graph: Graph, sections: Sequence[Collection[int]]) -> int:
    """Return the largest number of first sections, each some operators, with which no engine is slower.

    "Slower" is compared with all sections in int8; at most `_MOST` of the sections are tried, because later layers have
    few positions and many channels, for which int8 is faster.
    """
    counts = range(round(len(sections) * _MOST) + 1)
    allowed = {*counts}
    for engine in TABLES:
        times = [milliseconds(graph, engine, [i for part in sections[:count] for i in part]) for count in counts]
        allowed &= {count for count in counts if times[count] <= times[0]}
    return int(max(allowed))


def affordable_prefix(graph: Graph, sections: Sequence[Collection[int]], least: Mapping[str, float]) -> int:
    """Return the largest number of first sections in float with which int8 is fast enough; 0 if there is none.

    `least` is how many times as fast as float it must be, by engine.
    """
    fit = {*range(len(sections) + 1)}
    for engine, times in least.items():
        most = milliseconds(graph, engine, None) / times
        fit = {n for n in fit if milliseconds(graph, engine, [i for part in sections[:n] for i in part]) <= most}
    return max(fit, default=0)
