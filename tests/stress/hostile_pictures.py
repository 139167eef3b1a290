"""Thousands of malformed pictures: each gives a picture or one clear error, soon, and the process lives.

    python -m tests.stress.hostile_pictures [--seeds FOLDER ...] [--count 6000]

The seeds (and pictures made here, of every format) are cut, flipped, spliced and given lying headers; beside them stand
files made by hand: bombs of every format, loops in EXIF, other formats under a picture's name. Each is read by a
process that reads many, under `--memory`. What takes more than `--seconds` of processor time, kills the process or
raises anything but PictureError is named, kept in `--keep`, and makes the exit status 1.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tests.stress.hostile_files import RANDOM, bombs, made

import edgefeat
from edgefeat._images.form import PictureForm
from edgefeat._images.limits import Limits
from edgefeat._images.picture import read_picture

FORMS = (
    PictureForm(224, 224),
    PictureForm(96, 64, fit="crop", color="gray"),
    PictureForm(64, 96, fit="pad", transparency="black", orientation="ignore"),
)


def spoilt(seed: bytes, other: bytes) -> bytes:
    """One of the ways in which a file goes bad."""
    data = bytearray(seed)
    size = len(data)
    way = int(RANDOM.integers(0, 9))
    place = int(RANDOM.integers(0, size))
    if way == 0:  # cut
        return bytes(data[:place])
    if way == 1:  # cut near the start, where headers are
        return bytes(data[: int(RANDOM.integers(0, min(size, 700)))])
    if way in (2, 3):  # bits flipped, in the header or anywhere
        for _ in range(int(RANDOM.integers(1, 12))):
            data[int(RANDOM.integers(0, min(size, 400) if way == 2 else size))] ^= 1 << int(RANDOM.integers(0, 8))
    elif way == 4:  # bytes that matter
        for _ in range(int(RANDOM.integers(1, 6))):
            data[int(RANDOM.integers(0, min(size, 1000)))] = (0, 0xFF, 0x7F, 0x80)[int(RANDOM.integers(0, 4))]
    elif way == 5:  # a piece left out
        del data[place : place + int(RANDOM.integers(1, 300))]
    elif way == 6:  # a piece twice
        data[place:place] = data[place : place + int(RANDOM.integers(1, 3000))]
    elif way == 7:  # the rest of another file
        return bytes(data[:place]) + other[int(RANDOM.integers(0, len(other))) :]
    else:  # noise
        data[place : place + 200] = RANDOM.bytes(min(200, size - place))
    return bytes(data)


def corpus(folders: list[str], count: int) -> Iterator[tuple[str, bytes]]:
    yield from bombs()
    seeds = list(made())
    for folder in folders:
        for path in sorted(Path(folder).rglob("*")):
            if path.is_file() and path.stat().st_size < 6_000_000:
                seeds.append((path.suffix[1:].lower() or "jpg", path.read_bytes()))
    yield from seeds
    for number in range(count):
        suffix, seed = seeds[number % len(seeds)]
        yield suffix, spoilt(seed, seeds[int(RANDOM.integers(0, len(seeds)))][1])


def serve() -> None:
    """The process that reads: a path a line in, what came of it and the memory held at most out."""
    for number, line in enumerate(sys.stdin):
        path = line.rstrip("\n")
        started = time.process_time()
        try:
            limits = Limits(least_share=(1.0, 0.2)[number // 2 % 2])
            picture = read_picture(path, FORMS[number % 3], ("fast", "exact")[number % 2], limits=limits)
            verdict = "picture" if picture.shape[2] == 3 and picture.dtype == np.uint8 else f"shape {picture.shape}"
        except edgefeat.PictureError as error:
            text = str(error)
            verdict = "error" if text and len(text) < 400 and "\n" not in text and "0x7" not in text else f"text {text}"
        except BaseException as error:  # noqa: BLE001  to be told of whatever it is
            verdict = f"raised {type(error).__name__}: {error}"
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        sys.stdout.write(json.dumps([verdict, time.process_time() - started, peak]) + "\n")
        sys.stdout.flush()


class Reader:
    """A process that reads pictures."""

    def __init__(self, memory: int) -> None:
        limit = memory * 2**20
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "tests.stress.hostile_pictures", "--serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
        )

    def read(self, path: str, seconds: float) -> tuple[str, float, int]:
        """What came of it, the seconds of processor time and the most megabytes held."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(path + "\n")
        self.process.stdin.flush()
        if not select.select([self.process.stdout], [], [], 6 * seconds)[0]:  # of the clock
            self.process.kill()
            self.process.wait()
            return f"no answer within {6 * seconds:.0f} s", 6 * seconds, 0
        line = self.process.stdout.readline()
        if not line:
            return f"died with status {self.process.wait()}", 0.0, 0
        verdict, taken, peak = json.loads(line)
        return (verdict if taken <= seconds else f"took {taken:.1f} s"), taken, peak


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", nargs="*", default=[], metavar="FOLDER")
    parser.add_argument("--count", type=int, default=6000)
    parser.add_argument("--seconds", type=float, default=10.0, help="of processor time, a picture")
    parser.add_argument("--memory", type=int, default=1500, metavar="MB", help="of addresses, a process")
    parser.add_argument("--keep", default="hostile", metavar="FOLDER")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve()
        return 0
    came: Counter[str] = Counter()
    wrong, slowest, highest = [], (0.0, ""), (0, "")
    reader = Reader(given.memory)
    with tempfile.TemporaryDirectory(prefix="edgefeat-hostile-") as folder:
        for number, (suffix, data) in enumerate(corpus(given.seeds, given.count)):
            path = os.path.join(folder, f"{number}.{suffix}")
            Path(path).write_bytes(data)
            verdict, taken, peak = reader.read(path, given.seconds)
            slowest = max(slowest, (taken, f"{number}.{suffix}"))
            highest = max(highest, (peak, f"{number}.{suffix}"))
            came[verdict if verdict in ("picture", "error") else "wrong"] += 1
            if verdict not in ("picture", "error"):
                os.makedirs(given.keep, exist_ok=True)
                shutil.copy(path, given.keep)
                wrong.append(f"{number}.{suffix} ({len(data)} bytes): {verdict}")
                print(wrong[-1], flush=True)
            os.unlink(path)
            if reader.process.poll() is not None or peak > 300:  # so that each file's own peak is seen
                reader.process.kill()
                reader.process.communicate()
                reader = Reader(given.memory)
    reader.process.kill()
    reader.process.communicate()
    print(
        f"{sum(came.values())} files: {dict(came)}; slowest {slowest[0]:.1f} s ({slowest[1]}), "
        f"most memory {highest[0]} MB ({highest[1]})"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
