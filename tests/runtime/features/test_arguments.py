"""What the functions of the Python API take, and that anything else is refused in a sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgefeat


class Dataset:
    """As in PyTorch: it has rows, but no iterator."""

    def __init__(self, rows: list[str]) -> None:
        self._rows = rows

    def __getitem__(self, place: int) -> str:
        return self._rows[place]


class Lazy(Sequence[str]):
    """A sequence that notes how many rows it is asked for at once."""

    def __init__(self, rows: list[str]) -> None:
        self._rows, self.most = rows, 0

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[str]:
        self.most = len(self._rows)
        return iter(self._rows)

    def __getitem__(self, place: Any) -> Any:
        found = self._rows[place]
        self.most = max(self.most, len(found) if isinstance(place, slice) else 1)
        return found


def test_a_sequence_is_read_in_parts(one_tap: Path, photos: list[str]) -> None:
    lazy = Lazy(photos * 5)
    features = edgefeat.load(one_tap).extract(lazy)
    assert len(features) == len(lazy) == 20
    assert lazy.most <= 8


def test_several_images_are_a_list_an_array_of_paths_or_for_a_stream_anything_that_yields_them(
    one_tap: Path, photos: list[str]
) -> None:
    extractor = edgefeat.load(one_tap)
    expected = extractor.extract(photos)
    for paths in (np.array(photos), np.array([Path(photo) for photo in photos], object)):
        np.testing.assert_array_equal(extractor.extract(paths), expected)
    for one in (photos[0], Path(photos[0]), b"bytes", None, 3, np.zeros((4, 5, 3), np.uint8)):
        with pytest.raises(edgefeat.ArgumentError, match=r"pictures is one .* \(allowed: several images\): write"):
            extractor.stream(one)  # type: ignore[arg-type, type-var]
    assert len([*extractor.stream(Path(photo) for photo in photos)]) == len(photos)
    assert len([*extractor.stream(np.zeros((5, 40, 50), np.uint8))]) == 5  # gray images
    assert len([*extractor.stream(Dataset(photos))]) == len(photos)  # type: ignore[arg-type]
    with pytest.raises(edgefeat.ArgumentError, match=r"ahead is '3' \(allowed: a whole number, 0 or more\)"):
        extractor.stream(photos, ahead="3")  # type: ignore[arg-type]
    with pytest.raises(edgefeat.ArgumentError, match=r"or a list of these\): use stream\(\)"):
        extractor.extract(map(Path, photos))  # type: ignore[arg-type]
    with open(photos[0]) as text, pytest.raises(edgefeat.ArgumentError, match="open it with mode 'rb'"):
        extractor.extract(text)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"threads": "2"}, r"threads is '2' \(allowed: a whole number, 1 to \d+\)"),
        ({"threads": 2.5}, r"threads is 2\.5 \(allowed: a whole number, 1 to"),
        ({"threads": 50_000}, r"threads is 50000 \(allowed: 1 to \d+\)"),
        ({"max_pixels": 1.5}, r"max_pixels is 1\.5 \(allowed: a whole number, 1 to 4000000000\)"),
        ({"least_share": "0.5"}, r"least_share is '0\.5' \(allowed: above 0, to 1\)"),
        ({"least_share": "all"}, r"least_share is 'all' \(allowed: above 0, to 1\)"),
        ({"frame": (320, 240)}, r"frame is \(320, 240\) \(allowed: a name such as 'nv21-640x480'\)"),
    ],
)
def test_an_option_of_another_type_or_size_is_refused(one_tap: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(edgefeat.ArgumentError, match=said):
        edgefeat.load(one_tap, **options)


def test_what_is_no_path_is_refused() -> None:
    opening: list[Callable[[Any], Any]] = [edgefeat.load, edgefeat.Bundle.open, edgefeat.FeatureStore.open]
    for function in (*opening, edgefeat.verify, edgefeat.tune):
        with pytest.raises(edgefeat.ArgumentError, match=r"is None \(allowed: the path of"):
            function(None)
