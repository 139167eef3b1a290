"""The nearest rows of a database: the same in chunks of any length, in one chunk of memory, cosines of at most 1."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.runtime.store.databases import write_many

import edgefeat
from edgefeat._search.ranking import rank


@pytest.mark.parametrize("rows", [1, 7, 64, 1000])
def test_chunks_of_any_length_give_the_same(rows: int) -> None:
    random = np.random.default_rng(2)
    features = random.standard_normal((500, 8)).astype(np.float32)
    features[100:120] = features[3]  # equals, of which the first come first
    features[200] = 0
    paths = [f"{number}.jpg" for number in range(500)]
    queries = np.stack([features[3], features[50]])
    chunks = [(paths[start : start + rows], features[start : start + rows]) for start in range(0, 500, rows)]
    for count in (1, 5, 30):
        first, second = rank(chunks, queries, count)
        assert len(first) == len(second) == count
        assert second[0].path == "50.jpg"
        lengths = np.where(features.any(1), np.linalg.norm(features.astype(np.float64), axis=1), 1)
        cosines = features.astype(np.float64) @ features[3] / lengths / lengths[3]
        assert [one.cosine for one in first] == pytest.approx(sorted(cosines, reverse=True)[:count], abs=1e-6)
        assert {one.path for one in first} <= {"3.jpg", *paths[100:120]} or count > 21


def test_memory_is_that_of_a_chunk(tmp_path: Path) -> None:
    """12,000 features of 1,280 take 61 MB in the file, and the search less."""
    if not os.path.exists("/proc/self/status"):
        pytest.skip("needs Linux's /proc")
    database = tmp_path / "many.db"
    write_many(database, 12_000, 1280)
    program = (
        "import sys, numpy as np, edgefeat, resource\n"
        "with edgefeat.FeatureStore.open(sys.argv[1]) as store:\n"
        "    next(store.chunks(rows=8))\n"
        "    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "    found = edgefeat.search(store, store.feature('/photos/000123.jpg'), 5)\n"
        "    assert found[0][0].path == '/photos/000123.jpg', found\n"
        "    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, database], check=True, capture_output=True, text=True)
    assert int(done.stdout) < 50_000  # kB


def test_features_of_zeros_are_near_to_nothing(tmp_path: Path) -> None:
    write_many(tmp_path / "some.db", 200, 8, zeros=100)
    query = np.ones(8, np.float32)
    with edgefeat.FeatureStore.open(tmp_path / "some.db") as store:
        (exact,) = edgefeat.search(store, query, 200)
        assert [one.cosine for one in exact].count(0) == 100
        if importlib.util.find_spec("usearch") is not None:
            (near,) = edgefeat.search(store, query, 5, index=True)
            assert near == exact[:5]
        assert all(len(group) < 100 for group in edgefeat.duplicates(store, 0.9))


def test_cosines_are_at_most_one(tmp_path: Path) -> None:
    features = write_many(tmp_path / "many.db", 500, 64)
    with edgefeat.FeatureStore.open(tmp_path / "many.db") as store:
        for index in (False, True) if importlib.util.find_spec("usearch") else (False,):
            assert max(row[0].cosine for row in edgefeat.search(store, features, 1, index=index)) == 1
