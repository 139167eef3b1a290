"""`edgefeat watch`: the database follows photos that are renamed or removed, and folders that go."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.runtime.services.services import running, wait_for
from tests.runtime.services.watches import paths, watching

import edgefeat


@pytest.mark.parametrize("options", [(), ("--poll", "--interval", "0.2")], ids=["notices", "poll"])
def test_renamed_and_removed_photos_are_followed(
    one_tap: Path, incoming: Path, photos: list[str], tmp_path: Path, options: tuple[str, ...]
) -> None:
    (incoming / "day").mkdir()
    for index in range(3):
        shutil.copy(photos[index], incoming / "day" / f"{index}.png")
    database = tmp_path / "features.db"
    with running(*watching(one_tap, incoming, "--into", database, *options)) as service:
        wait_for(lambda: paths(database) == {"0.png", "1.png", "2.png"})
        os.rename(incoming / "day", incoming / "night")
        os.unlink(incoming / "night" / "1.png")
        wait_for(lambda: paths(database) == {"0.png", "2.png"})
        service.said("removed", times=3)
        assert service.stop() == 0
    with edgefeat.FeatureStore.open(database) as store:
        assert set(store.paths()) == {str(incoming / "night" / name) for name in ("0.png", "2.png")}


def test_a_photo_removed_while_nobody_watched_is_removed_at_the_next_start(
    one_tap: Path, incoming: Path, photos: list[str], tmp_path: Path
) -> None:
    for index in range(2):
        shutil.copy(photos[index], incoming / f"{index}.png")
    database = tmp_path / "features.db"
    with running(*watching(one_tap, incoming, "--into", database)):
        wait_for(lambda: paths(database) == {"0.png", "1.png"})
    os.unlink(incoming / "0.png")
    with running(*watching(one_tap, incoming, "--into", database)) as service:
        service.said("0.png: removed")
        assert not service.count("1.png")


def test_the_last_photo_of_a_folder_is_removed_too(
    one_tap: Path, incoming: Path, photos: list[str], tmp_path: Path
) -> None:
    (incoming / "day").mkdir()
    shutil.copy(photos[0], incoming / "day" / "0.png")
    database = tmp_path / "features.db"
    with running(*watching(one_tap, incoming, "--into", database)) as service:
        service.said("0.png: added")
        os.unlink(incoming / "day" / "0.png")
        service.said("0.png: removed")
        assert service.stop() == 0
    assert paths(database) == set()


def test_a_renamed_folder_of_many_photos_never_loses_a_row(one_tap: Path, incoming: Path, tmp_path: Path) -> None:
    count, random = 400, np.random.default_rng(0)
    (incoming / "day").mkdir()
    for index in range(count):
        pixels = random.integers(0, 256, (8, 8, 3), np.uint8)
        Image.fromarray(pixels).save(incoming / "day" / f"{index}.png")
    database = tmp_path / "features.db"
    with running(*watching(one_tap, incoming, "--into", database)) as service:
        wait_for(lambda: len(paths(database)) == count)
        os.rename(incoming / "day", incoming / "night")
        fewest = [count]

        def is_over() -> bool:
            fewest.append(len(paths(database)) or count)  # none: it is being written
            return service.count("removed") == count

        wait_for(is_over)
        assert service.stop() == 0
    assert min(fewest) == count
    with edgefeat.FeatureStore.open(database) as store:
        assert {os.path.dirname(path) for path in store.paths()} == {str(incoming / "night")}
        assert len(store) == count


def test_an_empty_folder_in_place_of_photos_is_not_believed(
    one_tap: Path, incoming: Path, photos: list[str], tmp_path: Path
) -> None:
    shutil.copy(photos[0], incoming / "0.png")
    database = tmp_path / "features.db"
    with running(*watching(one_tap, incoming, "--into", database)) as service:
        service.said("0.png: added")
    os.rename(incoming / "0.png", tmp_path / "0.png")
    with running(*watching(one_tap, incoming, "--into", database, "--poll", "--interval", "0.1")) as service:
        service.said("the features of its photos are kept")
        shutil.copy(photos[1], incoming / "1.png")
        service.said("1.png: added")
    assert "1.png" in paths(database)


def test_a_folder_that_goes_keeps_its_features_and_is_watched_again_when_it_is_back(
    one_tap: Path, incoming: Path, photos: list[str], tmp_path: Path
) -> None:
    shutil.copy(photos[0], incoming / "0.png")
    database = tmp_path / "features.db"
    with running(*watching(one_tap, incoming, "--into", database)) as service:
        service.said("0.png: added")
        os.rename(incoming, tmp_path / "away")
        service.said("is gone: waiting for it")
        assert paths(database) == {"0.png"}
        os.rename(tmp_path / "away", incoming)
        service.said("is there again")
        shutil.copy(photos[1], incoming / "1.png")
        service.said("1.png: added")
        assert not service.count("removed")
