"""When a contender is struck out for its features, and when a known difference is only remarked on."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("psutil", reason="needs the bench extra")

from edgefeat_bench._contenders.model_files import ModelFacts
from edgefeat_bench._measure.latency.correctness import Verdict, verdict
from edgefeat_bench._records import Contender
from edgefeat_bench._setup.setup import References


def unit(rows: list[list[float]]) -> NDArray[np.float32]:
    array = np.array(rows, np.float32)
    return np.asarray(array / np.linalg.norm(array, axis=1, keepdims=True), np.float32)


def judged(kind: str, found: NDArray[np.float32]) -> Verdict:
    reference = {"640x480": unit([[1, 0.3, 0], [1, 0, 0.3]])}  # near each other, as with random weights
    expected = References("keras", reference, reference)
    facts = ModelFacts("0" * 64, "", "")
    contender = Contender(kind, kind, "peer")
    return verdict(contender, {"640x480": found}, expected, facts, right_cosine=0.95)


@pytest.mark.parametrize(("kind", "right"), [("mediapipe", True), ("openvino", False)])
def test_features_nearer_to_another_photos(kind: str, right: bool) -> None:
    found = judged(kind, unit([[1, 0, 0.3], [1, 0, 0.3]]))
    assert found.right is right
    assert found.minimum_cosine is not None
    assert 0.9 < found.minimum_cosine < 0.95
    assert "1 of 2 features are nearer to another photo's" in found.remark


def test_beyond_the_known_difference_it_is_wrong() -> None:
    found = judged("mediapipe", unit([[0, 0, 1], [1, 0, 0.3]]))
    assert not found.right
