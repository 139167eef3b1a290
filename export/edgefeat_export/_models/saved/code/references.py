"""Read and write, in a model's description, which tensors a layer is called on; the same for Keras 2 and 3."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Source", "call_on", "renumbered", "sources"]


@dataclass(frozen=True, slots=True)
class Source:
    """A tensor: output number `output` of call number `call` of the layer `name`; `written` is its description."""

    name: str
    call: int
    output: int
    written: Any = field(compare=False)


def sources(value: Any, names: Collection[str]) -> Iterator[Source]:
    """Yield the tensors that a part of a description names, in order. `names` are the layers of the model."""
    found = _source(value, names)
    if found is not None:
        yield found
    for item in _inside(value, found is not None):
        yield from sources(item, names)


def renumbered(value: Any, shifts: Mapping[str, int]) -> Any:
    """Return a part of a description with the numbers of calls lowered by `shifts`, by the layer's name."""
    found = _source(value, shifts)
    if isinstance(value, dict):
        if found is None:
            return {key: renumbered(item, shifts) for key, item in value.items()}
        history = [found.name, found.call - shifts[found.name], found.output]
        return {**value, "config": {**value["config"], "keras_history": history}}
    if not isinstance(value, list | tuple):
        return value
    if found is None:
        return [renumbered(item, shifts) for item in value]
    return [found.name, found.call - shifts[found.name], found.output, *renumbered(value[3:], shifts)]


def call_on(tensors: Sequence[Source]) -> Any:
    """Return the description of a call of a layer on `tensors`, in one list if they are several."""
    if isinstance(tensors[0].written, dict):  # Keras 3
        given = [source.written for source in tensors]
        return {"args": given if len(given) == 1 else [given], "kwargs": {}}
    return [[source.name, source.call, source.output, {}] for source in tensors]


def _source(value: Any, names: Collection[str]) -> Source | None:
    """Return the tensor that this value itself names: a `__keras_tensor__` of Keras 3, a list of Keras 2."""
    place = value
    if isinstance(value, dict):
        config = value.get("config")
        place = config.get("keras_history") if isinstance(config, dict) else None
    if not isinstance(place, list | tuple) or len(place) < 3:
        return None
    name, call, output = place[:3]
    if isinstance(name, str) and name in names and type(call) is int and type(output) is int:
        return Source(name, call, output, value)
    return None


def _inside(value: Any, is_source: bool) -> Sequence[Any]:
    if isinstance(value, dict):
        return () if is_source else list(value.values())
    if isinstance(value, list | tuple):
        return value[3:] if is_source else value
    return ()
