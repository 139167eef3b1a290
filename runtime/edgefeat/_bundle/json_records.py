"""Strict conversion between frozen dataclasses and JSON: unknown, missing or mistyped fields are errors.

A field with `optional` in its metadata may be missing; it then has its default and is not written. Fields may be str,
int, float, bool, Literal, another record, `X | None`, `tuple[X, ...]` and `dict[str, X]`.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import sys
import types
import typing
import unicodedata
from typing import Any, TypeVar

__all__ = ["Record", "RecordError", "from_json", "to_json"]

R = TypeVar("R")


class Record:
    """Shared `__eq__`, `__hash__` and `__repr__`: compiling them for each dataclass would take 0.25 ms each at
    start-up.
    """

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return _items(self) == _items(other)

    def __hash__(self) -> int:
        return hash(tuple(value for _, value in _items(self)))

    def __repr__(self) -> str:
        return f"{type(self).__qualname__}({', '.join(f'{name}={value!r}' for name, value in _items(self))})"


def _items(record: Any) -> list[tuple[str, Any]]:
    return [(field.name, getattr(record, field.name)) for field in dataclasses.fields(record)]


class RecordError(ValueError):
    """A JSON value does not fit the record; the message has the field's path and the value."""


def from_json(record: type[R], value: object, where: str = "") -> R:
    """Return the record of type `record` for `value`, as returned by `json.loads`.

    Raises RecordError, with the field's path, for anything that does not fit.
    """
    if not isinstance(value, dict):
        raise RecordError(f"{where or 'the file'} is {_kind(value)}, expected an object")
    hints = _hints(record)  # type: ignore[arg-type]  # a type can be hashed, whatever mypy says of its values
    fields = dataclasses.fields(record)  # type: ignore[arg-type]  # R is always a dataclass
    names = [field.name for field in fields]
    for name in value:
        if name not in names:
            raise RecordError(f"{_join(where, str(name))} is unknown (allowed here: {', '.join(names)})")
    for field in fields:
        if field.name not in value and not field.metadata.get("optional"):
            raise RecordError(f"{_join(where, field.name)} is missing")
    return record(**{name: _value(hints[name], value[name], _join(where, name)) for name in names if name in value})


def to_json(record: object) -> Any:
    """Return the JSON value of a record, as read by `from_json`."""
    if dataclasses.is_dataclass(record) and not isinstance(record, type):
        return {
            field.name: to_json(getattr(record, field.name))
            for field in dataclasses.fields(record)
            if not field.metadata.get("optional") or getattr(record, field.name) != field.default
        }
    if isinstance(record, dict):
        return {key: to_json(item) for key, item in record.items()}
    if isinstance(record, tuple | list):
        return [to_json(item) for item in record]
    return record


@functools.cache
def _hints(record: type) -> dict[str, Any]:
    return typing.get_type_hints(record)


def _value(hint: Any, value: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        (hint,) = [argument for argument in arguments if argument is not type(None)]
        return _value(hint, value, where)
    if origin is typing.Literal:
        if not any(value == allowed and type(value) is type(allowed) for allowed in arguments):
            raise RecordError(f"{where} is {_kind(value)} (allowed: {', '.join(map(repr, arguments))})")
        return value
    if origin is tuple:
        if not isinstance(value, list):
            raise RecordError(f"{where} is {_kind(value)}, expected a list")
        return tuple(_value(arguments[0], item, f"{where}[{index}]") for index, item in enumerate(value))
    if origin is dict:
        if not isinstance(value, dict):
            raise RecordError(f"{where} is {_kind(value)}, expected an object")
        return {
            _scalar(str, key, f"a name in {where}"): _value(arguments[1], item, _join(where, str(key)))
            for key, item in value.items()
        }
    if dataclasses.is_dataclass(hint):
        return from_json(typing.cast(type, hint), value, where)
    return _scalar(hint, value, where)


def _scalar(hint: type, value: object, where: str) -> object:
    if hint is float and type(value) is int:
        value = float(value) if abs(value) < sys.float_info.max else math.inf
    if type(value) is not hint:
        raise RecordError(f"{where} is {_kind(value)}, expected {hint.__name__}")
    if isinstance(value, float) and not math.isfinite(value):
        raise RecordError(f"{where} is {value}, expected a finite number")
    if isinstance(value, str) and any(unicodedata.category(character) in ("Cc", "Cs") for character in value):
        # Surrogates cannot be encoded as UTF-8. Control characters could send commands to a terminal.
        raise RecordError(f"{where} is {_kind(value)}, expected text without control characters and surrogates")
    return value


def _join(where: str, name: str) -> str:
    shown = name if name.isprintable() and len(name) <= 40 else _short(name)
    return f"{where}.{shown}" if where else shown


def _kind(value: object) -> str:
    return f"{type(value).__name__} {_short(value)}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
