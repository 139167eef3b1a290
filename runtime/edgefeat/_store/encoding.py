"""Features as the bytes of a database, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefeat._errors import EngineError
from edgefeat._store.precision import Precision

__all__ = ["decode", "encode"]

_DTYPES: dict[str, np.dtype[Any]] = {"float32": np.dtype("<f4"), "float16": np.dtype("<f2"), "int8": np.dtype("i1")}
_LARGEST_FLOAT16 = 65504.0


def encode(features: Sequence[NDArray[np.float32]], precision: Precision) -> tuple[bytes, bytes]:
    """Return one photo's features, in the order of the taps, as the bytes of `scales` and of `data`.

    int8 is `round(value / scale)` with `scale = max |value| / 127`, stored as one float32 a tap in `scales`, which is
    empty for other precisions. Everything is little-endian. Raises EngineError for values that are not finite or too
    large for float16.
    """
    parts: list[bytes] = []
    scales: list[np.float32] = []
    for feature in features:
        flat = np.ascontiguousarray(feature, np.float32).ravel()
        largest = float(np.abs(flat).max(initial=0.0))
        if not np.isfinite(largest):
            raise EngineError("the engine gives a feature that is not finite")
        if precision == "float16" and largest > _LARGEST_FLOAT16:
            raise EngineError(f"the feature's {largest:.0f} is too large for float16 (allowed: 65504): use float32")
        if precision == "int8":
            # Round the scale to float32 first, as the reader multiplies by the stored value.
            scale = np.float32(largest / 127) or np.float32(1)
            flat = np.clip(np.rint(flat / scale), -127, 127)
            scales.append(scale)
        parts.append(flat.astype(_DTYPES[precision]).tobytes())
    return np.array(scales, "<f4").tobytes(), b"".join(parts)


def decode(blobs: Sequence[bytes], scales: Sequence[bytes], precision: str, size: int) -> NDArray[np.float32]:
    """Return the features of several photos, float32 (N, size). For int8, `scales` has one float32 for each photo."""
    rows = np.frombuffer(b"".join(blobs), _DTYPES[precision]).reshape(len(blobs), size)
    features: NDArray[np.float32] = rows.astype(np.float32)
    if precision == "int8":
        features *= np.frombuffer(b"".join(scales), "<f4").reshape(len(blobs), 1)
    return features
