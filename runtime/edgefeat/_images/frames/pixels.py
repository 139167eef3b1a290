"""The pixels of a frame: from a frame to an upright RGB image, and from an image to a frame.

This is the definition that model files with a frame input are measured against. It is not fast: the files are.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgefeat._images.frames.form import FrameForm

__all__ = ["BLACK", "frame_of", "matrix", "rgb_of"]

#: The luma of black in limited range. Lower values, which cameras do not deliver, count as black, as in OpenCV.
BLACK = 16

#: Kr and Kb of the luma Y = Kr R + (1 - Kr - Kb) G + Kb B (ITU-R BT.601-7, BT.709-6).
_LUMA = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722)}


def matrix(color: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return `weights` (3, 3) and `bias` (3,): RGB = weights @ (Y, U, V) + bias, all 0 to 255."""
    red, blue = _LUMA[color.removesuffix("-full")]
    green = 1 - red - blue
    full = color.endswith("-full")
    luma, chroma = (1.0, 1.0) if full else (255 / 219, 255 / 224)
    weights = np.array(
        [
            [luma, 0.0, chroma * 2 * (1 - red)],
            [luma, -chroma * 2 * (1 - blue) * blue / green, -chroma * 2 * (1 - red) * red / green],
            [luma, chroma * 2 * (1 - blue), 0.0],
        ]
    )
    return weights, -weights @ np.array([0.0 if full else BLACK, 128.0, 128.0])


def rgb_of(frame: NDArray[np.uint8], form: FrameForm) -> NDArray[np.uint8]:
    """Return the frame, of shape `form.shape`, as an upright RGB image: uint8 (height, width, 3).

    Colours are rounded and clipped to 0-255. Pixels that share their chroma have equal chroma, as in OpenCV's cvtColor.
    """
    if form.is_yuv:
        weights, bias = matrix(form.color)
        planes = _planes(frame, form)
        if not form.color.endswith("-full"):
            planes[:, :, 0] = np.maximum(planes[:, :, 0], BLACK)
        rgb = np.rint(planes @ weights.T + bias).clip(0, 255).astype(np.uint8)
    elif form.format == "gray":
        rgb = np.repeat(frame, 3, axis=2)
    else:
        rgb = frame[:, :, 2::-1] if form.format in ("bgr", "bgra") else frame[:, :, :3]
    upright: NDArray[np.uint8] = np.ascontiguousarray(np.rot90(rgb, -form.rotation // 90))
    return upright


def frame_of(picture: NDArray[np.uint8], form: FrameForm) -> NDArray[np.uint8]:
    """Return an upright RGB image, uint8 (H, W, 3), as a frame of shape `form.shape`.

    The image is sampled at the nearest pixels if its size is not `form.upright`: the same on every machine.
    """
    width, height = form.upright
    rows = np.arange(height) * picture.shape[0] // height
    columns = np.arange(width) * picture.shape[1] // width
    rgb = np.ascontiguousarray(np.rot90(picture[rows][:, columns], form.rotation // 90))
    if form.is_yuv:
        return _packed(rgb, form)
    if form.format == "gray":
        gray = (rgb.astype(np.int32) @ np.array([299, 587, 114]) + 500) // 1000
        return np.asarray(gray[:, :, np.newaxis], np.uint8)
    ordered = rgb[:, :, ::-1] if form.format in ("bgr", "bgra") else rgb
    if form.format in ("rgba", "bgra"):
        return np.concatenate([ordered, np.full((*rgb.shape[:2], 1), 255, np.uint8)], axis=2)
    return np.ascontiguousarray(ordered)


def _planes(frame: NDArray[np.uint8], form: FrameForm) -> NDArray[np.uint8]:
    """Return Y, U and V of every pixel: (height, width, 3)."""
    if form.format == "yuyv":
        u, v = frame[:, 0::2, 1], frame[:, 1::2, 1]
        return np.stack([frame[:, :, 0], np.repeat(u, 2, 1), np.repeat(v, 2, 1)], axis=2)
    rest = frame[form.height :].reshape(-1)
    half = (form.height // 2, form.width // 2)
    if form.format == "i420":
        u, v = rest.reshape(2, *half)
    else:
        pairs = rest.reshape(*half, 2)
        u, v = (pairs[:, :, index] for index in ((0, 1) if form.format == "nv12" else (1, 0)))
    whole = [np.repeat(np.repeat(plane, 2, 0), 2, 1) for plane in (u, v)]
    return np.stack([frame[: form.height], *whole], axis=2)


def _packed(rgb: NDArray[np.uint8], form: FrameForm) -> NDArray[np.uint8]:
    """Return RGB pixels as a YUV frame; the chroma of pixels that share it is their mean."""
    weights, bias = matrix(form.color)
    yuv = (rgb - bias) @ np.linalg.inv(weights).T
    luma = np.rint(yuv[:, :, 0]).clip(0, 255).astype(np.uint8)
    pairs = yuv[:, 0::2, 1:] + yuv[:, 1::2, 1:]
    if form.format == "yuyv":
        chroma = np.rint(pairs / 2).clip(0, 255).astype(np.uint8)
        return np.stack([luma, chroma.reshape(luma.shape)], axis=2)
    chroma = np.rint((pairs[0::2] + pairs[1::2]) / 4).clip(0, 255).astype(np.uint8)
    if form.format == "i420":
        chroma = chroma.transpose(2, 0, 1)
    elif form.format == "nv21":
        chroma = chroma[:, :, ::-1]
    return np.concatenate([luma, chroma.reshape(-1, form.width)])
