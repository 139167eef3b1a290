"""Measuring camera frames on this device, from the frame to the feature, for `edgefeat bench --frame`."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgefeat._bundle.golden import read_golden
from edgefeat._commands.bench.measurement import Stage, stage
from edgefeat._engines.device.cores import available_cores
from edgefeat._engines.device.memory import peak_memory
from edgefeat._engines.device.processor import processor
from edgefeat._errors import ArgumentError, PictureError
from edgefeat._extractor import Extractor
from edgefeat._images.form import PictureForm
from edgefeat._images.frames.form import FrameForm
from edgefeat._images.frames.pixels import frame_of
from edgefeat._images.limits import without_advice
from edgefeat._images.picture import read_picture
from edgefeat._version import __version__

__all__ = ["FrameRun", "bench_frames"]


@dataclass(frozen=True, slots=True)
class FrameRun:
    """A device's figures for one camera frame of a bundle, in ms. `feature` is from a frame's bytes to its feature."""

    format: int
    edgefeat: str
    device: str
    architecture: str
    system: str
    python: str
    cores: int
    bundle: str
    identity: str
    variant: str
    frame: FrameForm
    engine: str
    engine_version: str
    threads: int
    load: float
    first_call: float
    feature: Stage
    peak_memory_bytes: int | None


def bench_frames(
    load: Callable[[], Extractor], photos: Sequence[str], *, seconds: float, tell: Callable[[str], None]
) -> FrameRun:
    """Extract frames in turn for `seconds`, after one warm-up round. `load` returns an extractor of frames.

    The frames are made from `photos`, or from the bundle's golden images if there are none. Photos that cannot be read
    are reported to `tell` and skipped. Raises ArgumentError if none is left.
    """
    started = time.perf_counter()
    extractor = load()
    loaded = time.perf_counter()
    form = extractor.frame
    if form is None:
        raise ArgumentError(f"variant {extractor.variant} takes prepared images: choose a frame with --frame")
    frames = _frames(extractor, form, photos, tell)
    first = time.perf_counter()
    extractor.extract_frame(frames[0])
    first_call = time.perf_counter() - first
    for frame in frames:
        extractor.extract_frame(frame)
    samples: list[float] = []
    begun = time.perf_counter()
    while not samples or time.perf_counter() - begun < seconds:
        for frame in frames:
            before = time.perf_counter()
            extractor.extract_frame(frame)
            samples.append((time.perf_counter() - before) * 1e3)
    return FrameRun(
        format=1,
        edgefeat=__version__,
        device=processor(),
        architecture=platform.machine(),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        cores=available_cores(),
        bundle=extractor.bundle.manifest.name,
        identity=extractor.bundle.identity,
        variant=extractor.variant,
        frame=form,
        engine=extractor.engine,
        engine_version=extractor.engine_version,
        threads=extractor.threads,
        load=(loaded - started) * 1e3,
        first_call=first_call * 1e3,
        feature=stage(tuple(samples)),
        peak_memory_bytes=peak_memory(),
    )


def _frames(
    extractor: Extractor, form: FrameForm, photos: Sequence[str], tell: Callable[[str], None]
) -> list[NDArray[np.uint8]]:
    if not photos:
        return [frame_of(picture, form) for picture in read_golden(extractor.bundle).pictures]
    width, height = form.upright
    frames = []
    for path in photos:
        try:
            frames.append(frame_of(read_picture(path, PictureForm(height, width, fit="crop")), form))
        except PictureError as error:
            tell(f"{os.fspath(path)}: {without_advice(error)}")
    if not frames:
        raise ArgumentError("no readable photo: give photos or a folder of photos, or none at all with --frame")
    return frames
