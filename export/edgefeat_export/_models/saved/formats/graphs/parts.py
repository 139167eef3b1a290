"""Divide a serving signature's graph into parts, by the scopes of its names, and make a layer of each."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any

from numpy.typing import NDArray

from edgefeat_export._models.saved.formats.graphs.arithmetic import first_arithmetic
from edgefeat_export._models.saved.formats.graphs.scopes import PASSED, groups_of, layer_names, origin
from edgefeat_export._models.saved.graph_macs import graph_macs

__all__ = ["in_parts"]

#: Operations that only run their function, as a Keras layer compiled by XLA does.
_CALLS = ("PartitionedCall", "StatefulPartitionedCall")


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of the graph: the operations, the tensors they take from other parts, and those they give to others."""

    name: str
    operations: Sequence[Any]
    sources: tuple[Any, ...]
    results: tuple[Any, ...]


def in_parts(function: Any, given: Any, taken: Collection[str]) -> list[Any] | None:
    """Return the outputs of a signature's `function`, in the order of their names, called on `given`, a Keras tensor.

    Each scope of its graph is a layer of tf-keras, named after it, but with another name than those `taken`; scopes
    that need each other are one. The result is None if the graph has loops, an order of its own, or no scopes.
    """
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    frozen = convert_variables_to_constants_v2(function, lower_control_flow=False)
    if len(frozen.inputs) != 1:
        return None
    (source,) = frozen.inputs
    moving = _depending(frozen.graph.get_operations(), source)
    made = {source.ref(), *(tensor.ref() for operation in moving for tensor in operation.outputs)}
    if any(operation.control_inputs or _decides(operation) for operation in moving) or any(
        origin(tensor).ref() not in made for tensor in frozen.outputs
    ):
        return None
    parts = list(_parts(moving, frozen.outputs, taken))
    if len(parts) < 2:
        return None
    operations = frozen.graph.get_operations()
    # The definition of the graph has all weights: it is made once, and only for the functions that operations call.
    library = frozen.graph.as_graph_def().library if any(map(_has_functions, operations)) else None
    make_layer = _layer_class()
    values: dict[Any, Any] = {source.ref(): given}
    for part in parts:
        computation, weights = _Computation.of(part, library)
        layer = make_layer(part.name, computation)
        layer.set_weights(weights)
        results = layer([values[tensor.ref()] for tensor in part.sources])
        values |= {tensor.ref(): value for tensor, value in zip(part.results, results, strict=True)}
    return [values[origin(tensor).ref()] for tensor in frozen.outputs]


def _decides(operation: Any) -> bool:
    """Return whether the operation has functions of which it runs one, or one several times."""
    return _has_functions(operation) and operation.type not in _CALLS


def _has_functions(operation: Any) -> bool:
    return any(value.HasField("func") for value in operation.node_def.attr.values())


def _depending(operations: Sequence[Any], source: Any) -> list[Any]:
    """Return the operations that depend on `source`, in order, without those that only pass a tensor on."""
    known, found = {source.ref()}, []
    for operation in operations:
        if any(tensor.ref() in known for tensor in operation.inputs):
            known.update(tensor.ref() for tensor in operation.outputs)
            if operation.type not in PASSED:
                found.append(operation)
    return found


def _parts(operations: Sequence[Any], outputs: Sequence[Any], reserved: Collection[str]) -> Iterator[_Part]:
    """Yield the parts, each after those it needs, with other names than those `reserved`."""
    names, groups = groups_of(operations)
    place = {operation.name: group for group, members in groups.items() for operation in members}
    wanted = {origin(tensor).ref() for tensor in outputs}
    taken: dict[int, dict[Any, Any]] = {group: {} for group in groups}
    given: dict[int, dict[Any, Any]] = {group: {} for group in groups}
    order: TopologicalSorter[int] = TopologicalSorter(dict.fromkeys(groups, ()))
    for operation in operations:
        group = place[operation.name]
        for tensor in map(origin, operation.inputs):
            maker = place.get(tensor.op.name)
            if maker is None and tensor.op.type != "Placeholder":
                continue  # a constant
            if maker != group:
                taken[group].setdefault(tensor.ref(), tensor)
                if maker is not None:
                    given[maker].setdefault(tensor.ref(), tensor)
                    order.add(group, maker)
        given[group].update({tensor.ref(): tensor for tensor in operation.outputs if tensor.ref() in wanted})
    layers = layer_names(names, reserved)
    for group in order.static_order():
        if given[group]:
            sources, results = (tuple(one[group].values()) for one in (taken, given))
            yield _Part(layers[group], groups[group], sources, results)


@dataclass(frozen=True, slots=True)
class _Computation:
    """What a part computes, as a function of its tensors and weights; `weights` are the shapes and types of these.

    `definition` are the operations, `feeds` its tensors and weights by name, `results` the names of the tensors it
    gives.
    """

    definition: Any
    feeds: dict[str, Any]
    results: list[str]
    function: Any
    weights: tuple[tuple[tuple[int, ...], str], ...]
    macs: int
    kind: str

    @classmethod
    def of(cls, part: _Part, library: Any) -> tuple[_Computation, list[NDArray[Any]]]:
        """Return the computation, and the values of its weights; `library` has the functions that operations call."""
        import tensorflow as tf

        needed = _needed(part)
        constants = [one for one in needed if _is_weight(one)]
        values = [tf.make_ndarray(one.get_attr("value")) for one in constants]
        macs = graph_macs(part.operations)
        main = max(part.operations, key=lambda one: graph_macs([one])) if macs else part.operations[-1]
        tensors = [*part.sources, *(operation.outputs[0] for operation in constants)]
        feeds = {tensor.name: tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in tensors}
        results = [tensor.name for tensor in part.results]
        definition = tf.compat.v1.GraphDef(
            node=[operation.node_def for operation in needed if not _is_weight(operation)],
            versions=main.graph.graph_def_versions,
            library=library if any(map(_has_functions, needed)) else None,
        )
        function = _function(definition, feeds, results)
        kinds = tuple((value.shape, value.dtype.name) for value in values)
        return cls(definition, feeds, results, function, kinds, macs, main.type), values

    def shapes_for(self, shapes: Sequence[Any]) -> list[Any]:
        """Return the shapes of the results for sources of these shapes."""
        import tensorflow as tf

        feeds = dict(self.feeds)
        for (name, spec), shape in zip(self.feeds.items(), shapes, strict=False):
            feeds[name] = tf.TensorSpec(shape, spec.dtype)
        return [tensor.shape for tensor in _function(self.definition, feeds, self.results).outputs]


def _function(definition: Any, feeds: Mapping[str, Any], results: Sequence[str]) -> Any:
    """Return the function that a definition of operations computes of `feeds`, tensors by name: the `results`."""
    import tensorflow as tf

    def run(*given: Any) -> Any:
        return tf.graph_util.import_graph_def(definition, dict(zip(feeds, given, strict=True)), results, name="")

    return tf.compat.v1.wrap_function(run, list(feeds.values()))


def _needed(part: _Part) -> list[Any]:
    """Return the operations of the part, and those that give it constants."""
    ends = {tensor.ref() for tensor in part.sources}
    waiting, found = [*part.operations], {}
    while waiting:
        operation = waiting.pop()
        if operation.name not in found and not any(tensor.ref() in ends for tensor in operation.outputs):
            found[operation.name] = operation
            waiting.extend(tensor.op for tensor in operation.inputs)
    return [*found.values()]


def _is_weight(operation: Any) -> bool:
    """Return whether the operation is a constant of real numbers, and more than one."""
    return (
        operation.type == "Const" and operation.outputs[0].dtype.is_floating and bool(operation.outputs[0].shape.rank)
    )


def _layer_class() -> type:
    import tensorflow as tf
    import tf_keras

    class GraphPart(tf_keras.layers.Layer):  # type: ignore[misc]  # tf-keras has no types
        """A part of a graph, whose weights are its own."""

        def __init__(self, name: str, computation: _Computation) -> None:
            super().__init__(name=name, trainable=False, autocast=False)
            self.computation = computation
            self.graph_macs, self.graph_kind = computation.macs, computation.kind
            self.values = [
                self.add_weight(name=f"constant_{place}", shape=shape, dtype=dtype)
                for place, (shape, dtype) in enumerate(computation.weights)
            ]

        @property
        def first_arithmetic(self) -> str:
            return first_arithmetic(self.computation.function.graph)

        def call(self, given: Any) -> Any:
            tensors = given if isinstance(given, list | tuple) else [given]
            kinds = [spec.dtype for spec in self.computation.feeds.values()]
            cast = [tf.cast(tensor, kind) for tensor, kind in zip(tensors, kinds, strict=False)]
            return self.computation.function(*cast, *self.values)

        def compute_output_shape(self, shape: Any) -> Any:
            shapes = self.computation.shapes_for(shape if isinstance(shape, list) else [shape])
            return shapes if len(shapes) > 1 else shapes[0]

        def get_config(self) -> dict[str, Any]:
            return {"name": self.name, "computation": self.computation}

    return GraphPart
