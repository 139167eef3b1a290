"""What the tests of the benchmark share."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("psutil", reason="needs the bench extra")

from edgefeat_bench._setup.generated_photos import make_photos


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    make_photos(folder, scenes=2, views=1)
    return folder
