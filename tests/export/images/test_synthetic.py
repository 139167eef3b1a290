"""The generated images: the same for a seed, of any size, and as varied as photos."""

from __future__ import annotations

import numpy as np
import pytest

from edgefeat_export._images.synthetic import dead_leaves
from edgefeat_export._images.textures import grain, textures


def test_an_image_depends_only_on_seed_and_index() -> None:
    few, more, other = (dead_leaves(count, 40, 48, seed=seed) for count, seed in ((2, 3), (5, 3), (2, 4)))
    np.testing.assert_array_equal(few, more[:2])
    assert (few != other).mean() > 0.5
    assert (more[0] != more[1]).mean() > 0.5


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 64), (33, 7), (160, 96)])
def test_images_of_any_size(height: int, width: int) -> None:
    made = dead_leaves(3, height, width, seed=0)
    assert made.shape == (3, height, width, 3)
    assert made.dtype == np.uint8


def test_images_are_bright_and_dark_sharp_and_smooth() -> None:
    made = dead_leaves(60, 96, 96, seed=0).astype(np.float32)
    assert 90 < made.mean() < 165
    brightness, contrast = made.mean(axis=(1, 2, 3)), made.std(axis=(1, 2, 3))
    edges = np.abs(np.diff(made.mean(-1), axis=2)).mean(axis=(1, 2))
    assert brightness.std() > 30
    for varied in (contrast, edges):
        assert np.quantile(varied, 0.9) > 2 * np.quantile(varied, 0.1)
    assert (made == 0).mean() > 0.01  # black and white happen, as in photos
    assert (made == 255).mean() > 0.01


def test_textures_have_a_mean_of_zero_and_a_deviation_of_one() -> None:
    random = np.random.default_rng(0)
    made = np.concatenate([grain(random, 64, 80)[np.newaxis], textures(random, 64, 80)])
    assert made.shape == (7, 64, 80)
    assert np.abs(made.mean(axis=(1, 2))).max() < 0.2
    assert ((made.std(axis=(1, 2)) > 0.5) & (made.std(axis=(1, 2)) < 1.2)).all()
