"""What nothing reads in an ONNX graph, after nodes were replaced."""

from __future__ import annotations

import onnx

__all__ = ["drop_unused"]


def drop_unused(graph: onnx.GraphProto) -> None:
    """Remove nodes and constants that nothing reads, in place: engines would compute them."""
    ends = {output.name for output in graph.output}
    while True:
        read = ends | {name for node in graph.node for name in node.input}
        nodes = [node for node in graph.node if read & set(node.output)]
        if len(nodes) == len(graph.node):
            break
        del graph.node[:]
        graph.node.extend(nodes)
    kept = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)
