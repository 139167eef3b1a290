"""The least fidelity that will do: how it is spelled, and who falls short of it by how much."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

import edgefeat
from edgefeat._bundle.gate import DEFAULT_GATE, parse_gate, shortfall
from edgefeat._bundle.manifest import Fidelity, Gate

GOOD = Fidelity(
    pictures=40,
    mean_cosine=0.99,
    low_cosine=0.98,
    minimum_cosine=0.95,
    maximum_difference=0.1,
    overlap=0.9,
    mixed_overlap=0.9,
    threshold_shift=0.0,
    accuracy=None,
)


@pytest.mark.parametrize(
    ("text", "cosine", "overlap"),
    [
        ("0.98", 0.98, None),
        ("1", 1.0, None),
        ("0", 0.0, None),
        (".5", 0.5, None),
        ("cosine=0.97", 0.97, None),
        ("overlap=0.9", 0.0, 0.9),
        ("0.98,overlap=0.9", 0.98, 0.9),
        (" overlap = 0.9 , cosine = 0.98 ", 0.98, 0.9),
    ],
)
def test_a_gate_is_spelled_by_name_or_as_a_mean_cosine(text: str, cosine: float, overlap: float | None) -> None:
    assert parse_gate(text) == Gate(cosine, overlap)


WRONG = ["", ",", "0.98,", "high", "1.01", "-0.5", "98", "98%", "nan", "inf", "1e-3", "cosine", "cosine=", "speed=0.9"]
TWICE = ["0.98,0.9", "cosine=0.9,0.98", "overlap=0.9,overlap=0.9"]


@pytest.mark.parametrize("text", [*WRONG, *TWICE])
def test_anything_else_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(edgefeat.ArgumentError) as raised:
        parse_gate(text)
    assert repr(text) in str(raised.value)
    assert "(allowed: " in str(raised.value)


@given(st.text(max_size=20) | st.from_regex(r"(cosine|overlap)?=?\d?\.?\d*,?.{0,5}"))
def test_any_text_is_a_gate_or_refused(text: str) -> None:
    try:
        gate = parse_gate(text)
    except edgefeat.ArgumentError:
        return
    assert 0 <= gate.mean_cosine <= 1
    assert gate.overlap is None or 0 <= gate.overlap <= 1


def test_what_reaches_the_gate_passes() -> None:
    assert shortfall(Gate(0.99, 0.9), {"a": GOOD, "b": GOOD}) is None
    assert shortfall(DEFAULT_GATE, {"a": GOOD}) is None
    unknown = dataclasses.replace(GOOD, overlap=None)
    assert shortfall(Gate(0.98, None), {"a": unknown}) is None


def test_what_falls_short_says_of_which_tap_and_by_how_much() -> None:
    low = dataclasses.replace(GOOD, mean_cosine=0.9712345)
    assert shortfall(Gate(0.98, None), {"a": GOOD, "b": low}) == (
        "its mean cosine to Keras over 40 images is 0.9712 for tap b (allowed: 0.98 or more)"
    )
    assert shortfall(Gate(0.0, 0.95), {"a": GOOD}) == (
        "its neighbour overlap@10 with Keras over 40 images is 0.900 for tap a (allowed: 0.95 or more)"
    )
    unknown = dataclasses.replace(GOOD, pictures=8, overlap=None)
    assert shortfall(Gate(0.5, 0.5), {"a": GOOD, "b": unknown}) == (
        "its neighbour overlap@10 with Keras over 8 images is unknown with so few images for tap b "
        "(allowed: 0.5 or more)"
    )
