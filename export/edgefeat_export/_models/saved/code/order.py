"""Find a call in a model's description that can never be made, because Keras 2 would wait for it without end."""

from __future__ import annotations

from typing import Any

from edgefeat import ExportError
from edgefeat_export._models.saved.code.config import MODELS, named, saved_layers
from edgefeat_export._models.saved.code.references import Source, sources
from edgefeat_export._models.saved.recognition import SavedModel

__all__ = ["check_order"]


#: What Keras 2 writes in place of a layer's name for a number that comes before the tensor.
_CONSTANT = "_CONSTANT_VALUE"


def check_order(saved: SavedModel) -> None:
    """Raise ExportError, naming the layer, if one is called on a tensor that only it or no layer gives."""
    for model in (saved.config, *saved_layers(saved.config)):
        inside = model.get("config")
        if model.get("class_name") in MODELS and isinstance(inside, dict) and isinstance(inside.get("layers"), list):
            found = _never_called([layer for layer in inside["layers"] if isinstance(layer, dict)])
            if found is not None:
                raise ExportError(
                    f"model {saved.path} cannot be loaded: the description of its layers is damaged: {found!r} is "
                    "called on a tensor that no layer gives"
                )


def _never_called(layers: list[dict[str, Any]]) -> str | None:
    names = {str(named(layer)) for layer in layers}
    waiting: list[tuple[str, int, list[Source]]] = []
    given: set[tuple[str, int]] = set()
    # An inner model may count its calls from 1: the call that built it is number 0.
    inner = {str(named(layer)) for layer in layers if layer.get("class_name") in MODELS}
    for layer in layers:
        nodes = layer.get("inbound_nodes")
        if isinstance(nodes, list):
            if any(_names_no_call(node, names) for node in nodes):
                return str(named(layer))
            waiting += [(str(named(layer)), index, list(sources(node, names))) for index, node in enumerate(nodes)]
        if not nodes and layer.get("class_name") == "InputLayer":
            given.add((str(named(layer)), 0))
    while waiting:
        blocked = []
        for name, index, tensors in waiting:
            if all((source.name, source.call) in given for source in tensors):
                given.update({(name, index), (name, index + 1)} if name in inner else {(name, index)})
            else:
                blocked.append((name, index, tensors))
        if len(blocked) == len(waiting):
            return blocked[0][0]
        waiting = blocked
    return None


def _names_no_call(value: Any, names: set[str]) -> bool:
    """Return whether a list somewhere in `value` is Keras 2's name of a tensor, but with other numbers or no layer."""
    if not isinstance(value, list):
        return False
    if len(value) == 4 and value[0] == _CONSTANT and value[0] not in names:  # as in `1 - x`
        return _names_no_call(list(value[3].values()) if isinstance(value[3], dict) else value[3], names)
    if len(value) == 4 and isinstance(value[0], str) and (value[0] in names or isinstance(value[3], dict)):
        return value[0] not in names or any(type(number) is not int for number in value[1:3])
    return any(_names_no_call(item, names) for item in value)
