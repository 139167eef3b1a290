"""Take the branches of a graph that are taken outside training, where a constant decides.

Keras 2 and TFLearn wrote both branches of normalizations and dropouts into the graphs of TensorFlow 1: a `Switch` sends
a tensor into one of them, and a `Merge` takes what comes out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from edgefeat_export._models.saved.code.operations import become, behind, has_value, node_of, users_of

__all__ = ["take_branches"]

_SWITCHES, _MERGES = ("Switch", "RefSwitch"), ("Merge", "RefMerge")
_PASSES = "Identity"


def take_branches(graph: Any) -> set[str]:
    """Leave out, in place, the branches that are not taken; return the names of their operations.

    What only passes tensors on becomes `Identity`. A condition inside another is found when that is resolved.
    """
    found: set[str] = set()
    while (left_out := _take(graph)) is not None:
        found |= left_out
    return found


def _take(graph: Any) -> set[str] | None:
    """Take the branches of the switches whose conditions are constants now; return None if there are none."""
    nodes = {node.name: node for node in graph.node}
    taken = {
        node.name: taken
        for node in graph.node
        if node.op in _SWITCHES and len(node.input) >= 2 and (taken := _constant(nodes, node.input[1])) is not None
    }
    if not taken:
        return None
    dead = _dead(graph.node, taken)
    for node in graph.node:
        if node.name in taken:
            become(node, _PASSES, [node.input[0]], T=node.attr["T"].type)
        elif node.op in _MERGES:
            living = [tensor for tensor in node.input if tensor[:1] != "^" and not _is_dead(tensor, dead, taken)]
            if len(living) == 1:
                become(node, _PASSES, living, T=node.attr["T"].type)
        for place, tensor in enumerate(node.input):
            if node_of(tensor) in taken and tensor[:1] != "^":
                node.input[place] = node_of(tensor)
    used = {node_of(tensor) for node in graph.node if node.name not in dead for tensor in node.input}
    left_out = dead | (taken.keys() - used)  # what such a switch sends is in the branch that is not taken
    kept = [node for node in graph.node if node.name not in left_out]
    del graph.node[:]
    graph.node.extend(kept)
    return left_out


def _constant(nodes: Mapping[str, Any], tensor: str) -> bool | None:
    """Return the value of a boolean that is a constant, or None."""
    import tensorflow as tf

    node = behind(nodes, tensor)
    if node is None or node.op != "Const" or node.attr["dtype"].type != tf.bool.as_datatype_enum:
        return None
    if not has_value(node.attr["value"].tensor):
        return None
    value = tf.make_ndarray(node.attr["value"].tensor)
    return bool(value) if value.size == 1 else None


def _dead(nodes: Iterable[Any], taken: Mapping[str, bool]) -> set[str]:
    """Return the names of the operations that nothing reaches."""
    users = users_of(nodes)
    found: set[str] = set()
    waiting = [node for name in taken for node in users.get(name, ())]
    while waiting:
        node = waiting.pop()
        lost = [_is_dead(tensor, found, taken) for tensor in node.input]
        if node.name in found or not (all(lost) if node.op in _MERGES else any(lost)):
            continue
        found.add(node.name)
        waiting.extend(users.get(node.name, ()))
    return found


def _is_dead(tensor: str, dead: set[str], taken: Mapping[str, bool]) -> bool:
    """Return whether a tensor is of an operation that nothing reaches, or what a switch sends into the other branch."""
    name, _, place = tensor.lstrip("^").partition(":")
    if name in dead:
        return True
    return name in taken and tensor[:1] != "^" and (place == "1") != taken[name]
