"""Translations that tf2onnx lacks or gets wrong. Importing this module registers them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from tf2onnx import utils
from tf2onnx.handler import tfl_op
from tf2onnx.tflite_handlers.tfl_math import TflFullyConnectedOp

__all__ = ["FullyConnected", "Gelu"]


@tfl_op(["TFL_FULLY_CONNECTED"], tf_op="MatMul")
class FullyConnected:
    """A dense layer; tf2onnx 1.17 loses the bias if the input is a feature map."""

    @classmethod
    def to_tf(cls, ctx: Any, node: Any, **options: Any) -> None:
        """Flatten the feature map first, so that tf2onnx does not."""
        source = node.input[0]
        if node.attr["keep_num_dims"].i == 0 and ctx.get_rank(source) != 2:
            width = ctx.get_shape(node.input[1])[1]
            shape = ctx.make_const(utils.make_name("row"), np.array([-1, width], np.int64)).output[0]
            rows = ctx.get_shape(source)[:1] if ctx.get_shape(source) else [-1]
            made = ctx.make_node("Reshape", [source, shape], shapes=[[*rows, width]], dtypes=[ctx.get_dtype(source)])
            made.skip_conversion = True
            ctx.replace_inputs(node, [made.output[0], *node.input[1:]])
        TflFullyConnectedOp.to_tf(ctx, node, **options)


@tfl_op(["TFL_GELU"])
class Gelu:
    """x times the normal distribution function; `approximate` uses a tanh for it (Hendrycks, Gimpel 2016)."""

    @classmethod
    def version_9(cls, ctx: Any, node: Any, **_: Any) -> None:
        """Replace the node by operators that every ONNX engine supports: Gelu itself was added in opset 20."""
        source, output = node.input[0], node.output[0]
        shape, kind = ctx.get_shape(output), ctx.get_dtype(output)
        approximate = bool(node.get_attr_value("approximate", 0))
        ctx.remove_node(node.name)

        def constant(value: float) -> str:
            name: str = ctx.make_const(utils.make_name("gelu"), np.float32(value)).output[0]
            return name

        def make(operator: str, *inputs: str, **named: Any) -> str:
            made: str = ctx.make_node(operator, list(inputs), shapes=[shape], dtypes=[kind], **named).output[0]
            return made

        # These forms are onnxruntime's own patterns, which it fuses to one operator.
        if approximate:
            cube = make("Mul", make("Pow", source, constant(3.0)), constant(0.044715))
            share = make("Tanh", make("Mul", make("Add", source, cube), constant(math.sqrt(2 / math.pi))))
            half = make("Mul", source, constant(0.5))
            make("Mul", half, make("Add", share, constant(1.0)), outputs=[output], name=node.name)
            return
        share = make("Erf", make("Div", source, constant(math.sqrt(2))))
        doubled = make("Mul", source, make("Add", share, constant(1.0)))
        make("Mul", doubled, constant(0.5), outputs=[output], name=node.name)
