"""Extractors of the small bundles, on each engine."""

from __future__ import annotations

from pathlib import Path

import pytest

import edgefeat
from edgefeat._engines.engine import Engine


@pytest.fixture(scope="module")
def extractor(engine: Engine, one_tap: Path) -> edgefeat.Extractor:
    return edgefeat.load(one_tap, engine=engine.name)


@pytest.fixture(scope="module")
def with_two(engine: Engine, two_taps: Path) -> edgefeat.Extractor:
    return edgefeat.load(two_taps, engine=engine.name)
