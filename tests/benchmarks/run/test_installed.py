"""Programs of others are run as if only what they need were installed."""

from __future__ import annotations

import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

from edgefeat_bench._installed import alone, distributions_of, installed_bytes, required

SCRIPT = """
import importlib.util, sys
from concurrent.futures import ProcessPoolExecutor

def twice(number):
    return 2 * number

if __name__ == "__main__":
    with ProcessPoolExecutor(1) as pool:
        assert list(pool.map(twice, [3])) == [6]
    print(sys.argv[1:], [importlib.util.find_spec(name) is not None for name in ("numpy", "click", "edgefeat_bench")])
    sys.exit(7)
"""


def ran(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_script_has_its_distributions_arguments_processes_and_exit_status(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = ran(alone([str(script), "a b", "-m"], ["NumPy"]))
    assert done.returncode == 7, done.stderr
    # A checkout is no distribution: its packages stay, as the standard library does.
    assert done.stdout.startswith("['a b', '-m'] [True, False, ")


def test_a_module_is_run_by_its_name_with_what_its_distribution_requires() -> None:
    done = ran(alone(["-m", "edgefeat", "--version"], ["edgefeat"]))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("edgefeat")
    assert "No module named 'click'" in ran(alone(["-m", "edgefeat", "--version"], ["numpy"])).stderr


def test_keras_does_not_import_what_it_does_not_require(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow", reason="needs the export extra")
    script = tmp_path / "script.py"
    optional = ("matplotlib", "sklearn", "pandas")
    script.write_text(f"import keras, sys\nprint([name for name in {optional} if name in sys.modules])\n")
    if not any(map(find_spec, optional)):
        pytest.skip("nothing is installed that Keras imports without need")
    found = ran(alone([str(script)], distributions_of(["tensorflow"])))
    assert found.stdout.strip() == "[]", found.stderr


def test_what_a_distribution_requires_counts_with_it() -> None:
    assert {"click", "numpy", "pillow", "edgefeat"} <= set(required(["edgefeat", "no_such_distribution"]))
    assert "pytest" not in required(["edgefeat"])
    assert installed_bytes(["Pillow", "numpy"]) > installed_bytes(["numpy"]) > 1e6
    assert installed_bytes(["no_such_distribution"]) == 0
    assert distributions_of(["PIL"]) == ["pillow"]
