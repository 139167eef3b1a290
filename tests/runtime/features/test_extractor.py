"""Features: their shapes and values, whatever a picture is given as, one by one, together, pickled or in threads."""

from __future__ import annotations

import collections
import io
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from tests.runtime.features.results import TAPS, array, by_tap

import edgefeat
from edgefeat._engines.engine import Engine

Picture = NDArray[np.uint8]


def test_one_picture_gives_one_feature_of_length_1(extractor: edgefeat.Extractor, pictures: list[Picture]) -> None:
    feature = array(extractor.extract(pictures[0]))
    assert feature.shape == extractor.taps[0].shape == (16,)
    assert np.linalg.norm(feature) == pytest.approx(1, abs=1e-3)


def test_a_sequence_gives_a_row_for_each_that_equals_it_alone(
    extractor: edgefeat.Extractor, pictures: list[Picture]
) -> None:
    features = array(extractor.extract(pictures))
    assert features.shape == (len(pictures), 16)
    np.testing.assert_allclose(features, [array(extractor.extract(picture)) for picture in pictures], atol=1e-6)
    np.testing.assert_array_equal(array(extractor.extract(tuple(pictures))), features)


def test_a_four_dimensional_array_is_a_sequence_of_pictures(
    extractor: edgefeat.Extractor, pictures: list[Picture]
) -> None:
    stack = np.stack([picture[:40, :40] for picture in pictures])
    np.testing.assert_array_equal(extractor.extract(stack), extractor.extract(list(stack)))
    every_second = array(extractor.extract(stack[::2, ::-1]))
    np.testing.assert_array_equal(every_second, extractor.extract([picture[::-1] for picture in stack[::2]]))


def test_no_picture_gives_no_rows(extractor: edgefeat.Extractor, with_two: edgefeat.Extractor) -> None:
    nothings: tuple[Any, ...] = ([], (), np.zeros((0, 50, 50, 3), np.uint8))
    for nothing in nothings:
        assert array(extractor.extract(nothing)).shape == (0, 16)
        assert {tap: rows.shape for tap, rows in by_tap(with_two.extract(nothing)).items()} == {
            tap: (0, *shape) for tap, shape in TAPS.items()
        }
    assert [rows.shape for rows in extractor.run(np.zeros((0, 32, 32, 3), np.uint8))] == [(0, 16)]
    assert list(extractor.stream([])) == []


def test_two_taps_give_a_dict_in_the_order_of_the_manifest(
    with_two: edgefeat.Extractor, pictures: list[Picture]
) -> None:
    one, many = by_tap(with_two.extract(pictures[0])), by_tap(with_two.extract(pictures))
    assert list(one) == list(many) == [tap.name for tap in with_two.taps] == list(TAPS)
    for tap, shape in TAPS.items():
        assert one[tap].shape == shape
        assert many[tap].shape == (len(pictures), *shape)
        assert many[tap].dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(many[tap], axis=1), 1, atol=1e-3)
        np.testing.assert_allclose(many[tap][0], one[tap], atol=1e-6)


def test_every_way_to_give_a_picture_gives_the_same_feature(
    extractor: edgefeat.Extractor, pictures: list[Picture], photos: list[str]
) -> None:
    data = Path(photos[0]).read_bytes()
    expected = array(extractor.extract(pictures[0]))
    ways: list[Any] = [photos[0], Path(photos[0]), data, bytearray(data), memoryview(data), io.BytesIO(data)]
    for way in (*ways, Image.open(io.BytesIO(data))):
        np.testing.assert_array_equal(extractor.extract(way), expected)
    with open(photos[0], "rb") as stream:
        np.testing.assert_array_equal(extractor.extract([stream, data, photos[0]]), [expected] * 3)


def test_run_takes_prepared_pictures_and_nothing_else(extractor: edgefeat.Extractor, pictures: list[Picture]) -> None:
    prepared = np.stack([extractor.prepare(picture) for picture in pictures])
    (features,) = extractor.run(prepared)
    np.testing.assert_array_equal(features, extractor.extract(pictures))
    (reversed_features,) = extractor.run(prepared[::-1])
    np.testing.assert_allclose(reversed_features, features[::-1], atol=1e-6)
    for wrong in (prepared.astype(np.float32), prepared[0], prepared[:, :16]):
        with pytest.raises(edgefeat.ArgumentError, match=r"allowed: uint8 \(N, 32, 32, 3\)"):
            extractor.run(wrong)  # type: ignore[arg-type]


def test_an_error_names_the_picture(extractor: edgefeat.Extractor, photos: list[str], tmp_path: Path) -> None:
    with pytest.raises(edgefeat.PictureError, match=r"nowhere\.jpg.*no such file"):
        extractor.extract(tmp_path / "nowhere.jpg")
    with pytest.raises(edgefeat.PictureError, match=r"nowhere\.jpg.*no such file"):
        extractor.extract([photos[0], str(tmp_path / "nowhere.jpg")])
    with pytest.raises(edgefeat.PictureError, match=r"number 9: .*empty"):
        extractor.extract([photos[0]] * 9 + [b""])
    with pytest.raises(edgefeat.ArgumentError, match=r"number 1: .*float32"):
        extractor.extract([np.zeros((9, 9, 3), np.uint8), np.zeros((9, 9, 3), np.float32)])
    with pytest.raises(edgefeat.ArgumentError, match="generator"):
        extractor.extract(path for path in photos)  # type: ignore[arg-type]


@pytest.mark.parametrize("bundle", ["one_tap", "two_taps"])
def test_float32_features_are_those_of_keras(engine: Engine, bundle: str, request: pytest.FixtureRequest) -> None:
    path: Path = request.getfixturevalue(bundle)
    with np.load(path / "golden.npz") as golden:
        pictures = golden["pictures"]
        extractor = edgefeat.load(path, engine=engine.name, variant=f"{engine.format}-float32")
        features = extractor.extract(pictures)
        for tap in extractor.taps:
            rows = features[tap.name] if isinstance(features, dict) else features
            np.testing.assert_allclose(rows, golden[f"keras/{tap.name}"], atol=1e-4)


@pytest.mark.parametrize("shade", [0, 1, 127, 255])
def test_a_picture_of_one_colour_gives_a_finite_feature(
    engine: Engine, one_tap: Path, two_taps: Path, shade: int
) -> None:
    flat = np.full((60, 80, 3), shade, np.uint8)
    for variant in edgefeat.VARIANTS:
        if variant.startswith(engine.format):
            feature = array(edgefeat.load(one_tap, variant=variant, engine=engine.name).extract(flat))
            assert np.isfinite(feature).all()
            assert np.linalg.norm(feature) <= 1 + 1e-3
    features = by_tap(edgefeat.load(two_taps, engine=engine.name).extract(flat))
    assert all(np.isfinite(feature).all() for feature in features.values())


@settings(max_examples=30, deadline=None)
@given(height=st.integers(1, 70), width=st.integers(1, 70), seed=st.integers(0, 1000))
def test_any_picture_gives_a_feature_of_length_1(
    extractor: edgefeat.Extractor, height: int, width: int, seed: int
) -> None:
    picture = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    # OpenVINO adds 1.2e-7 to the squared length it divides by, which these features, 0.005 long before, can feel.
    allowed = 5e-3 if extractor.engine == "openvino" else 1e-3
    assert np.linalg.norm(array(extractor.extract(picture))) == pytest.approx(1, abs=allowed)


def test_threads_share_an_extractor(with_two: edgefeat.Extractor, pictures: list[Picture]) -> None:
    work = pictures * 8
    expected = [by_tap(with_two.extract(picture)) for picture in pictures] * 8
    with ThreadPoolExecutor(8) as pool:
        results = [by_tap(feature) for feature in pool.map(with_two.extract, work)]
    for result, feature in zip(results, expected, strict=True):
        for tap in TAPS:
            np.testing.assert_array_equal(result[tap], feature[tap])


def test_a_pickled_extractor_is_loaded_again_with_its_options(
    one_tap: Path, engine: Engine, pictures: list[Picture], tmp_path: Path, altered: Any
) -> None:
    copy = altered(one_tap, lambda manifest, folder: None)
    options: dict[str, Any] = {"engine": engine.name, "threads": 1, "decoding": "exact", "max_pixels": 10_000}
    given = edgefeat.load(copy, least_share=0.5, **options)
    pickled = pickle.dumps(given)
    found = pickle.loads(pickled)
    assert (found.variant, found.limits) == (given.variant, given.limits)
    assert {name: getattr(found, name) for name in ("engine", "threads", "decoding")} == {
        name: options[name] for name in ("engine", "threads", "decoding")
    }
    np.testing.assert_array_equal(found.extract(pictures[0]), array(given.extract(pictures[0])))

    # Another bundle is at its place.
    for model in (*copy.glob("*.tflite"), *copy.glob("*.onnx")):
        model.write_bytes(bytes(model.stat().st_size))
    with pytest.raises(edgefeat.BundleError, match=r"was changed \(its SHA-256 differs"):
        pickle.loads(pickled)


#: A program of its own: processes that are spawned begin with the module path of the one that spawns them.
POOL = """
import multiprocessing, sys
from concurrent.futures import ProcessPoolExecutor
import numpy as np
import edgefeat

if __name__ == "__main__":
    bundle, engine, *photos = sys.argv[1:]
    extractor = edgefeat.load(bundle, engine=engine, threads=1)
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        found = np.stack([*pool.map(extractor.extract, photos)])
    np.testing.assert_allclose(found, extractor.extract(photos), atol=1e-6)
    print(len(found))
"""


def test_other_processes_are_given_an_extractor(
    one_tap: Path, engine: Engine, photos: list[str], tmp_path: Path
) -> None:
    (tmp_path / "pool.py").write_text(POOL)
    command = [sys.executable, str(tmp_path / "pool.py"), str(one_tap), engine.name, *photos]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
    assert done.stdout.split() == [str(len(photos))], done.stderr


def test_a_sequence_need_not_have_slices(extractor: edgefeat.Extractor, pictures: list[Picture]) -> None:
    frames = collections.deque(pictures * 5, maxlen=11)
    np.testing.assert_array_equal(array(extractor.extract(frames)), array(extractor.extract(list(frames))))
