"""Make camera frames to measure fidelity on: photos as a camera would have delivered them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgefeat._images.form import PictureForm
from edgefeat._images.frames.form import FrameForm
from edgefeat._images.frames.pixels import frame_of, rgb_of
from edgefeat._images.picture import read_picture
from edgefeat_export._images.synthetic import dead_leaves

__all__ = ["camera_frames", "prepared"]

_MOST_PHOTOS, _GENERATED = 32, 16
_MOST_BYTES = 256_000_000


def camera_frames(photos: Sequence[str], form: FrameForm, picture: PictureForm, *, seed: int) -> NDArray[np.uint8]:
    """Return frames of the photos, uint8 (N, *form.shape), cropped to the frame's shape; without photos, generated.

    At most 32, and fewer if they would take more than 256 MB.
    """
    most = max(1, _MOST_BYTES // (3 * form.upright[0] * form.upright[1]))
    width, height = form.upright
    if photos:
        whole = PictureForm(
            height, width, fit="crop", orientation=picture.orientation, transparency=picture.transparency
        )
        upright = np.stack([read_picture(path, whole, "exact") for path in photos[: min(most, _MOST_PHOTOS)]])
    else:
        upright = dead_leaves(min(most, _GENERATED), height, width, seed=seed)
    return np.stack([frame_of(one, form) for one in upright])


def prepared(frames: NDArray[np.uint8], form: FrameForm, picture: PictureForm) -> NDArray[np.uint8]:
    """Return the model's inputs for frames without a frame in the file: converted, upright, resized by Pillow."""
    return np.stack([read_picture(rgb_of(frame, form), picture, "exact") for frame in frames])
