"""A frame's bytes as the model takes them: checked, without row padding, not copied where they are already so."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgefeat._errors import ArgumentError, checked_whole
from edgefeat._images.frames.form import FrameForm

__all__ = ["FrameBuffer", "frame_array"]

#: The bytes of a frame: an object with a buffer, or a uint8 array.
FrameBuffer: TypeAlias = "bytes | bytearray | memoryview | NDArray[np.uint8]"


def frame_array(buffer: FrameBuffer, form: FrameForm, stride: int | None = None) -> NDArray[np.uint8]:
    """Return the frame as uint8 (1, *form.shape), C-contiguous.

    `buffer` is the camera's memory, or an array: of the frame's shape, with any strides, of one dimension, or with the
    padding in its rows. `stride` is the number of bytes from one row to the next, if rows are padded. The half rows of
    I420's chroma are then padded to half the stride. The last row may lack its padding.

    Raises ArgumentError, with the size found and required, for anything else.
    """
    array = buffer if isinstance(buffer, np.ndarray) else _bytes(buffer)
    stride = stride if stride is None else checked_whole("stride", stride)
    if array.dtype != np.uint8:
        raise ArgumentError(f"a frame of {array.dtype} (allowed: uint8, as the camera delivers it)")
    if array.shape == form.shape or (form.format == "gray" and array.shape == form.shape[:2]):
        return np.ascontiguousarray(array).reshape(1, *form.shape)
    row = form.size // form.shape[0]
    rows = array.shape[0] if array.ndim else 0
    if array.ndim == 1:
        return _tight(array, form, row if stride is None else stride)
    if stride is not None and array.ndim in (2, 3) and rows == form.shape[0] and array.size == rows * stride:
        return _tight(np.ascontiguousarray(array).reshape(-1), form, stride)
    raise ArgumentError(
        f"a frame of shape {array.shape} (required for {form.name}: {form.shape}, or {form.size} bytes): if its rows "
        "are padded, give stride=, the bytes from one row to the next"
    )


def _bytes(buffer: bytes | bytearray | memoryview) -> NDArray[np.uint8]:
    try:
        return np.frombuffer(buffer, np.uint8)
    except (TypeError, ValueError) as error:
        raise ArgumentError(
            f"a frame of type {type(buffer).__name__} (allowed: bytes or a uint8 array): {error}"
        ) from None


def _tight(flat: NDArray[np.uint8], form: FrameForm, stride: int) -> NDArray[np.uint8]:
    """Return the frame without the padding of its rows; `flat` is one-dimensional."""
    rows, row = form.shape[0], form.size // form.shape[0]
    if stride < row:
        raise ArgumentError(f"rows of {stride} bytes (required for {form.name}: {row} or more)")
    least = stride * (rows - 1) + row
    if form.format == "i420" and stride > row:
        least = stride * form.height + (stride // 2) * (form.height - 1) + form.width // 2
    if not least <= len(flat) <= stride * rows:
        padded = f" in rows of {stride}" if stride > row else ""
        raise ArgumentError(
            f"a frame of {len(flat)} bytes (required for {form.name}: {stride * rows}{padded}): "
            "if rows are padded, give stride=, the bytes from one row to the next"
        )
    if stride == row:
        return np.ascontiguousarray(flat).reshape(1, *form.shape)
    if form.format == "i420":
        return _tight_planes(flat, form, stride)
    padding = stride * rows - len(flat)
    whole = np.concatenate([flat, np.zeros(padding, np.uint8)]) if padding else flat
    return np.ascontiguousarray(whole.reshape(rows, stride)[:, :row]).reshape(1, *form.shape)


def _tight_planes(flat: NDArray[np.uint8], form: FrameForm, stride: int) -> NDArray[np.uint8]:
    """Return I420 without padding: each plane has its own row length."""
    parts, place = [], 0
    for rows, row, step in (
        (form.height, form.width, stride),
        (form.height // 2, form.width // 2, stride // 2),
        (form.height // 2, form.width // 2, stride // 2),
    ):
        length = min(rows * step, len(flat) - place)
        plane = np.zeros(rows * step, np.uint8)
        plane[:length] = flat[place : place + length]
        parts.append(plane.reshape(rows, step)[:, :row].reshape(-1))
        place += rows * step
    return np.concatenate(parts).reshape(1, *form.shape)
