"""What the tests of engines share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.runtime.engines.fake_engine import Fake


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Children find it first, and start with an empty cache."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"), prepend=os.pathsep)
    monkeypatch.setenv("EDGEFEAT_CACHE", str(tmp_path / "cache"))
    return Fake(tmp_path)
