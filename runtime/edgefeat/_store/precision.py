"""How a database stores features: float32, float16 in half the bytes, or int8 with a scale in a quarter."""

from __future__ import annotations

from typing import Literal, get_args

__all__ = ["PRECISIONS", "Precision", "stored_size"]

Precision = Literal["float32", "float16", "int8"]

PRECISIONS: tuple[Precision, ...] = get_args(Precision)

_BYTES = {"float32": 4, "float16": 2, "int8": 1}


def stored_size(values: int, precision: str) -> int:
    """Return the number of bytes for this many values."""
    return values * _BYTES[precision]
