"""Group a graph's operations by the scopes of their names, and name the groups as layers."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import PurePosixPath
from posixpath import commonpath, dirname, relpath
from typing import Any

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from edgefeat_export._models.saved.graph import scope_name

__all__ = ["PASSED", "groups_of", "layer_names", "origin"]

#: Scopes within a layer, of Keras and of the optimizer that rewrites its sums.
_WITHIN = re.compile(r"/(batchnorm|moments|instancenorm|ArithmeticOptimizer)$")

#: Scopes of calls of functions that are written out in the graph: no layer is named so.
_CALL = re.compile(r"\b(Stateful)?PartitionedCall(_\d+)?/")

#: Operations that compute nothing of the features: the graph continues with their input.
PASSED = ("Identity", "StopGradient")


def origin(tensor: Any) -> Any:
    """Return the tensor that operations which only pass it on have given as `tensor`."""
    while tensor.op.type in PASSED:
        (tensor,) = tensor.op.inputs
    return tensor


def groups_of(operations: Sequence[Any]) -> tuple[dict[int, str], dict[int, list[Any]]]:
    """Return the operations by scope, and the scopes' names; those that need each other are one, named after both.

    An operation outside of the innermost scopes, such as one that a model calls itself, is alone with those within it.
    """
    owners = _owners([operation.name for operation in operations])
    scopes = {name: _scope(owner) for name, owner in owners.items()}
    models = {str(parent) for scope in set(scopes.values()) for parent in PurePosixPath(scope).parents}
    scopes = {name: owners[name] if scope in models else scope for name, scope in scopes.items()}
    names = list(dict.fromkeys(scopes.values()))
    places = {name: place for place, name in enumerate(names)}
    edges = {
        (places[scopes[tensor.op.name]], places[scopes[operation.name]])
        for operation in operations
        for tensor in map(origin, operation.inputs)
        if tensor.op.name in scopes
    }
    rows, columns = np.array(sorted(edges) or [(0, 0)]).T
    shape = (len(names), len(names))
    _, labels = connected_components(csr_array((np.ones(len(rows)), (rows, columns)), shape), connection="strong")
    together: dict[int, list[str]] = {}
    for name, label in zip(names, labels, strict=True):
        together.setdefault(int(label), []).append(name)
    groups: dict[int, list[Any]] = {}
    for operation in operations:
        groups.setdefault(int(labels[places[scopes[operation.name]]]), []).append(operation)
    return {group: commonpath(members) or members[0] for group, members in together.items()}, groups


def _owners(names: Sequence[str]) -> dict[str, str]:
    """Return for each operation the one whose name is the scope that it is in, as `Reshape` of `Reshape/shape`.

    This is the outermost if there are several, and the operation itself if there is none.
    """
    known, owners = set(names), {}
    for name in names:
        owners[name] = name
        while dirname(owners[name]) in known:
            owners[name] = dirname(owners[name])
    return owners


def _scope(name: str) -> str:
    return _WITHIN.sub("", name.rpartition("/")[0]) or name


def layer_names(scopes: Mapping[int, str], reserved: Collection[str]) -> dict[int, str]:
    """Return a name for the layer of each group: that of its scope, without what all have in common."""
    common = commonpath([dirname(scope) for scope in scopes.values()])
    names: dict[int, str] = {}
    for group, scope in scopes.items():
        name = scope_name(_CALL.sub("", relpath(scope, common or ".")))
        while name in (*reserved, *names.values()):
            name += "_"
        names[group] = name
    return names
