"""Measuring one bundle on this device, stage by stage, for `edgefeat bench`. Requires only the runtime."""

from __future__ import annotations

import itertools
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import PIL

from edgefeat._engines.device.cores import available_cores
from edgefeat._engines.device.health import Health, health
from edgefeat._engines.device.memory import peak_memory
from edgefeat._engines.device.processor import processor
from edgefeat._errors import ArgumentError, PictureError
from edgefeat._extractor import Extractor
from edgefeat._images.formats.registry import opened_image
from edgefeat._images.limits import Limits, without_advice
from edgefeat._images.picture import decoded, fitted
from edgefeat._images.sources.streams import as_picture_errors, opened_stream
from edgefeat._version import __version__

__all__ = ["DeviceRun", "Stage", "bench", "stage"]


@dataclass(frozen=True, slots=True)
class Stage:
    """Milliseconds of one stage: all samples in order, and their percentiles."""

    samples: tuple[float, ...]
    p50: float
    p90: float
    p99: float


@dataclass(frozen=True, slots=True)
class DeviceRun:
    """A device's figures for one bundle, in ms. `first_call` is separate because engines prepare themselves in it."""

    format: int
    edgefeat: str
    device: str
    architecture: str
    system: str
    python: str
    numpy: str
    pillow: str
    cores: int
    bundle: str
    identity: str
    variant: str
    engine: str
    engine_version: str
    threads: int
    decoding: str
    photos: tuple[str, ...]
    pixels: tuple[int, ...]
    load: float
    first_call: float
    decode: Stage
    resize: Stage
    inference: Stage
    total: Stage
    peak_memory_bytes: int | None
    before: Health
    after: Health


def bench(
    load: Callable[[], Extractor], photos: Sequence[str], *, seconds: float, tell: Callable[[str], None]
) -> DeviceRun:
    """Extract each photo in turn, repeatedly for `seconds`, after one warm-up round. `load` returns the extractor.

    Photos that cannot be read are reported to `tell` and skipped. Raises ArgumentError if none is left.
    """
    before = health()
    started = time.perf_counter()
    extractor = load()
    loaded = time.perf_counter()
    usable = _usable(extractor, photos, tell)
    first = time.perf_counter()
    extractor.run(np.zeros((1, *_size(extractor), 3), np.uint8))
    first_call = (time.perf_counter() - first) * 1e3
    samples: list[tuple[float, float, float]] = []
    for path, _ in usable:
        _timed(extractor, path)
    begun = time.perf_counter()
    while not samples or time.perf_counter() - begun < seconds:
        samples += [_timed(extractor, path) for path, _ in usable]
    decode, resize, inference = (tuple(column) for column in zip(*samples, strict=True))
    total = tuple(sum(sample) for sample in samples)
    choice = extractor.bundle.variant(extractor.variant)
    return DeviceRun(
        format=1,
        edgefeat=__version__,
        device=processor(),
        architecture=platform.machine(),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        numpy=np.__version__,
        pillow=PIL.__version__,
        cores=available_cores(),
        bundle=extractor.bundle.manifest.name,
        identity=extractor.bundle.identity,
        variant=choice.name,
        engine=extractor.engine,
        engine_version=extractor.engine_version,
        threads=extractor.threads,
        decoding=extractor.decoding,
        photos=tuple(os.path.basename(path) for path, _ in usable),
        pixels=tuple(pixels for _, pixels in usable),
        load=(loaded - started) * 1e3,
        first_call=first_call,
        decode=stage(decode),
        resize=stage(resize),
        inference=stage(inference),
        total=stage(total),
        peak_memory_bytes=peak_memory(),
        before=before,
        after=health(),
    )


def _usable(extractor: Extractor, photos: Sequence[str], tell: Callable[[str], None]) -> list[tuple[str, int]]:
    """Return the readable photos, each with its number of pixels as stored."""
    usable = []
    for path in photos:
        try:
            extractor.prepare(path)
            usable.append((path, _pixels(path, extractor.limits)))
        except PictureError as error:
            tell(f"{path}: {without_advice(error)}")
    if not usable:
        raise ArgumentError("no readable photo: give photos or a folder of photos")
    return usable


def _pixels(path: str, limits: Limits) -> int:
    """Return the number of pixels as stored. Only the header is read: decoding would raise the peak memory."""
    with as_picture_errors(), opened_stream(path) as stream, opened_image(stream, limits) as image:
        return image.width * image.height


def _timed(extractor: Extractor, path: str) -> tuple[float, float, float]:
    """Return the milliseconds to decode, to resize (including orientation and colours), and to infer."""
    form = extractor.bundle.manifest.picture
    times = [time.perf_counter()]
    with decoded(path, form, extractor.decoding) as image:
        times.append(time.perf_counter())
        pixels = fitted(image, form, threads=extractor.resize_threads)
    times.append(time.perf_counter())
    extractor.run(pixels[np.newaxis])
    times.append(time.perf_counter())
    decode, resize, inference = (1e3 * (later - earlier) for earlier, later in itertools.pairwise(times))
    return decode, resize, inference


def stage(samples: tuple[float, ...]) -> Stage:
    """Return samples with their percentiles."""
    p50, p90, p99 = (float(value) for value in np.percentile(samples, (50, 90, 99)))
    return Stage(samples, p50, p90, p99)


def _size(extractor: Extractor) -> tuple[int, int]:
    form = extractor.bundle.manifest.picture
    return form.height, form.width
