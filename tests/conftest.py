"""What all tests share."""

from __future__ import annotations

import gc
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

#: Gives the folder of a name, which a function has filled.
MadeOnce: TypeAlias = Callable[[str, Callable[[Path], object]], Path]

_BESIDE_THE_REPOSITORY = Path(__file__).parents[2] / "shared" / "data"


# A shell ignores Ctrl-C for what it runs in the background, and children of the tests would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

#: For a case that takes a minute and of whose kind another one runs.
LONG = pytest.mark.skipif("EDGEFEAT_LONG" not in os.environ, reason="a minute: make test-long")

#: The modules that take longest, the longest first: each stays in one process.
_LONGEST = (
    "benchmarks/run/test_contenders.py",
    "arm/test_short.py",
    "export/models/test_hub.py",
    "export/int8/test_int8.py",
    "export/pipeline/test_export_command.py",
    "export/models/test_saved_models.py",
    "export/int8/test_cost.py",
    "export/models/test_families.py",
    "benchmarks/run/test_hub_model.py",
    "export/package/test_sklearn.py",
    "export/int8/test_integer.py",
    "export/network/test_layers.py",
    "export/network/test_heads.py",
    "export/models/test_keras2.py",
    "export/int8/test_correct_real.py",
    "benchmarks/run/test_run_resume.py",
    "runtime/deploy/test_deploy.py",
    "runtime/services/test_watch.py",
    "runtime/engines/test_trial.py",
    "runtime/search/test_index.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start the longest modules first."""
    here = Path(__file__).parent
    order = {here / name: place for place, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: order.get(item.path, len(order)))


def pytest_collection_finish() -> None:
    """Never look for garbage in the modules that are imported by now: TensorFlow's take 0.2 s each time."""
    gc.freeze()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real photos, odd and broken files and weights; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("EDGEFEAT_TEST_DATA") or _BESIDE_THE_REPOSITORY)
    if not folder.is_dir():
        pytest.skip(f"no test data: {folder} is absent (EDGEFEAT_TEST_DATA names another folder)")
    return folder


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests neither see nor change what was measured on this machine; children inherit the setting."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGEFEAT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> MadeOnce:
    """Makes a folder once for all processes of a test run: an export, say, that several files of tests need.

    Nobody writes into it afterwards: other processes read it at the same time.
    """
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "made"

    def made(name: str, fill: Callable[[Path], object]) -> Path:
        from filelock import FileLock  # a developers' package, which the environments of the device side lack

        folder, partial = shared / name, shared / f"{name}.partial"
        shared.mkdir(exist_ok=True)
        with FileLock(shared / f"{name}.lock"):
            if not folder.exists():
                shutil.rmtree(partial, ignore_errors=True)
                partial.mkdir()
                fill(partial)
                partial.rename(folder)
        return folder

    return made


@pytest.fixture(scope="session")
def small_photos(made_once: MadeOnce) -> Path:
    """A folder of eighty small photos to calibrate on. Without photos an export generates larger ones, for seconds."""

    def fill(folder: Path) -> None:
        import numpy as np
        from PIL import Image

        random = np.random.default_rng(17)
        for number in range(80):
            coarse = Image.fromarray(random.integers(0, 256, (5, 5, 3), np.uint8)).resize((64, 64))
            noisy = np.asarray(coarse) + random.normal(0, 8, (64, 64, 3))
            Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(folder / f"{number:02}.png")

    return made_once("small photos", fill)
