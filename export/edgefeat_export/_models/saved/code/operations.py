"""Refuse a graph of TensorFlow that does more than compute."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from edgefeat import ExportError
from edgefeat_export._models.saved.code.allowlist import OPERATIONS

__all__ = ["check_operations", "needed_nodes", "node_of"]


def check_operations(path: Path, graph: Any, outputs: Iterable[str]) -> None:
    """Raise ExportError, naming them, if operations that compute the tensors `outputs` of `graph` are not allowed."""
    foreign = sorted(set(_operations(graph, outputs)) - OPERATIONS)
    if foreign:
        raise ExportError(
            f"model {path} uses {', '.join(foreign)} (allowed: arithmetic, convolutions and changes of shape): "
            "save only the network"
        )


def needed_nodes(graph: Any, outputs: Iterable[str]) -> Iterator[Any]:
    """Yield the nodes of a graph that compute the tensors `outputs`, those that are there."""
    nodes = {node.name: node for node in graph.node}
    waiting: list[Any] = [nodes[name] for name in sorted(set(map(node_of, outputs))) if name in nodes]
    seen = {node.name for node in waiting}
    while waiting:
        node = waiting.pop()
        yield node
        needed = [name for name in dict.fromkeys(map(node_of, node.input)) if name in nodes and name not in seen]
        seen.update(needed)
        waiting.extend(nodes[name] for name in needed)


def node_of(tensor: str) -> str:
    """Return the name of the node that gives a tensor."""
    return tensor.lstrip("^").partition(":")[0]


def _operations(graph: Any, outputs: Iterable[str]) -> Iterator[str]:
    """Yield the operations that compute these tensors, in the graph and in all functions it calls."""
    functions = {function.signature.name: function for function in graph.library.function}
    for node in needed_nodes(graph, outputs):
        yield node.op
        for called in [value.func.name for value in node.attr.values() if value.HasField("func")]:
            yield from _all_operations(functions, called, set())


def _all_operations(functions: Any, name: str, seen: set[str]) -> Iterator[str]:
    """Yield the operations of a function and of all functions it calls."""
    waiting = [name]
    while waiting:
        name = waiting.pop()
        if name in seen or name not in functions:
            continue
        seen.add(name)
        for node in functions[name].node_def:
            yield node.op
            waiting.extend(value.func.name for value in node.attr.values() if value.HasField("func"))
