"""Time camera frames, and compare their features: python tests/stress/camera_frames.py BUNDLE PHOTOS

For each frame and variant of the bundle, in one interleaved run, medians in milliseconds from the frame to the feature,
of --rounds spread over the run:

    file      the file that takes the frame
    Python    OpenCV's colour conversion and rotation, edgefeat's resize (Pillow), and the plain file
    OpenCV    OpenCV's colour conversion, INTER_AREA resize and rotation, and the plain file

A turn is a series of calls, as with a camera. Its first calls are not timed: the threads of the ways before, which
engines and OpenCV keep awake, take time from them. Beside the times is the cosine of the file's features to those of
the way in Python. OpenCV is required (opencv-python-headless). With --cpu the time of the processor counts: other
programs on the machine then matter less, but it is only for one thread.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

import edgefeat
from edgefeat._bundle.fidelity import cosines
from edgefeat._images.form import PictureForm
from edgefeat._images.frames.form import FrameForm
from edgefeat._images.frames.pixels import frame_of
from edgefeat._images.picture import read_picture
from edgefeat._images.sources.folders import pictures_in

_PHOTOS = 24
_SETTLING = 0.05  # seconds
_TIMED = 5  # calls in a turn
_CODES = {
    "bgr": cv2.COLOR_BGR2RGB,
    "rgba": cv2.COLOR_RGBA2RGB,
    "bgra": cv2.COLOR_BGRA2RGB,
    "gray": cv2.COLOR_GRAY2RGB,
    "nv12": cv2.COLOR_YUV2RGB_NV12,
    "nv21": cv2.COLOR_YUV2RGB_NV21,
    "i420": cv2.COLOR_YUV2RGB_I420,
    "yuyv": cv2.COLOR_YUV2RGB_YUYV,
}
_TURNS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


def converted(frame: NDArray[np.uint8], form: FrameForm) -> Any:
    """Return RGB by OpenCV, not turned."""
    return cv2.cvtColor(frame, _CODES[form.format]) if form.format in _CODES else frame


def turned(image: Any, form: FrameForm) -> Any:
    """Return the image turned upright."""
    return cv2.rotate(image, _TURNS[form.rotation]) if form.rotation else image


def medians(calls: dict[str, Callable[[], object]], seconds: float, clock: Callable[[], float]) -> dict[str, float]:
    """Return the median milliseconds of each call, with a series of each in turn."""
    samples: dict[str, list[float]] = {name: [] for name in calls}
    begun = time.perf_counter()
    while time.perf_counter() - begun < seconds:
        for name, call in calls.items():
            settled = time.perf_counter() + _SETTLING
            call()
            while time.perf_counter() < settled:
                call()
            for _ in range(_TIMED):
                before = clock()
                call()
                samples[name].append((clock() - before) * 1e3)
    return {name: float(np.median(taken)) for name, taken in samples.items()}


def compared(bundle: str, variant: str, photos: list[str], given: argparse.Namespace) -> list[float]:
    """Return the milliseconds of each way, and the mean and the lowest cosine."""
    base = variant.partition("@")[0]
    file = edgefeat.load(bundle, variant=variant, threads=given.threads)
    plain = edgefeat.load(bundle, variant=base, threads=given.threads)
    form, picture = file.frame, plain.bundle.manifest.picture
    assert form is not None
    whole = PictureForm(form.upright[1], form.upright[0], fit="crop")
    frames = [frame_of(read_picture(photo, whole), form) for photo in photos]
    size, one = (picture.width, picture.height), frames[0]
    small = size if form.rotation in (0, 180) else size[::-1]

    def by_python(given_frame: NDArray[np.uint8]) -> Any:
        return plain.extract(turned(converted(given_frame, form), form))

    def by_opencv() -> Any:
        resized = cv2.resize(converted(one, form), small, interpolation=cv2.INTER_AREA)
        return plain.run(np.ascontiguousarray(turned(resized, form))[np.newaxis])

    calls = {"file": lambda: file.extract_frame(one), "python": lambda: by_python(one), "opencv": by_opencv}
    taken = medians(calls, given.seconds, time.process_time if given.cpu else time.perf_counter)
    features = [np.stack([np.asarray(call(each)) for each in frames]) for call in (file.extract_frame, by_python)]
    cosine = cosines(*features)
    return [*taken.values(), float(cosine.mean()), float(cosine.min())]


def line(variant: str, found: list[list[float]]) -> str:
    """Return a line of the table: the medians of the rounds."""
    file, python, opencv, mean, lowest = np.median(found, axis=0)
    to_python, to_opencv = np.median([(one[0] / one[1], one[0] / one[2]) for one in found], axis=0)
    return (
        f"{variant:36} {file:6.2f} {python:7.2f} {opencv:7.2f}   {to_python:5.2f} {to_opencv:5.2f}   "
        f"{mean:.5f} {lowest:.5f}"
    )


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument("photos")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=3.0, help="for a variant in a round")
    parser.add_argument("--rounds", type=int, default=1, help="how often all are measured: the medians are printed")
    parser.add_argument("--cpu", action="store_true", help="measure processor time")
    given = parser.parse_args()
    cv2.setNumThreads(given.threads)
    found = pictures_in(given.photos)
    photos = found[:: max(1, len(found) // _PHOTOS)][:_PHOTOS]
    variants = [
        variant.name
        for variant in edgefeat.Bundle.open(given.bundle).manifest.variants
        if variant.frame is not None and variant.frame.color == "bt601"  # OpenCV converts no other colours
    ]
    measured: dict[str, list[list[float]]] = {variant: [] for variant in variants}
    for _ in tqdm(range(given.rounds), unit="round", disable=None):
        for variant in variants:
            measured[variant].append(compared(given.bundle, variant, photos, given))
    print(f"{'ms':36} {'file':>6} {'Python':>7} {'OpenCV':>7}   ratios        cosine: mean, lowest")
    for variant in variants:
        print(line(variant, measured[variant]))


if __name__ == "__main__":
    main()
