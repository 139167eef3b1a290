"""What has to be mended in the ONNX file of Keras's own export, so that engines open it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx

__all__ = ["mended"]

_ERFC = "the operator Erfc, which ONNX does not have (here it is 1 - Erf)"
_UNUSED = "an input that nothing reads (left out here)"


def mended(file: Path) -> str:
    """Mend Keras's ONNX file of a transformer, and return a sentence that says of what; empty if there was nothing.

    No engine opens it as it is, and its users would have to do the same: an exact GELU becomes the operator Erfc, and
    a tensor of the position embedding stays among the inputs.
    """
    model = onnx.load(file)
    graph, found = model.graph, []
    if any(node.op_type == "Erfc" for node in graph.node):
        _rewrite_erfc(graph)
        found.append(_ERFC)
    read = {name for node in graph.node for name in node.input}
    unused = [one for one in graph.input if one.name not in read]
    if unused:
        for one in unused:
            graph.input.remove(one)
        found.append(_UNUSED)
    if found:
        onnx.save(model, file)
        return f"Keras's ONNX file has {' and '.join(found)}"
    return ""


def _rewrite_erfc(graph: Any) -> None:
    nodes = []
    for node in graph.node:
        if node.op_type != "Erfc":
            nodes.append(node)
            continue
        inside = f"{node.output[0]}_erf"
        nodes.append(onnx.helper.make_node("Erf", node.input, [inside]))
        nodes.append(onnx.helper.make_node("Sub", ["erfc_one", inside], node.output))
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.append(onnx.helper.make_tensor("erfc_one", onnx.TensorProto.FLOAT, [], [1.0]))
