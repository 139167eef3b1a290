"""The operations of a graph of TensorFlow: which are needed, and which do more than compute."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from edgefeat import ExportError
from edgefeat_export._models.saved.code.allowlist import OPERATIONS

__all__ = [
    "become",
    "behind",
    "check_operations",
    "depending",
    "has_value",
    "needed_nodes",
    "node_of",
    "refused",
    "users_of",
]


def check_operations(path: Path, graph: Any, outputs: Iterable[str], *, remedy: str = "") -> None:
    """Raise ExportError, naming them, if operations that compute the tensors `outputs` of `graph` are not allowed.

    `remedy` is what else a user can do than save another graph.
    """
    functions = _functions(graph)
    nodes = needed_nodes(graph, outputs)
    foreign = sorted({kind for node in nodes for kind in _operations(node, functions)} - OPERATIONS)
    if foreign:
        raise ExportError(
            f"model {path} uses {', '.join(foreign)} (allowed: arithmetic, convolutions and changes of shape): "
            f"save only the network{remedy}"
        )


def refused(graph: Any) -> set[str]:
    """Return the names of the nodes of a graph that are, or call, operations that are not allowed."""
    functions = _functions(graph)
    return {node.name for node in graph.node if not OPERATIONS.issuperset(_operations(node, functions))}


def depending(graph: Any, names: Iterable[str]) -> set[str]:
    """Return the names of the nodes that take a tensor of the nodes `names`, or of one that does, and these names."""
    users = users_of(graph.node)
    found, waiting = set(names), list(names)
    while waiting:
        further = [node.name for node in users.get(waiting.pop(), ()) if node.name not in found]
        found.update(further)
        waiting.extend(further)
    return found


def users_of(nodes: Iterable[Any]) -> dict[str, list[Any]]:
    """Return the nodes that take a tensor of each node, by its name."""
    found: dict[str, list[Any]] = {}
    for node in nodes:
        for tensor in node.input:
            found.setdefault(node_of(tensor), []).append(node)
    return found


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


def become(node: Any, kind: str, inputs: Iterable[str] = (), **types: int) -> None:
    """Make another operation of a node, in place."""
    name, inputs = node.name, list(inputs)
    node.Clear()
    node.name, node.op = name, kind
    node.input.extend(inputs)
    for key, value in types.items():
        node.attr[key].type = value


def behind(nodes: Mapping[str, Any], tensor: str, passing: Collection[str] = ("Identity",)) -> Any:
    """Return the node that gives a tensor, behind those whose operations only pass it on; None if there is none."""
    seen: set[str] = set()
    node = nodes.get(node_of(tensor))
    while node is not None and node.op in passing and node.name not in seen and node.input:
        seen.add(node.name)
        node = nodes.get(node_of(node.input[0]))
    return node


def has_value(tensor: Any) -> bool:
    """Return whether a constant has its value in the graph, and not only its type and shape."""
    return any(field.name not in ("dtype", "tensor_shape") for field, _ in tensor.ListFields())


def node_of(tensor: str) -> str:
    """Return the name of the node that gives a tensor."""
    return tensor.lstrip("^").partition(":")[0]


def _functions(graph: Any) -> dict[str, Any]:
    """Return the functions in a graph by name."""
    return {function.signature.name: function for function in graph.library.function}


def _operations(node: Any, functions: Mapping[str, Any]) -> Iterator[str]:
    """Yield the operation of a node, and those of all functions that it calls."""
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
