"""Name each new scene of a webcam or a recorded clip.

    python examples/camera_opencv.py BUNDLE                      # the first webcam; needs: pip install opencv-python
    python examples/camera_opencv.py BUNDLE --video clip.mp4
    python examples/camera_opencv.py BUNDLE --frames 50          # generated frames, no camera

A frame belongs to the current scene if the cosine of its feature to that of the scene's first frame is at least
`--alike`. Otherwise it begins a new scene. A bundle exported with `--frame bgr-640x480` (or the camera's own size)
takes the frames as they are. Otherwise the next frames are resized while the network works on this one.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import sys
import time
from collections.abc import Iterator

import numpy as np

import edgefeat


def captured(source: int | str) -> Iterator[np.ndarray]:
    """Yield the BGR frames of a webcam, by its number, or of a video file."""
    import cv2

    device = cv2.VideoCapture(source)
    if not device.isOpened():
        sys.exit(f"cannot open {source!r}")
    try:
        while True:
            good, frame = device.read()
            if not good:
                return
            yield frame
    finally:
        device.release()


def generated(count: int) -> Iterator[np.ndarray]:
    """Yield three scenes of plain colours (blue, green, red) as BGR frames with a little noise."""
    random = np.random.default_rng(0)
    for number in range(count):
        frame = random.integers(0, 20, (480, 640, 3), np.uint8)
        frame[:, :, number * 3 // count] += 200
        yield frame


def features(bundle: str, frames: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield the feature of each BGR frame, by the file for frames of their size if the bundle has one."""
    for first in frames:
        name = f"bgr-{first.shape[1]}x{first.shape[0]}"
        every = itertools.chain([first], frames)
        opened = edgefeat.Bundle.open(bundle)
        if name in opened.frames():
            yield from map(edgefeat.load(opened, frame=name).extract_frame, every)
        else:
            for extraction in edgefeat.load(opened).stream(every, channels="bgr"):
                yield extraction.feature


def main() -> None:
    """Print each new scene until the frames end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument("--camera", type=int, default=0, metavar="NUMBER")
    parser.add_argument("--video", metavar="FILE", help="use a recorded clip instead of the webcam")
    parser.add_argument("--frames", type=int, metavar="N", help="use N generated frames instead of the webcam")
    parser.add_argument("--alike", type=float, default=0.9, metavar="COSINE")
    given = parser.parse_args()

    source = given.video if given.video is not None else given.camera
    frames = captured(source) if given.frames is None else generated(given.frames)
    scene, count, started = None, 0, time.perf_counter()
    for found in features(given.bundle, frames):
        feature = found / np.linalg.norm(found)
        if scene is None or scene @ feature < given.alike:
            unlike = "" if scene is None else f", similarity to the last {scene @ feature:.3f}"
            print(f"new scene at frame {count}{unlike}", flush=True)
            scene = feature
        count += 1
    print(f"{count} frames, {count / (time.perf_counter() - started):.1f} fps")


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
