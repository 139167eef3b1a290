"""Kill `edgefeat watch` again and again while photos arrive in every way that photos do.

    python tests/stress/services/watch_kill.py BUNDLE PHOTOS [--count 2000] [--kills 30] [--lines]

Photos arrive by copy, by move, slowly in pieces, first empty, with a temporary name (as rsync does), through a hidden
file; some are renamed, removed, replaced or malformed afterwards. In the end the database must hold exactly the photos
that are there, each with the feature that `extract` gives; with --lines, the file must hold each photo that arrived
once. Exit status 1 otherwise.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

import edgefeat
from edgefeat._images.sources.folders import pictures_in

_PATIENCE_SECONDS = 120.0


class Arrival:
    """Makes photos arrive, in a thread of its own."""

    def __init__(self, folder: Path, sources: list[str], count: int, *, changes: bool, seed: int) -> None:
        self.folder = folder
        self.sources = sources
        self.count = count
        self.changes = changes
        self.chance = random.Random(seed)
        self.names: list[str] = []
        self.malformed: set[str] = set()
        self.slow: list[threading.Thread] = []

    def run(self) -> None:
        outside = self.folder.parent / "outside"
        outside.mkdir()
        for number in range(self.count):
            source = self.chance.choice(self.sources)
            # Its own content, so that no photo is known by another's.
            data = Path(source).read_bytes() + number.to_bytes(4, "big")
            place = self.folder / f"day {number // 500}"
            place.mkdir(exist_ok=True)
            name = str(place / f"photo {number}.jpg")
            if self.chance.random() < 0.02:
                data = data[: self.chance.randrange(1, 2000)]
                self.malformed.add(name)
            self.arrive(name, data, outside / str(number))
            self.names.append(name)
            if self.changes and number > 20:
                self.change()
            time.sleep(0.004)
        for thread in self.slow:
            thread.join()

    def arrive(self, name: str, data: bytes, outside: Path) -> None:
        kind = self.chance.randrange(7)
        if kind == 0:
            outside.write_bytes(data)
            os.rename(outside, name)
        elif kind == 1:  # rsync
            temporary = f"{os.path.dirname(name)}/.{os.path.basename(name)}.Xy{self.chance.randrange(10**6)}"
            Path(temporary).write_bytes(data)
            os.utime(temporary, (1_600_000_000, 1_600_000_000))
            os.rename(temporary, name)
        elif kind == 2:  # FTP, in pieces with stalls
            self.slow.append(threading.Thread(target=self.write_slowly, args=(name, data, self.chance.random())))
            self.slow[-1].start()
        elif kind == 3:  # Samba: the whole size first
            with open(name, "wb") as stream:
                stream.truncate(len(data))
                stream.write(data)
        elif kind == 4:
            Path(name + ".part").write_bytes(data)
            os.rename(name + ".part", name)
        elif kind == 5:
            outside.write_bytes(data)
            os.link(outside, name)
        else:
            Path(name).write_bytes(data)

    def write_slowly(self, name: str, data: bytes, pace: float) -> None:
        with open(name, "wb") as stream:
            for start in range(0, len(data), len(data) // 5 + 1):
                time.sleep(pace)
                stream.write(data[start : start + len(data) // 5 + 1])
                stream.flush()

    def change(self) -> None:
        """Rename, remove or replace a photo that arrived before."""
        if self.chance.random() > 0.1:
            return
        name = self.names[self.chance.randrange(len(self.names) - 15)]
        if not os.path.exists(name):
            return
        kind = self.chance.randrange(3)
        if kind == 0:
            os.rename(name, name.replace("photo", "renamed"))
        elif kind == 1:
            os.unlink(name)
        else:
            data = Path(self.chance.choice(self.sources)).read_bytes() + os.urandom(8)
            Path(name + ".part").write_bytes(data)
            os.rename(name + ".part", name)
            self.malformed.discard(name)


def watching(bundle: str, folder: Path, output: Path) -> list[str]:
    into = ["-o", str(output)] if output.suffix == ".jsonl" else ["--into", str(output)]
    return [sys.executable, "-m", "edgefeat", "watch", bundle, str(folder), *into, "--settle", "0.5"]


def held(output: Path) -> list[str]:
    """The paths of the photos with features."""
    if output.suffix == ".jsonl":
        lines = output.read_bytes().splitlines(keepends=True) if output.exists() else []
        return [json.loads(line)["path"] for line in lines if line.endswith(b"\n")]
    try:
        with edgefeat.FeatureStore.open(output) as store:
            return list(store.paths())
    except edgefeat.StoreError:
        return []


def wrong(output: Path, bundle: str) -> list[str]:
    """Photos whose feature is not the one that `extract` gives."""
    extractor = edgefeat.load(bundle)
    if output.suffix == ".jsonl":
        pairs = [(row["path"], row["features"]) for row in map(json.loads, output.read_text().splitlines())]
    else:
        with edgefeat.FeatureStore.open(output) as store:
            pairs = [(path, row) for paths, rows in store.chunks() for path, row in zip(paths, rows, strict=True)]
    return [path for path, row in pairs if not np.allclose(np.asarray(extractor.extract(path)), row, atol=1e-5)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument("photos")
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--lines", action="store_true", help="into a .jsonl file, without later changes")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    chance = random.Random(given.seed)
    sources = pictures_in(given.photos)[:200]
    with tempfile.TemporaryDirectory() as work:
        folder, output = Path(work) / "in", Path(work) / ("out.jsonl" if given.lines else "out.db")
        folder.mkdir()
        arrival = Arrival(folder, sources, given.count, changes=not given.lines, seed=given.seed)
        thread = threading.Thread(target=arrival.run)
        thread.start()
        log = open(Path(work) / "log", "w+")  # noqa: SIM115  # of all processes
        kills = 0
        while kills < given.kills or thread.is_alive():
            with subprocess.Popen(watching(given.bundle, folder, output), stderr=log) as process:
                time.sleep(chance.uniform(0.3, 4.0) if kills < given.kills else 2.0)
                if process.poll() is not None:
                    print(f"WRONG: it ended by itself with status {process.returncode}")
                    log.seek(0)
                    print(log.read()[-2000:])
                    return 1
                process.send_signal(signal.SIGKILL)
            kills += 1
        thread.join()
        there = sorted(set(pictures_in(folder)))
        expected = sorted(set(there) - {name for name in arrival.malformed if name in there} - renamed_malformed(there))
        with subprocess.Popen(watching(given.bundle, folder, output), stderr=log) as process:
            deadline = time.monotonic() + _PATIENCE_SECONDS
            while sorted(held(output)) != expected and time.monotonic() < deadline:
                time.sleep(0.5)
            time.sleep(2)
            process.terminate()
            status = process.wait(timeout=30)
        found = held(output)
        twice = [path for path, count in Counter(found).items() if count > 1]
        faults = [f"missing: {path}" for path in sorted(set(expected) - set(found))[:10]]
        faults += [f"too much: {path}" for path in sorted(set(found) - set(expected))[:10]]
        faults += [f"twice: {path}" for path in twice[:10]]
        faults += [f"another feature: {path}" for path in wrong(output, given.bundle)[:10]] if not faults else []
        faults += [f"it ended with status {status}"] if status else []
        print(f"{given.count} photos arrived, {kills} kills; {len(found)} features of {len(expected)} photos")
        for fault in faults:
            print(f"WRONG: {fault}")
        if faults:
            log.seek(0)
            print(log.read()[-10_000:])
        return 1 if faults else 0


def renamed_malformed(there: list[str]) -> set[str]:
    """Photos that cannot be read, also under a later name."""
    found = set()
    for path in there:
        if os.path.getsize(path) < 2100:
            try:
                with Image.open(path) as image:
                    image.load()
            except OSError:
                found.add(path)
    return found


if __name__ == "__main__":
    sys.exit(main())
