"""`edgefeat.sklearn.ImageFeatures` is a transformer as scikit-learn means it."""

from __future__ import annotations

import io
import json
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import edgefeat

pytest.importorskip("sklearn", reason="scikit-learn is not installed")

from sklearn.base import clone
from sklearn.exceptions import SkipTestWarning
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC
from sklearn.utils.estimator_checks import check_estimator

from edgefeat.sklearn import ImageFeatures


class _OfMatrices(ImageFeatures):
    """Takes the matrices of numbers that scikit-learn's checks are written for: each row is drawn as a picture."""

    def transform(self, X: Any) -> NDArray[np.float32]:  # noqa: N803
        if hasattr(X, "toarray"):
            raise TypeError("sparse matrices are no pictures")
        matrix = np.asarray(X)
        if matrix.ndim != 2 or matrix.dtype.kind == "c":
            raise ValueError("Expected 2D array of real numbers. Reshape your data, for example X.reshape(-1, 1)")
        matrix = matrix.astype(np.float64)
        if not np.isfinite(matrix).all():
            raise ValueError("the matrix contains NaN or infinity")
        if not matrix.size:
            raise ValueError(f"0 feature(s) (shape={matrix.shape}) while a minimum of 1 is required.")
        pictures = ((np.tanh(matrix) + 1) * 127).astype(np.uint8)
        return super().transform(
            [np.broadcast_to(row[np.newaxis, :, np.newaxis], (4, row.size, 3)) for row in pictures]
        )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        tags.input_tags.one_d_array = tags.input_tags.string = False
        return tags


@pytest.fixture
def flowers(tmp_path: Path) -> tuple[list[str], list[str]]:
    """24 small photos of two kinds that colours tell apart, and their labels."""
    rng = np.random.default_rng(3)
    paths = []
    for number in range(24):
        picture = rng.integers(0, 120, (40, 48, 3), np.uint8)
        picture[:, :, number % 2 * 2] += 130
        paths.append(str(tmp_path / f"{number}.png"))
        Image.fromarray(picture).save(paths[-1])
    return paths, ["red", "blue"] * 12


def test_scikit_learn_knows_that_it_takes_no_matrices(one_tap: Path) -> None:
    with pytest.warns(SkipTestWarning, match="requires input"):
        results = check_estimator(ImageFeatures(one_tap))
    assert [(result["check_name"], result["status"]) for result in results] == [("check_estimator_cloneable", "passed")]


def test_the_checks_of_scikit_learn_pass(one_tap: Path) -> None:
    unfit = {"check_estimator_sparse_tag": "fit does not look at X, and so refuses nothing"}
    results = check_estimator(_OfMatrices(one_tap), on_fail=None, on_skip=None, expected_failed_checks=unfit)
    failed = [(result["check_name"], result["exception"]) for result in results if result["status"] == "failed"]
    assert failed == []
    passed = {result["check_name"] for result in results if result["status"] == "passed"}
    assert len(passed) > 30
    needed = {"check_dict_unchanged", "check_estimators_pickle", "check_transformers_unfitted_stateless"}
    assert needed | {"check_transformer_general", "check_no_attributes_set_in_init"} <= passed


def test_rows_are_the_features_whatever_the_pictures_are_given_as(one_tap: Path, photos: list[str]) -> None:
    transformer = ImageFeatures(one_tap, decoding="exact")
    expected = edgefeat.load(one_tap, decoding="exact").extract(photos)
    assert isinstance(expected, np.ndarray)
    data = [Path(photo).read_bytes() for photo in photos]
    images = [Image.open(photo) for photo in photos]
    objects = np.empty(len(photos), object)
    objects[:] = data
    for pictures in (
        photos,
        tuple(map(Path, photos)),
        np.array(photos),
        np.array(photos)[:, np.newaxis],
        data,
        objects,
        objects[:, np.newaxis],
        images,
        (photo for photo in photos),
        [io.BytesIO(one) for one in data],
    ):
        features = transformer.fit_transform(pictures)
        assert features.dtype == np.float32
        np.testing.assert_array_equal(features, expected)
    frames = np.random.default_rng(0).integers(0, 256, (3, 50, 60, 3), np.uint8)
    bgr = ImageFeatures(one_tap, channels="bgr").transform(frames[..., ::-1])
    np.testing.assert_array_equal(transformer.transform(frames), bgr)
    assert transformer.transform([]).shape == (0, 16)


@pytest.mark.parametrize(
    ("pictures", "said"),
    [
        ("one.jpg", r"X is one str \(allowed: a sequence of images\): write \[X\]"),
        (b"\xff\xd8", "X is one bytes"),
        (7, "X is int"),
        (np.zeros((3, 4)), r"X is an array of float64 \(3, 4\)"),
        (np.zeros((3, 4, 3), np.uint8), r"X is an array of uint8 \(3, 4, 3\)"),
        (np.array([b"ab"]), r"X is an array of \|S2"),
        ([np.zeros((3, 4, 3))], "image number 0: an array of float64 is not an image"),
        ([1.5], "image number 0: an image cannot be read from float"),
    ],
)
@pytest.mark.parametrize("unreadable", ["raise", "nan"])
def test_what_is_no_picture_is_refused(one_tap: Path, pictures: object, said: str, unreadable: Any) -> None:
    with pytest.raises(edgefeat.ArgumentError, match=said):
        ImageFeatures(one_tap, unreadable=unreadable).transform(pictures)


def test_an_unreadable_picture_is_an_error_or_a_row_of_nan(one_tap: Path, photos: list[str], tmp_path: Path) -> None:
    (tmp_path / "cut.jpg").write_bytes(b"\xff\xd8\xff")
    mixed = [photos[0], tmp_path / "cut.jpg", photos[1], tmp_path / "none.jpg"]
    with pytest.raises(edgefeat.PictureError, match=r"^image '.*cut\.jpg': cannot be decoded"):
        ImageFeatures(one_tap).transform(mixed)
    with pytest.warns(UserWarning, match=r"rows of NaN for .*'.*cut\.jpg': cannot be decoded.*, and 1 more$"):
        features = ImageFeatures(one_tap, unreadable="nan").transform(mixed)
    assert np.isnan(features[[1, 3]]).all()
    np.testing.assert_array_equal(features[[0, 2]], ImageFeatures(one_tap).transform(photos[:2]))


def test_the_limits_are_those_of_load(one_tap: Path, photos: list[str], tmp_path: Path) -> None:
    cut = tmp_path / "cut.png"
    cut.write_bytes(Path(photos[0]).read_bytes()[:-100])
    with pytest.raises(edgefeat.PictureError, match="truncated"):
        ImageFeatures(one_tap).transform([cut])
    features = ImageFeatures(one_tap, least_share=0.01)
    assert np.isfinite(features.transform([cut])).all()
    features.set_params(max_pixels=100)
    with pytest.raises(edgefeat.PictureError, match=r"allowed: 100\)"):
        features.transform([photos[0]])


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_a_table_without_a_picture_in_a_row(one_tap: Path, photos: list[str], missing: object) -> None:
    with pytest.raises(edgefeat.PictureError, match=r"^image number 1: is missing$"):
        ImageFeatures(one_tap).transform([photos[0], missing])
    with pytest.warns(UserWarning, match=r"^rows of NaN for .*number 1: is missing$"):
        features = ImageFeatures(one_tap, unreadable="nan").transform([photos[0], missing])
    assert np.isnan(features).all(axis=1).tolist() == [False, True]


def test_parameters_are_checked_by_fit_and_not_before(one_tap: Path) -> None:
    for wrong, said in (
        ({"unreadable": "skip"}, r"unreadable 'skip' is unknown \(allowed: 'raise', 'nan'\)"),
        ({"channels": "gbr"}, "channels 'gbr' is unknown"),
        ({"tap": "stem"}, r"tap 'stem' is not in bundle .* \(it has: "),
    ):
        transformer = ImageFeatures(one_tap, **wrong)  # type: ignore[arg-type]
        with pytest.raises(edgefeat.ArgumentError, match=said):
            transformer.fit([])
        with pytest.raises(edgefeat.ArgumentError, match=said):
            transformer.transform([])
    with pytest.raises(edgefeat.BundleError, match="does not exist"):
        ImageFeatures(one_tap / "none").fit([])
    with pytest.raises(edgefeat.ArgumentError, match="threads is 0"):
        ImageFeatures(one_tap, threads=0).transform([])


def test_taps_lie_side_by_side_and_name_their_columns(two_taps: Path, photos: list[str]) -> None:
    both = edgefeat.load(two_taps).extract(photos)
    assert isinstance(both, dict)
    transformer = ImageFeatures(two_taps)
    joined = np.concatenate([feature.reshape(len(photos), -1) for feature in both.values()], axis=1)
    np.testing.assert_array_equal(transformer.transform(photos), joined)
    assert len(transformer.get_feature_names_out()) == joined.shape[1]
    (first, *_) = both
    assert transformer.get_feature_names_out()[0] == f"{first}_0"
    for name, feature in both.items():
        one = ImageFeatures(two_taps, tap=name).fit(photos)
        np.testing.assert_array_equal(one.transform(photos), feature.reshape(len(photos), -1))
        assert all(column.startswith(f"{name}_") for column in one.get_feature_names_out(["ignored"]))


def test_set_output_gives_a_table_with_the_rows_of_the_one_given(one_tap: Path, photos: list[str]) -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    transformer = ImageFeatures(one_tap).set_output(transform="pandas")
    column = pandas.Series(photos, index=[f"row {number}" for number in range(len(photos))], name="photo")
    for given in (column, column.to_frame()):
        table = transformer.fit_transform(given)
        assert list(table.columns) == list(transformer.get_feature_names_out())
        assert list(table.index) == list(column.index)
        assert set(table.dtypes) == {np.dtype(np.float32)}
        np.testing.assert_array_equal(table.to_numpy(), ImageFeatures(one_tap).transform(photos))


def test_a_clone_and_a_pickle_hold_the_parameters_and_no_engine(one_tap: Path, photos: list[str]) -> None:
    transformer = ImageFeatures(one_tap, threads=1).fit(photos)
    features = transformer.transform(photos)
    assert set(vars(transformer)) == {*transformer.get_params(), "identity_"}
    data = pickle.dumps(transformer)
    assert len(data) < 2000
    copy = clone(pickle.loads(data))
    assert copy.get_params() == transformer.get_params()
    assert not hasattr(copy, "identity_")
    program = "import pickle, sys, json; data, photos = sys.stdin.buffer.read(), sys.argv[1:]\n"
    program += "print(json.dumps(pickle.loads(data).transform(photos).tolist()))"
    done = subprocess.run([sys.executable, "-c", program, *photos], input=data, check=True, capture_output=True)
    np.testing.assert_array_equal(np.array(json.loads(done.stdout), np.float32), features)


def test_what_was_trained_on_one_bundle_refuses_another(
    one_tap: Path, photos: list[str], tmp_path: Path, altered: Callable[..., Path]
) -> None:
    def rename(manifest: dict[str, Any], folder: Path) -> None:
        manifest["name"] = "another"

    moved = tmp_path / "moved.edgefeat"
    shutil.copytree(one_tap, moved)
    transformer = ImageFeatures(moved).fit(photos)
    expected = transformer.transform(photos)
    other = altered(one_tap, rename)
    for again in (transformer, pickle.loads(pickle.dumps(transformer))):
        with pytest.raises(edgefeat.BundleError, match=r"is not the one that fit was called with .* or call fit again"):
            again.set_params(bundle=other).transform(photos)
        np.testing.assert_array_equal(again.set_params(bundle=one_tap).transform(photos), expected)
        assert again.set_params(bundle=other).fit(photos).transform(photos).shape == expected.shape
    # The folder is exported anew under the same name, while the old one is open.
    transformer.set_params(bundle=moved).fit(photos).transform(photos)
    shutil.rmtree(moved)
    shutil.copytree(other, moved)
    assert transformer.fit(photos).transform(photos).shape == expected.shape


def test_a_pipeline_is_searched_by_threads_and_processes(one_tap: Path, flowers: tuple[list[str], list[str]]) -> None:
    from joblib import parallel_config

    paths, labels = flowers
    pipeline = make_pipeline(ImageFeatures(one_tap, threads=1), SVC())
    alone = cross_val_score(pipeline, paths, labels, cv=3)
    assert alone.mean() == 1
    grid = {"svc__C": [1, 100], "imagefeatures__decoding": ["fast", "exact"]}
    for backend in ("threading", "loky"):
        with parallel_config(backend=backend, n_jobs=2):
            search = GridSearchCV(pipeline, grid, cv=3).fit(paths, labels)
        assert search.best_score_ == 1
        assert list(search.predict(paths)) == labels


def test_threads_share_one_transformer(one_tap: Path, photos: list[str]) -> None:
    transformer = ImageFeatures(one_tap, threads=1)
    expected = ImageFeatures(one_tap, threads=1).transform(photos)
    with ThreadPoolExecutor(4) as pool:
        for features in pool.map(transformer.transform, [photos] * 12):
            np.testing.assert_array_equal(features, expected)
