"""What the tests of services share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def incoming(tmp_path: Path) -> Path:
    """An empty folder to watch."""
    folder = tmp_path / "in"
    folder.mkdir()
    return folder
