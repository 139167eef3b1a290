"""How extraction, search and duplicates grow with the rows of a database: `make growth BUNDLE=folder`.

It makes small JPEGs, all different, and at 1,000, 10,000 and 100,000 of them runs the commands that a user runs:
extraction of what is new, the same again with nothing new, one more photo, a search, and duplicates. It prints a row of
Markdown for each size, with the seconds of each process from start to end.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tests.export.tables.runs.sampled import Sampled, sampled

COUNTS = (1_000, 10_000, 100_000)
_SIDE, _PER_FOLDER, _TIMES = 64, 1000, 3


@dataclass(frozen=True, slots=True)
class Row:
    """One size: seconds of each command, the largest memory of its processes, and the size of the database."""

    count: int
    per_second: float
    again: float
    one_more: float
    search: float
    duplicates: float
    extracting_bytes: int
    searching_bytes: int
    duplicates_bytes: int
    database_bytes: int


def make_photos(folder: Path, begin: int, end: int) -> None:
    """Write the JPEGs with the numbers from `begin` to `end` into folders of a thousand."""
    for number in range(begin, end):
        parent = folder / f"{number // _PER_FOLDER:03}"
        parent.mkdir(parents=True, exist_ok=True)
        coarse = np.random.default_rng(number).integers(0, 256, (5, 5, 3), np.uint8)
        image = Image.fromarray(coarse).resize((_SIDE, _SIDE), Image.Resampling.BICUBIC)
        image.save(parent / f"{number:06}.jpg", quality=90)


def _run(*arguments: str | Path) -> Sampled:
    done = sampled([sys.executable, "-m", "edgefeat", *map(str, arguments)])
    if done.status != 0:
        raise RuntimeError(f"edgefeat {' '.join(map(str, arguments))}: {done.last_words}")
    return done


def _fastest(*arguments: str | Path) -> Sampled:
    return min((_run(*arguments) for _ in range(_TIMES)), key=lambda done: done.seconds)


def measured(bundle: Path, folder: Path, before: int, count: int) -> Row:
    """Grow the collection in `folder` from `before` photos to `count`, and measure each command."""
    photos, database = folder / "photos", folder / "features.db"
    make_photos(photos, before, count)
    extracting = _run("extract", bundle, photos, "--into", database)
    again = _fastest("extract", bundle, photos, "--into", database)
    make_photos(folder / "more", count, count + 1)
    one_more = _run("extract", bundle, photos, folder / "more", "--into", database)
    query = photos / "000" / "000000.jpg"
    search = _fastest("search", database, query)
    duplicates = _fastest("duplicates", database, "--threshold", "0.999")
    return Row(
        count,
        (count - before) / extracting.seconds,
        again.seconds,
        one_more.seconds,
        search.seconds,
        duplicates.seconds,
        extracting.peak_bytes,
        search.peak_bytes,
        duplicates.peak_bytes,
        database.stat().st_size,
    )


def _cells(row: Row) -> list[str]:
    seconds = (row.again, row.one_more, row.search, row.duplicates)
    sizes = (row.extracting_bytes, row.searching_bytes, row.duplicates_bytes, row.database_bytes)
    return [
        f"{row.count:,}",
        f"{row.per_second:.0f}",
        *(f"{one:.1f} s" for one in seconds),
        *(f"{size / 1e6:.0f}" for size in sizes),
    ]


def main() -> int:
    """Measure each size and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS)
    given = parser.parse_args()
    print(
        "| rows | photos/s | nothing new | one new | search | duplicates | MB: extract | search | duplicates | file |"
    )
    print("|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory(prefix="edgefeat-") as folder:
        for before, count in zip([0, *given.counts], given.counts, strict=False):
            print(f"| {' | '.join(_cells(measured(given.bundle, Path(folder), before, count)))} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
