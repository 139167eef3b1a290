"""What has to be mended in the ONNX file of Keras's own export, so that engines open it."""

from __future__ import annotations

from pathlib import Path

import onnx

#: What is then said of the contenders that run it.
ERFC_MENDED = "Keras's ONNX file has the operator Erfc, which ONNX does not have: here it is 1 - Erf"


def without_erfc(file: Path) -> bool:
    """Rewrite the operator Erfc, which Keras's export writes for an exact GELU and ONNX does not have, as 1 - Erf.

    Return whether the file had any: with it no engine opens the file, and its users would have to do the same.
    """
    model = onnx.load(file)
    nodes, found = [], 0
    for node in model.graph.node:
        if node.op_type != "Erfc":
            nodes.append(node)
            continue
        found += 1
        inside = f"{node.output[0]}_erf"
        nodes.append(onnx.helper.make_node("Erf", node.input, [inside]))
        nodes.append(onnx.helper.make_node("Sub", ["erfc_one", inside], node.output))
    if found:
        del model.graph.node[:]
        model.graph.node.extend(nodes)
        model.graph.initializer.append(onnx.helper.make_tensor("erfc_one", onnx.TensorProto.FLOAT, [], [1.0]))
        onnx.save(model, file)
    return bool(found)
