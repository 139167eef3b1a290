"""Run tf2onnx in a fixed order, and its optimizers in little memory."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

import onnx
from tf2onnx import convert, optimizer, utils
from tf2onnx.graph import Graph, Node

__all__ = ["in_order", "in_place"]

#: tf2onnx sorts nodes by names that end in a number: from here on, all numbers have as many digits.
_FIRST_NUMBER = 1_000_000


@contextlib.contextmanager
def in_order() -> Iterator[None]:
    """Let tf2onnx number and visit the nodes of a graph in the same order every time, while the context is open.

    tf2onnx 1.17 takes the nodes that are in use from a set, whose order is that of their addresses in memory. Its
    optimizer of transpositions changes the list that it goes through, and so skips nodes that depend on that order.
    The same file then has a Reshape more or less, once in a while.
    """
    with (
        mock.patch.object(utils, "INTERNAL_NAME", _FIRST_NUMBER),
        mock.patch.object(Graph, "extract_sub_graph_nodes", _ordered(Graph.extract_sub_graph_nodes)),
    ):
        yield


@contextlib.contextmanager
def in_place() -> Iterator[None]:
    """Let tf2onnx change its graph in place instead of copying it, while the context is open.

    tf2onnx 1.17 copies the graph with all weights before each optimizer, to undo one that fails, and each optimizer
    leaves one more copy of the weights in the nodes' protocol buffers: 7.5 GB in all for ResNet50, whose weights take
    0.1 GB. Here a failing optimizer raises its error instead.
    """
    with (
        mock.patch.object(convert.optimizer, "optimize_graph", _optimized),
        mock.patch.object(Node, "update_proto", _updated(Node.update_proto)),
    ):
        yield


def _ordered(extract: Any) -> Any:
    """Return a graph's method `extract` changed to return the nodes in the order in which the graph holds them."""

    def extract_sub_graph_nodes(graph: Any, *arguments: Any, **named: Any) -> list[Any]:
        # The graph may hold a node twice, the result must not.
        places = {node: place for place, node in enumerate(graph.get_nodes())}
        found = extract(graph, *arguments, **named)
        return sorted(found, key=lambda node: (places.get(node, len(places)), node.name))

    return extract_sub_graph_nodes


def _optimized(graph: Any, *_: Any, **__: Any) -> Any:
    """Return `graph` with every optimizer applied until none changes it, as `optimizer.optimize_graph` does."""
    turn, changed = 0, True
    while changed:
        changed = False
        for factory in optimizer._get_optimizers().values():
            one = factory()
            graph = one.optimize(graph, turn) or graph
            changed = changed or one.graph_been_opt
        turn += 1
    graph.topological_sort(graph.get_nodes())
    return graph


def _updated(update: Any) -> Any:
    """Return a node's method `update` changed to write a new protocol buffer: a used one does not free its memory."""

    def update_proto(node: Any, external_tensor_storage: Any = None) -> None:
        used = node._op
        node._op = onnx.NodeProto(name=used.name, op_type=used.op_type, domain=used.domain, doc_string=used.doc_string)
        update(node, external_tensor_storage)

    return update_proto
