"""Hours without trouble, in minutes: distinct pictures without end through each engine, and no growth of memory.

    python tests/stress/soak.py BUNDLE [--pictures 20000] [--engines litert,onnxruntime]

A third of the pictures go through `stream` as JPEG files' bytes (one in fifty is cut short), a third through `extract`
one array at a time, a third through `extract` in lists, from two threads. What the process holds is looked at as it
goes; growth after the first fifth by more than `--growth` megabytes, or a feature that is not finite, is exit status 1.

The lists are this script's own, up to 80 MB that glibc's malloc would keep for next time, more or less of it as the two
threads happen to meet, with an engine or without. So malloc is told to give back what is large as soon as it is free:
what is measured then is what is in use, and what lies scattered.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import io
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import edgefeat
from edgefeat._engines.registry import ENGINES

LOT = 500
SEVERAL = 25

_M_MMAP_THRESHOLD = -3  # of glibc's malloc.h
_LARGE = 128 << 10  # its first value: as long as nobody sets it, it rises to the largest array ever freed


def picture(number: int) -> NDArray[np.uint8]:
    """One like no other, in one of several sizes."""
    random = np.random.default_rng(number)
    coarse = Image.fromarray(random.integers(0, 256, (9, 12, 3), np.uint8))
    return np.asarray(coarse.resize((320 + 16 * (number % 40), 240 + 8 * (number % 50))))


def files(numbers: range) -> Iterator[bytes]:
    for number in numbers:
        stream = io.BytesIO()
        Image.fromarray(picture(number)).save(stream, "JPEG", quality=85)
        data = stream.getvalue()
        yield data[: len(data) // 2] if number % 50 == 0 else data


def keep_nothing_for_next_time() -> None:
    """From now on malloc gives back what is large when it is free. Nothing where malloc is not glibc's."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE)


def held() -> float:
    """Megabytes of memory that this process has now."""
    gc.collect()
    found = re.search(r"^VmRSS:\s*(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1024


def streamed(extractor: edgefeat.Extractor, numbers: range) -> None:
    broken = 0
    for result in extractor.stream(files(numbers)):
        broken += result.error is not None
        assert result.feature is None or np.isfinite(np.asarray(result.feature)).all()
    assert broken == sum(number % 50 == 0 for number in numbers), broken


def one_by_one(extractor: edgefeat.Extractor, numbers: range) -> None:
    for number in numbers:
        assert np.isfinite(np.asarray(extractor.extract(picture(number), channels="bgr"))).all()


def in_lists(extractor: edgefeat.Extractor, numbers: range) -> None:
    for start in range(numbers.start, numbers.stop, SEVERAL):
        several = [picture(number) for number in range(start, min(start + SEVERAL, numbers.stop))]
        features = np.asarray(extractor.extract(several))
        assert len(features) == len(several)
        assert np.isfinite(features).all()


def shared(extractor: edgefeat.Extractor, numbers: range) -> None:
    half = (numbers.start + numbers.stop) // 2
    parts = (range(numbers.start, half), range(half, numbers.stop))
    with ThreadPoolExecutor(max_workers=2) as pool:
        list(pool.map(in_lists, (extractor, extractor), parts))


def soak(bundle: str, engine: str, pictures: int, growth: float) -> int:
    keep_nothing_for_next_time()
    extractor = edgefeat.load(bundle, engine=engine)
    ways = (streamed, one_by_one, shared)
    samples = []
    started = time.perf_counter()
    for lot, first in enumerate(range(0, pictures, LOT)):
        ways[lot % 3](extractor, range(first, min(first + LOT, pictures)))
        samples.append(held())
    warm = max(3, len(samples) // 5)  # each way once at least
    grown = max(samples[warm:], default=samples[-1]) - max(samples[:warm])
    print(
        f"{engine} {extractor.variant}: {pictures} pictures in {time.perf_counter() - started:.0f} s, "
        f"{max(samples[:warm]):.1f} MB after {warm * LOT}, {samples[-1]:.1f} MB at the end, growth {grown:+.1f} MB",
        flush=True,
    )
    return int(grown > growth)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument("--pictures", type=int, default=20_000)
    parser.add_argument("--growth", type=float, default=16.0, metavar="MB")
    parser.add_argument("--engines", help="of those installed.  [default: all]")
    given = parser.parse_args()
    installed = [engine.name for engine in ENGINES if engine.version() is not None]
    engines = given.engines.split(",") if given.engines else installed
    if len(engines) == 1:
        return soak(given.bundle, engines[0], given.pictures, given.growth)
    status = 0
    for engine in engines:  # a process each: what one leaves behind is not laid to the next
        command = [sys.executable, __file__, given.bundle, "--pictures", str(given.pictures), "--engines", engine]
        status |= subprocess.run([*command, "--growth", str(given.growth)], check=False).returncode
    return int(status != 0)


if __name__ == "__main__":
    sys.exit(main())
