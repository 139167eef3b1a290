"""The steps of an export, and what is derived from the list of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edgefeat_export._pipeline import ablation, steps
from edgefeat_export._pipeline.steps import Step
from edgefeat_export._quantize.correction.pieces import ALL_PIECES, NONE


def test_every_step_is_in_the_list_of_steps() -> None:
    values = [one for value in vars(steps).values() for one in (value.values() if isinstance(value, dict) else [value])]
    found = {id(one) for one in values if isinstance(one, Step)}
    assert found == {id(one) for one in steps.STEPS}


def test_steps_of_one_name_have_one_weight() -> None:
    assert len({step.name for step in steps.STEPS}) == len({(step.name, step.weight) for step in steps.STEPS})


def test_the_ablation_measures_every_piece() -> None:
    assert sorted(ablation._ORDER) == sorted(ALL_PIECES)


def test_the_ablation_of_a_saved_model_is_told_how_pixels_are_scaled(tiny_model: Path) -> None:
    """Without the option, it could not be had of a model that does not scale its own pixels."""
    pytest.importorskip("tensorflow", reason="the export extra is not installed")
    command = [sys.executable, "-m", "edgefeat", "ablation", str(tiny_model), "--preprocess", "bogus"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "preprocessing 'bogus' is unknown (allowed: tf, " in done.stderr


def test_no_correction_has_no_piece() -> None:
    assert not NONE
