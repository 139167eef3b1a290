"""Compare a Raspberry Pi's camera with a reference photo, frame by frame.

    python examples/camera_picamera2.py BUNDLE REFERENCE_PHOTO          # needs: sudo apt install python3-picamera2
    python examples/camera_picamera2.py BUNDLE REFERENCE_PHOTO --frames 50         # generated frames, no camera

Prints the cosine similarity (1: identical) and the frames per second, camera included. Stop it with Ctrl-C.

A bundle exported with `--frame i420-640x480` takes the camera's YUV420 as it is, half the bytes of RGB; one exported
with `--frame rgb-640x480` its RGB. Without either, each frame is resized in Python.
"""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Iterator

import numpy as np

import edgefeat

SIZE = (640, 480)


#: libcamera names a format from the highest byte down: its BGR888 is an array in RGB order.
FORMATS = {"i420-640x480": "YUV420", "rgb-640x480": "BGR888"}


def camera(pixels: str) -> Iterator[np.ndarray]:
    """Yield frames of a format of libcamera until the program stops. Rows of YUV420 may be padded."""
    from picamera2 import Picamera2

    with Picamera2() as device:
        device.configure(device.create_video_configuration(main={"format": pixels, "size": SIZE}))
        device.start()
        while True:
            yield device.capture_array("main")


def generated(count: int) -> Iterator[np.ndarray]:
    """Yield frames of a bright square that moves over a dark background."""
    for number in range(count):
        frame = np.full((SIZE[1], SIZE[0], 3), 30, np.uint8)
        left = number * 16 % (SIZE[0] - 160)
        frame[160:320, left : left + 160] = (250, 180, 40)
        yield frame


def main() -> None:
    """Compare until the frames end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument("reference")
    parser.add_argument("--frames", type=int, metavar="N", help="use N generated frames instead of the camera")
    given = parser.parse_args()

    opened = edgefeat.Bundle.open(given.bundle)
    extractor = edgefeat.load(opened)
    reference = extractor.extract(given.reference)
    possible = [
        name for name in FORMATS if name in opened.frames() and (given.frames is None or name.startswith("rgb"))
    ]
    direct = edgefeat.load(opened, frame=possible[0]) if possible else None
    length = np.linalg.norm(reference)
    before = time.perf_counter()
    pixels = FORMATS[possible[0]] if possible else "BGR888"
    for frame in camera(pixels) if given.frames is None else generated(given.frames):
        feature = extractor.extract(frame) if direct is None else direct.extract_frame(frame, stride=frame.strides[0])
        similarity = feature @ reference / (np.linalg.norm(feature) * length)
        now = time.perf_counter()
        print(f"similarity {similarity:.3f}  {1 / (now - before):.1f} fps", flush=True)
        before = now


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
