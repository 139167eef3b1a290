"""Append the feature of each photo that arrives in a folder to a .jsonl file, one object per line.

    python examples/watch_folder.py BUNDLE FOLDER features.jsonl
    python examples/watch_folder.py BUNDLE FOLDER features.jsonl --frames 5     # make five photos, then end

A photo is processed once its size and modification time are the same in two scans, so a photo that is still being
copied is left alone. A photo that cannot be read is reported, and tried again when it changes. After a restart the
program continues where it stopped.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import threading
import time

import numpy as np
from PIL import Image

import edgefeat

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")


def look(folder: str) -> dict[str, tuple[int, int]]:
    """Return size and modification time of each photo in the folder, by path."""
    found = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.lower().endswith(SUFFIXES):
                with contextlib.suppress(FileNotFoundError):  # gone since it was listed
                    status = entry.stat()
                    found[entry.path] = (status.st_size, status.st_mtime_ns)
    return found


def already_in(output: str) -> set[str]:
    """Return the paths in the file. Remove an incomplete last line, as after a power failure."""
    if not os.path.exists(output):
        return set()
    with open(output, "r+b") as stream:
        lines = stream.read().splitlines(keepends=True)
        if lines and not lines[-1].endswith(b"\n"):
            stream.truncate(sum(map(len, lines[:-1])))
            lines.pop()
    return {json.loads(line)["path"] for line in lines}


def make_photos(folder: str, count: int) -> None:
    """Write photos slowly, as over a network."""
    for number in range(count):
        pixels = np.random.default_rng(number).integers(0, 256, (6, 8, 3), np.uint8)
        temporary = os.path.join(folder, f"made-{number}.part")
        Image.fromarray(pixels).resize((640, 480)).save(temporary, "JPEG")
        with open(temporary, "rb") as whole, open(os.path.join(folder, f"made-{number}.jpg"), "wb") as stream:
            while part := whole.read(4096):
                stream.write(part)
                stream.flush()
                time.sleep(0.01)
        os.unlink(temporary)


def main() -> None:
    """Scan the folder until the program stops."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument("folder")
    parser.add_argument("output")
    parser.add_argument("--interval", type=float, default=1.0, metavar="SECONDS", help="time between two scans")
    parser.add_argument("--frames", type=int, metavar="N", help="make N photos in the folder, and end after them")
    given = parser.parse_args()

    extractor = edgefeat.load(given.bundle)
    done = already_in(given.output)
    made = set()
    if given.frames is not None:
        made = {os.path.join(given.folder, f"made-{number}.jpg") for number in range(given.frames)}
        threading.Thread(target=make_photos, args=(given.folder, given.frames), daemon=True).start()
    before: dict[str, tuple[int, int]] = {}
    failed: dict[str, tuple[int, int]] = {}
    with open(given.output, "a", encoding="ascii") as stream:
        while not made or not made <= done:
            now = look(given.folder)
            for path in sorted(now.keys() - done):
                if before.get(path) != now[path] or failed.get(path) == now[path]:
                    continue
                try:
                    feature = extractor.extract(path)
                except edgefeat.PictureError as error:
                    failed[path] = now[path]
                    print(error, file=sys.stderr, flush=True)
                    continue
                stream.write(json.dumps({"path": path, "feature": feature.tolist()}) + "\n")
                stream.flush()
                done.add(path)
                print(path, flush=True)
            before = now
            time.sleep(given.interval)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
