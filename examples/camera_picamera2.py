"""Compare a Raspberry Pi's camera with a reference photo, frame by frame.

    python examples/camera_picamera2.py BUNDLE REFERENCE_PHOTO          # needs: sudo apt install python3-picamera2
    python examples/camera_picamera2.py BUNDLE REFERENCE_PHOTO --frames 50         # generated frames, no camera

Prints the cosine similarity (1: identical) and the frames per second, camera included. Stop it with Ctrl-C.
"""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Iterator

import numpy as np

import edgefeat

SIZE = (640, 480)


def camera() -> Iterator[np.ndarray]:
    """Yield RGB frames until the program stops."""
    from picamera2 import Picamera2

    with Picamera2() as device:
        # libcamera names a format from the highest byte down: its BGR888 is an array in RGB order.
        device.configure(device.create_video_configuration(main={"format": "BGR888", "size": SIZE}))
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

    extractor = edgefeat.load(given.bundle)
    reference = extractor.extract(given.reference)
    length = np.linalg.norm(reference)
    before = time.perf_counter()
    for frame in camera() if given.frames is None else generated(given.frames):
        feature = extractor.extract(frame)
        similarity = feature @ reference / (np.linalg.norm(feature) * length)
        now = time.perf_counter()
        print(f"similarity {similarity:.3f}  {1 / (now - before):.1f} fps", flush=True)
        before = now


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
