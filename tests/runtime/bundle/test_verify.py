"""`edgefeat.verify`: whether this machine gives the bundle's features, and what it says where it does not."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import edgefeat
from edgefeat._engines.engine import Engine

Altered = Callable[..., Path]


def golden_changed(
    change: Callable[[str, NDArray[np.float32]], NDArray[np.float32]],
) -> Callable[[dict[str, Any], Path], None]:
    """Changes every feature array of `golden.npz`; `change` is given its name."""

    def apply(manifest: dict[str, Any], folder: Path) -> None:
        with np.load(folder / "golden.npz") as golden:
            arrays = {name: array if name == "pictures" else change(name, array) for name, array in golden.items()}
        np.savez(folder / "golden.npz", **arrays)  # type: ignore[arg-type]  # NumPy's stub takes them for allow_pickle

    return apply


@pytest.mark.parametrize("name", ["one_tap", "two_taps"])
def test_every_variant_is_as_it_was_exported(name: str, engine: Engine, request: pytest.FixtureRequest) -> None:
    bundle: Path = request.getfixturevalue(name)
    checks = edgefeat.verify(bundle, engine=engine.name)
    assert [check.variant for check in checks] == [
        variant for variant in edgefeat.VARIANTS if variant.startswith(engine.format)
    ]
    for check in checks:
        assert (check.status, check.detail, check.engine) == ("ok", "", engine.name)
        assert check.engine_version == engine.version()
        assert check.difference is not None
        assert check.cosine is not None
        assert check.keras_cosine is not None
        assert 0 <= check.difference < 0.05
        assert 0.99 < check.cosine <= 1
        assert 0.99 < check.keras_cosine <= 1


def test_all_installed_engines_are_asked_unless_told_otherwise(one_tap: Path, installed: list[Engine]) -> None:
    checks = edgefeat.verify(edgefeat.Bundle.open(one_tap))
    assert {check.engine for check in checks} == {engine.name for engine in installed}
    (check,) = edgefeat.verify(one_tap, variant=checks[0].variant, engine=checks[0].engine)
    assert check == checks[0]
    with pytest.raises(edgefeat.ArgumentError, match="is not in bundle"):
        edgefeat.verify(one_tap, variant="onnx-float16")


def test_features_of_the_opposite_direction_are_off(one_tap: Path, altered: Altered, engine: Engine) -> None:
    bundle = altered(one_tap, golden_changed(lambda name, array: -array))
    for check in edgefeat.verify(bundle, engine=engine.name):
        assert check.status == "off"
        assert check.cosine == pytest.approx(-1, abs=1e-3)
        assert check.detail.startswith("last differs by" if check.variant.endswith(("32", "16")) else "last has cosine")
        assert "allowed: " in check.detail


@pytest.mark.parametrize(("shift", "off"), [(5e-5, set()), (2e-4, {"float32"}), (2e-3, {"float32", "float16"})])
def test_float_features_may_differ_by_little(
    two_taps: Path, altered: Altered, engine: Engine, shift: float, off: set[str]
) -> None:
    def shifted(name: str, array: NDArray[np.float32]) -> NDArray[np.float32]:
        if not name.endswith("/stem"):  # one tap of two is enough
            return array
        array[0, 0] += shift
        return array

    for check in edgefeat.verify(altered(two_taps, golden_changed(shifted)), engine=engine.name):
        precision = check.variant.partition("-")[2]
        assert check.status == ("off" if precision in off else "ok"), check
        assert ("stem differs by" in check.detail) == (precision in off)


def test_int8_is_held_against_keras_on_another_engine_than_it_was_exported_with(
    one_tap: Path, altered: Altered, engine: Engine
) -> None:
    def exported_elsewhere(manifest: dict[str, Any], folder: Path) -> None:
        for variant in manifest["variants"]:
            variant["engine"] = "another"
        golden_changed(lambda name, array: array if name.startswith("keras/") else -array)(manifest, folder)

    def and_unlike_keras(manifest: dict[str, Any], folder: Path) -> None:
        exported_elsewhere(manifest, folder)
        golden_changed(lambda name, array: -array)(manifest, folder)

    name = f"{engine.format}-int8"
    (check,) = edgefeat.verify(altered(one_tap, exported_elsewhere), variant=name, engine=engine.name)
    assert check.status == "ok"
    (check,) = edgefeat.verify(altered(one_tap, and_unlike_keras), variant=name, engine=engine.name)
    assert check.status == "off"


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_features_that_are_no_numbers_are_off(one_tap: Path, altered: Altered, engine: Engine, value: float) -> None:
    bundle = altered(one_tap, golden_changed(lambda name, array: np.full_like(array, value)))
    for check in edgefeat.verify(bundle, engine=engine.name):
        assert check.status == "off"
        assert check.difference is not None
        assert math.isfinite(check.difference)
        assert check.difference > 1e6


def test_a_file_the_engine_refuses_has_failed_and_the_others_are_checked(
    one_tap: Path, altered: Altered, engine: Engine
) -> None:
    def spoil(manifest: dict[str, Any], folder: Path) -> None:
        (folder / f"{engine.format}-int8.{engine.format}").write_bytes(b"no model" * 100)

    checks = edgefeat.verify(altered(one_tap, spoil), engine=engine.name)
    assert [check.status for check in checks] == [
        "failed" if check.variant.endswith("-int8") else "ok" for check in checks
    ]
    (failed,) = [check for check in checks if check.status == "failed"]
    assert failed.detail.startswith(f"engine {engine.name} cannot load the model")
    assert (failed.difference, failed.cosine, failed.keras_cosine) == (None, None, None)


def test_no_engine_sees_a_bundle_of_which_any_file_was_altered(one_tap: Path, altered: Altered) -> None:
    bundle = altered(one_tap, lambda manifest, folder: None)
    card = bundle / "README.md"
    card.write_bytes(card.read_bytes()[:-1] + b"!")
    with pytest.raises(edgefeat.BundleError, match=r"README\.md was changed"):
        edgefeat.verify(bundle)
