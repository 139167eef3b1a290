"""`edgefeat duplicates` and `edgefeat.duplicates`, against every pair compared another way."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

import edgefeat
from edgefeat._search.components import Components
from edgefeat._search.near_pairs import near_pairs
from edgefeat._search.spill import spilled
from edgefeat._store.records import Photo
from edgefeat._store.writer import StoreWriter

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve different pictures; of the first four also a smaller file, of the first a copy and a copy of that."""
    folder = tmp_path_factory.mktemp("album")
    random = np.random.default_rng(4)
    for number in range(12):
        picture = Image.fromarray(random.integers(0, 256, (4, 5, 3), np.uint8)).resize((300, 240))
        picture.save(folder / f"{number:02d}.jpg", quality=95)
        if number < 4:
            picture.save(folder / f"{number:02d} small.jpg", quality=60)
    shutil.copy(folder / "00.jpg", folder / "00 (copy).jpg")
    return folder


@pytest.fixture(scope="module")
def database(one_tap: Path, album: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("database") / "features.db"
    command = [sys.executable, "-m", "edgefeat", "extract", one_tap, album, "--into", path]
    done = subprocess.run([*map(str, command)], check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return path


def test_groups_of_photos_that_are_nearly_the_same(database: Path, album: Path) -> None:
    with edgefeat.FeatureStore.open(database) as store:
        groups = edgefeat.duplicates(store, 0.9999)
        first, *others = groups
        assert [Path(one.path).name for one in first] == ["00.jpg", "00 (copy).jpg", "00 small.jpg"]
        assert [one.same_file for one in first] == [True, True, False]
        assert [one.size for one in first] == [os.path.getsize(one.path) for one in first]
        assert first[0].cosine == 1
        assert 0.9999 <= first[2].cosine < 1
        assert [[Path(one.path).name for one in group] for group in others] == [
            [f"0{number}.jpg", f"0{number} small.jpg"] for number in (1, 2, 3)
        ]
        assert [len(group) for group in edgefeat.duplicates(store, 1e-6)] == [17]  # all features have a common part
        for exactly in (0.9999, 0.99995, 1):
            for group in edgefeat.duplicates(store, exactly):
                if len(group) == 2:
                    assert group[1].cosine > exactly - 2e-6
        for wrong in (0, -0.5, 1.1, float("nan")):
            with pytest.raises(edgefeat.ArgumentError, match=r"threshold is .* \(allowed: above 0, at most 1\)"):
                edgefeat.duplicates(store, wrong)


def test_photos_that_are_removed_meanwhile_are_left_out(database: Path, album: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copy(database, tmp_path))
    gone = [str(album / "00 small.jpg"), str(album / "01.jpg")]

    class Watched(edgefeat.FeatureStore):
        """A database from which `edgefeat watch` removes photos once all features have been read."""

        def rows(self) -> Iterator[Photo]:
            writer, _ = StoreWriter.open(copy)
            assert all(writer.remove(path) for path in gone)
            writer.commit()
            writer.close()
            return super().rows()

    with Watched.open(copy) as store:
        groups = edgefeat.duplicates(store, 0.9999)
    assert [[Path(one.path).name for one in group] for group in groups] == [
        ["00.jpg", "00 (copy).jpg"],
        *([f"0{number}.jpg", f"0{number} small.jpg"] for number in (2, 3)),
    ]


def test_the_command_prints_groups(edgefeat_command: Run, database: Path, tmp_path: Path) -> None:
    done = edgefeat_command("duplicates", database, "--threshold", "0.9999", "--sheet", "groups.png")
    assert done.returncode == 0, done.stderr
    header, first, copy, small, *_, said, sheet = done.stdout.splitlines()
    assert header.split() == ["group", "cosine", "kB", "photo"]
    assert first.split()[0] == "1"
    assert "same file" in copy
    assert float(small.split()[0]) >= 0.9999
    assert said == "4 groups among 17 photos; 5 photos besides the first of each group; cosine 0.9999 or more"
    assert sheet == "contact sheet: groups.png"
    with Image.open(tmp_path / "groups.png") as image:
        assert len(image.getcolors(1 << 24) or []) > 1000
    value = json.loads(edgefeat_command("duplicates", database, "--threshold", "0.9999", "--json").stdout)
    assert (value["photos"], value["threshold"]) == (17, 0.9999)
    assert [len(group) for group in value["groups"]] == [3, 2, 2, 2]
    assert set(value["groups"][0][0]) == {"path", "cosine", "same_file", "size", "is_link"}
    one = edgefeat_command("duplicates", database, "--threshold", "1e-6").stdout.splitlines()[-1]
    assert one == "1 group among 17 photos; 16 photos besides the first of each group; cosine 1e-06 or more"
    assert edgefeat_command("duplicates", database, "--threshold", "2").returncode == 2


@pytest.mark.parametrize("place", ["photos", "link"])
def test_the_file_that_links_lead_to_is_the_one_to_keep(
    edgefeat_command: Run, one_tap: Path, album: Path, tmp_path: Path, place: str
) -> None:
    (tmp_path / "link").symlink_to("photos")  # then no path is that of its file
    (tmp_path / "photos" / "a").mkdir(parents=True)
    photos = tmp_path / place
    shutil.copy(album / "00.jpg", photos / "a" / "a long name.jpg")
    shutil.copy(album / "00.jpg", photos / "a" / "copy of a long name.jpg")
    (photos / "0.jpg").symlink_to("a/a long name.jpg")
    (photos / "1.jpg").symlink_to("0.jpg")
    assert edgefeat_command("extract", one_tap, photos, "--into", "f.db").returncode == 0
    with edgefeat.FeatureStore.open(tmp_path / "f.db") as store:
        (group,) = edgefeat.duplicates(store)
    assert [(Path(one.path).name, one.is_link) for one in group] == [
        ("a long name.jpg", False),
        ("0.jpg", True),
        ("1.jpg", True),
        ("copy of a long name.jpg", False),
    ]
    assert [line.split()[0] for line in edgefeat_command("duplicates", "f.db").stdout.splitlines()[2:4]] == ["link"] * 2


def rows_of_length_one(random: np.random.Generator, count: int, dimensions: int) -> NDArray[np.float32]:
    """Around a few centres, some rows nearly those of others, some zero."""
    centres = random.random((30, dimensions))
    rows = (centres[random.integers(0, 30, count)] * random.uniform(0.5, 1.5, (count, dimensions))).astype(np.float32)
    again = random.integers(0, count, count // 20)
    rows[random.integers(0, count, count // 20)] = rows[again] * random.uniform(0.9, 1.1, (len(again), dimensions))
    rows[: count // 100] = 0
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows / np.where(lengths == 0, 1, lengths)).astype(np.float32)


@pytest.mark.parametrize(("count", "dimensions"), [(0, 4), (1, 4), (300, 16), (2500, 100), (2600, 600)])
def test_every_pair_above_the_threshold_is_found(count: int, dimensions: int) -> None:
    rows = rows_of_length_one(np.random.default_rng(count), count, dimensions)
    cosines = np.triu(rows @ rows.T, 1)
    for threshold in (0.99, 0.93):
        with spilled() as spill:
            spill.add(rows)
            spill.open()
            found = {pair for ones, others in near_pairs(spill, threshold) for pair in zip(ones, others, strict=True)}
        surely = set(zip(*np.nonzero(cosines >= threshold + 3e-5), strict=True))
        perhaps = set(zip(*np.nonzero(cosines >= threshold - 3e-5), strict=True))
        assert surely <= found <= perhaps
        assert all(one < other for one, other in found)
    assert count < 300 or surely


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 40), st.lists(st.lists(st.tuples(st.integers(0, 39), st.integers(0, 39)), max_size=20)))
def test_components_are_those_of_a_walk(count: int, blocks: list[list[tuple[int, int]]]) -> None:
    components = Components(count)
    edges: dict[int, set[int]] = {number: set() for number in range(count)}
    for block in blocks:
        pairs = [(one % count, other % count) for one, other in block]
        components.join(np.array([one for one, _ in pairs], int), np.array([other for _, other in pairs], int))
        for one, other in pairs:
            edges[one].add(other)
            edges[other].add(one)
    expected = []
    left = set(range(count))
    while left:
        reached, ahead = set(), {min(left)}
        while ahead:
            reached |= ahead
            ahead = set().union(*(edges[number] for number in ahead)) - reached
        left -= reached
        expected.append(sorted(reached))
    assert components.groups() == [group for group in expected if len(group) > 1]


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs Linux's /proc")
def test_memory_is_that_of_some_blocks() -> None:
    """10,000 features of 1,280 more take 51 MB; a run over them must not hold them all."""
    program = (
        "import resource, numpy as np\n"
        "from edgefeat._search.near_pairs import near_pairs\n"
        "from edgefeat._search.spill import spilled\n"
        "random = np.random.default_rng(0)\n"
        "basis = random.standard_normal((60, 1280), np.float32)\n"
        "def peak(count):\n"
        "    with spilled() as spill:\n"
        "        for start in range(0, count, 1000):\n"
        "            rows = random.standard_normal((1000, 60), np.float32) @ basis\n"
        "            spill.add(rows / np.linalg.norm(rows, axis=1, keepdims=True))\n"
        "        spill.open()\n"
        "        sum(len(ones) for ones, _ in near_pairs(spill, 0.99))\n"
        "    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "print(peak(4000), peak(14000))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    few, many = map(int, done.stdout.split())
    assert many - few < 30_000  # kB


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="needs limits of file sizes")
def test_a_full_temporary_folder_fails_in_a_sentence(database: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600))

    done = subprocess.run(
        [sys.executable, "-c", "import signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
         "from edgefeat.__main__ import main; sys.exit(main(sys.argv[1:]))", "duplicates", str(database)],
        preexec_fn=limit, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1
    assert "edgefeat: the temporary folder " in done.stderr
    assert "set TMPDIR to another folder" in done.stderr
