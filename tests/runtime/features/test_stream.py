"""Streams of pictures: in order, past bad ones, as early as can be, and safe from what their owner does meanwhile."""

from __future__ import annotations

import io
import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageSequence
from tests.runtime.features.results import array, by_tap

import edgefeat

Picture = NDArray[np.uint8]


def test_a_stream_keeps_the_order_and_goes_on_past_bad_pictures(
    extractor: edgefeat.Extractor, pictures: list[Picture], tmp_path: Path
) -> None:
    missing = tmp_path / "missing.png"
    given: list[Any] = [
        pictures[0],
        missing,
        pictures[1],
        b"not a picture",
        *pictures[2:],
        np.zeros((2, 2), np.float32),
    ]
    results = list(extractor.stream(given, ahead=2))
    assert [id(result.source) for result in results] == list(map(id, given))
    assert [index for index, result in enumerate(results) if result.feature is None] == [1, 3, len(given) - 1]
    assert all((result.feature is None) == isinstance(result.error, edgefeat.EdgefeatError) for result in results)
    assert "no such file" in str(results[1].error)
    features = [array(result.feature) for result in results if result.feature is not None]
    np.testing.assert_allclose(np.stack(features), array(extractor.extract(pictures)), atol=1e-6)


def test_a_stream_of_two_taps_gives_dicts(with_two: edgefeat.Extractor, pictures: list[Picture]) -> None:
    (result,) = with_two.stream(pictures[:1])
    for tap, feature in by_tap(with_two.extract(pictures[0])).items():
        np.testing.assert_array_equal(by_tap(result.feature)[tap], feature)


@pytest.mark.parametrize("ahead", [1, 4])
def test_a_stream_takes_no_more_than_it_needs(
    extractor: edgefeat.Extractor, pictures: list[Picture], ahead: int
) -> None:
    taken = 0

    def endless() -> Iterator[Picture]:
        nonlocal taken
        for picture in itertools.cycle(pictures):
            taken += 1
            yield picture

    stream = extractor.stream(endless(), ahead=ahead)
    assert taken == 0
    for consumed in range(20):
        next(stream)
        assert taken <= consumed + 1 + ahead
    stream.close()  # type: ignore[attr-defined]  # an iterator made by a generator function can be closed


def test_a_stream_may_be_left_while_pictures_are_being_read(extractor: edgefeat.Extractor, photos: list[str]) -> None:
    class Slow(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            time.sleep(0.05)
            return super().read(size)

    data = Path(photos[0]).read_bytes()
    begun = time.monotonic()
    for result in extractor.stream((Slow(data) for _ in itertools.count()), ahead=8):
        assert result.error is None
        break
    del result
    assert time.monotonic() - begun < 30


def test_an_error_of_the_given_iterable_ends_the_stream_with_it(
    extractor: edgefeat.Extractor, pictures: list[Picture]
) -> None:
    def failing() -> Iterator[Picture]:
        yield pictures[0]
        raise KeyError("camera unplugged")

    with pytest.raises(KeyError, match="camera unplugged"):
        list(extractor.stream(failing()))


def test_a_stream_cannot_look_back(extractor: edgefeat.Extractor) -> None:
    with pytest.raises(edgefeat.ArgumentError, match=r"ahead is -1 \(allowed: 0 or more\)"):
        next(extractor.stream([b""], ahead=-1))


@pytest.mark.parametrize("ahead", [0, 1, 4])
def test_a_camera_may_fill_one_array_or_stream_again(
    extractor: edgefeat.Extractor, pictures: list[Picture], ahead: int
) -> None:
    def sized(width: int, height: int) -> list[Picture]:
        return [np.asarray(Image.fromarray(one).resize((width, height))) for one in pictures]

    def features(of: list[Picture]) -> NDArray[np.float32]:
        return np.stack([array(extractor.extract(picture)) for picture in of])

    form = extractor.bundle.manifest.picture

    def refilled(frames: list[Picture]) -> Iterator[Picture]:
        frame = np.zeros_like(frames[0])
        for picture in frames:
            frame[:] = picture
            yield frame

    def rewritten() -> Iterator[io.BytesIO]:
        stream = io.BytesIO()
        for picture in pictures:
            stream.seek(0)
            stream.truncate()
            Image.fromarray(picture).save(stream, "PNG")
            stream.seek(0)
            yield stream

    def refilled_bytes() -> Iterator[bytearray]:
        data = bytearray()
        for stream in rewritten():
            data[:] = stream.getvalue()
            yield data

    large, small = sized(64, 48), sized(form.width, form.height)  # small ones are not resized
    for given, of in (
        (refilled(large), large),
        (refilled(small), small),
        (rewritten(), pictures),
        (refilled_bytes(), pictures),
    ):
        found = [array(one.feature) for one in extractor.stream(given, ahead=ahead)]
        np.testing.assert_allclose(np.stack(found), features(of), atol=1e-6)


def test_the_frames_of_an_animation_are_one_image_of_pillow(extractor: edgefeat.Extractor, tmp_path: Path) -> None:
    colours = ["red", "lime", "blue", "white", "black", "yellow"]
    first, *others = (Image.new("RGB", (40, 30), colour) for colour in colours)
    first.save(tmp_path / "moving.gif", save_all=True, append_images=others)
    with Image.open(tmp_path / "moving.gif") as moving:
        found = [array(one.feature) for one in extractor.stream(ImageSequence.Iterator(moving))]
    expected = [array(extractor.extract(Image.new("RGB", (40, 30), colour))) for colour in colours]
    np.testing.assert_allclose(np.stack(found), np.stack(expected), atol=1e-6)


@pytest.mark.parametrize("kind", ["arrays", "files"])
def test_results_come_as_early_as_they_can(
    extractor: edgefeat.Extractor, pictures: list[Picture], photos: list[str], kind: str
) -> None:
    taken = 0

    def given() -> Iterator[Any]:
        nonlocal taken
        for one in itertools.cycle(pictures if kind == "arrays" else photos):
            taken += 1
            yield one

    stream = extractor.stream(given(), ahead=4 if kind == "arrays" else 0)
    for number in range(1, 6):
        next(stream)
        assert taken == number
    stream.close()  # type: ignore[attr-defined]
