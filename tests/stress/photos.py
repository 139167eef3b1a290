"""Photos to be rough with: generated and real ones of many sizes and kinds, some of them broken in every way."""

from __future__ import annotations

import argparse
import os
import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

__all__ = ["BROKEN", "make_photos"]


def _picture(chance: random.Random, least: int, most: int) -> Image.Image:
    width, height = chance.randint(least, most), chance.randint(least, most)
    generator = np.random.default_rng(chance.randrange(2**32))
    coarse = generator.integers(0, 256, (chance.randint(2, 12), chance.randint(2, 12), 3), np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def _saved(path: Path, image: Image.Image, chance: random.Random) -> None:
    if path.suffix == ".jpg":
        image.save(path, quality=chance.randint(40, 95), progressive=chance.random() < 0.3)
    elif path.suffix == ".gif":
        image.quantize(64).save(path)
    else:
        image.save(path)


def _jpeg(chance: random.Random) -> bytes:
    import io

    stream = io.BytesIO()
    _picture(chance, 64, 200).save(stream, "JPEG")
    return stream.getvalue()


def _bomb(chance: random.Random) -> bytes:
    """A PNG whose header claims 40,000 x 40,000 pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 40000, 40000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header)) + b"\0" * 64


def _cut(chance: random.Random) -> bytes:
    whole = _jpeg(chance)
    return whole[: chance.randrange(20, len(whole) - 20)]


def _scans(chance: random.Random) -> bytes:
    """A progressive JPEG with a thousand scans more than it needs."""
    import io

    stream = io.BytesIO()
    _picture(chance, 64, 100).save(stream, "JPEG", progressive=True)
    whole = stream.getvalue()
    last = whole.rindex(b"\xff\xda")
    return whole[:-2] + whole[last:-2] * 1000 + whole[-2:]


#: What a broken file holds, by the name of its kind.
BROKEN: dict[str, Callable[[random.Random], bytes]] = {
    "empty": lambda chance: b"",
    "text": lambda chance: b"these are words\n" * 20,
    "noise": lambda chance: chance.randbytes(5000),
    "cut": _cut,
    "bomb": _bomb,
    "scans": _scans,
    "magic": lambda chance: b"\xff\xd8\xff" + chance.randbytes(2000),
    "png-noise": lambda chance: b"\x89PNG\r\n\x1a\n" + chance.randbytes(2000),
    "webp-noise": lambda chance: b"RIFF\x00\x10\x00\x00WEBPVP8 " + chance.randbytes(2000),
    "bmp-noise": lambda chance: b"BM" + chance.randbytes(2000),
    "gif-cut": lambda chance: b"GIF89a\x40\x00\x40\x00\x80\x00\x00",
    "heic-noise": lambda chance: b"\x00\x00\x00\x18ftypheic" + chance.randbytes(500),
    "tiff": lambda chance: b"II*\x00\x08\x00\x00\x00" + chance.randbytes(100),
    "postscript": lambda chance: b"%!PS-Adobe-3.0 EPSF-3.0\n",
}


def make_photos(
    folder: Path, count: int, *, seed: int = 7, broken: float = 0.02, real: Path | None = None, most: int = 640
) -> None:
    """Fills `folder` with `count` photos in folders of 500, `broken` of them broken; every third is a real one."""
    chance = random.Random(seed)
    kinds = list(BROKEN)
    originals = sorted(path for path in real.rglob("*") if path.is_file()) if real else []
    spoiled = 0
    for number in range(count):
        parent = folder / f"{number // 500:03d}"
        parent.mkdir(parents=True, exist_ok=True)
        if chance.random() < broken:
            kind = kinds[spoiled % (len(kinds) + 2)] if spoiled % (len(kinds) + 2) < len(kinds) else ""
            path = parent / f"{number:06d}-{kind or 'special'}.jpg"
            if kind:
                path.write_bytes(BROKEN[kind](chance))
            elif spoiled % 2:
                os.mkfifo(path)
            else:
                path.symlink_to(path.name)
            spoiled += 1
        elif originals and number % 3 == 0:
            original = originals[chance.randrange(len(originals))]
            (parent / f"{number:06d}-real.jpg").write_bytes(original.read_bytes())
        else:
            ending = chance.choice((".jpg", ".jpg", ".jpg", ".jpg", ".png", ".webp", ".bmp", ".gif"))
            _saved(parent / f"{number:06d}{ending}", _picture(chance, 64, most), chance)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("count", type=int)
    parser.add_argument("--real", type=Path)
    parser.add_argument("--broken", type=float, default=0.02)
    parser.add_argument("--most", type=int, default=640)
    given = parser.parse_args()
    make_photos(given.folder, given.count, broken=given.broken, real=given.real, most=given.most)
