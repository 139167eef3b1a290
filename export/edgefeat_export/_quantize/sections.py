"""Divide a model into sections that can stay in float one by one, in both formats."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx

from edgefeat_export._convert.onnx import int8 as onnx_int8
from edgefeat_export._convert.tflite import flatbuffer, tail
from edgefeat_export._quantize.correction.layers import constants, find_layers
from edgefeat_export._quantize.correction.tflite_weights import matched

__all__ = ["Section", "prefix", "sections"]


@dataclass(frozen=True, slots=True)
class Section:
    """A layer with weights and the operations between it and the next, in the order of the graph.

    `nodes` are the names of the ONNX nodes, `operators` the indices of the TFLite operators. Head and tail, which are
    float anyway, are in no section.
    """

    name: str
    nodes: tuple[str, ...]
    operators: tuple[int, ...]


def sections(float32_onnx: Path, float32_tflite: Path) -> list[Section]:
    """Return the sections of a model, from input to features; `float32_onnx` was made from `float32_tflite`."""
    model, tflite = onnx.load(float32_onnx), flatbuffer.read(float32_tflite)
    layers = find_layers(model)
    places = matched(tflite, layers, constants(model))
    float_nodes, float_operators = set(onnx_int8.float_nodes(model)), tail.float_operators(tflite)
    found = [layer.node for layer in layers if layer.node in places and layer.node not in float_nodes]
    names = [node.name for node in model.graph.node]
    operators = _cut([places[name] for name in found], len(tflite.subgraphs[0].operators))
    nodes = _cut([names.index(name) for name in found], len(names))
    made = []
    for name in found:
        own_nodes = tuple(names[index] for index in nodes[names.index(name)] if names[index] not in float_nodes)
        own_operators = tuple(index for index in operators[places[name]] if index not in float_operators)
        made.append(Section(name, own_nodes, own_operators))
    return made


def prefix(parts: Sequence[Section]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return the ONNX nodes and the TFLite operators of `parts`, for `kept` of the two int8 conversions."""
    return tuple(node for part in parts for node in part.nodes), tuple(i for part in parts for i in part.operators)


def _cut(starts: Collection[int], end: int) -> dict[int, range]:
    """Return the range from each start to the next, by start; the first range begins at 0."""
    ordered = sorted(starts)
    edges = [0, *ordered[1:], end]
    return {start: range(*ends) for start, ends in zip(ordered, itertools.pairwise(edges), strict=False)}
