"""Generate images with the statistics of photos: dead leaves, with texture, light, blur and objects.

Opaque shapes occlude each other; sizes distributed as 1/r^3 make the image look the same at every scale, which gives
the 1/f spectrum and the edge statistics of natural images (A. B. Lee, D. Mumford, J. Huang, "Occlusion Models for
Natural Images: A Statistical Study of a Scale-Invariant Dead Leaves Model", IJCV 41 (2001)). The first layers of a
network see little difference to photos. The last ones do: flat leaves that are sharp everywhere activate them half as
much as photos, or less. Textured leaves come nearer (M. Baradad, J. Wulff, T. Wang, P. Isola, A. Torralba, "Learning to
See by Looking at Noise", NeurIPS 2021), and so do the light on each leaf, a background out of focus, and objects with
colours of their own in front of it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from edgefeat_export._images.textures import grain, textures

__all__ = ["dead_leaves"]

# Images are drawn larger and scaled down, so that edges are as soft as in a photo.
_OVERSAMPLING = 2
_SMALLEST, _LARGEST = 0.02, 0.6  # radii, in parts of the longer side
_LEAVES = (20, 1500)
_BLUR = (0.004, 0.05)  # radii as well
_CONTRAST = (0.5, 1.8)
_MOST_OBJECTS, _OBJECT_LEAVES = 3, (3, 150)
_MOST_OUTLINES, _SMALLEST_OUTLINE, _LARGEST_OUTLINE = 7, 0.12, 0.35
_TEXTURE, _LIGHT = 12.0, 25.0  # deviations: by the texture of a leaf, and by the light at its edge
_POLYGONS, _BLOBS = 0.3, 0.2  # of all leaves; the others are ellipses
_CIRCLE = np.linspace(0, 2 * np.pi, 32)  # the angles of the corners of a round leaf

Floats = NDArray[np.float32]


class _Leaves(NamedTuple):
    """Corners `[x, y, x, y...]` of each leaf, its centre (N, 2) and its radius (N, 1) in pixels of the large image."""

    corners: list[list[float]]
    centre: NDArray[np.float64]
    radius: NDArray[np.float64]


def dead_leaves(count: int, height: int, width: int, *, seed: int) -> NDArray[np.uint8]:
    """Return `count` images, uint8 RGB (count, height, width, 3); image i of a seed is always the same."""
    pictures = np.empty((count, height, width, 3), np.uint8)
    for index in range(count):
        pictures[index] = _picture(np.random.default_rng([seed, index]), height, width)
    return pictures


def _picture(random: np.random.Generator, height: int, width: int) -> NDArray[np.uint8]:
    size = (width * _OVERSAMPLING, height * _OVERSAMPLING)
    patterns = textures(random, height, width)
    background = _leaves(random, _anywhere(random, _LEAVES, size), _SMALLEST, _LARGEST, max(size))
    image = _painted(random, background, size, patterns)
    if random.random() < 0.5:
        image = _blurred(image, _between(random, *_BLUR) * max(height, width))
    for _ in range(random.integers(0, _MOST_OBJECTS + 1)):
        mask = _silhouette(random, size)
        inside = _leaves(random, _anywhere(random, _OBJECT_LEAVES, size), _SMALLEST, _LARGEST / 2, max(size))
        image += mask * (_painted(random, inside, size, patterns) - image)
    contrast, light = random.uniform(*_CONTRAST), random.normal(0, 18)
    noise = random.uniform(1, 10) * grain(random, height, width)[..., np.newaxis]
    return ((image - 128) * contrast + 128 + light + noise).clip(0, 255).astype(np.uint8)


def _anywhere(random: np.random.Generator, counts: tuple[int, int], size: tuple[int, int]) -> NDArray[np.float64]:
    """Return points (N, 2) in the image or a little outside it; N is random, between `counts`."""
    return np.asarray((1.2 * random.random((int(_between(random, *counts)), 2)) - 0.1) * size)


def _silhouette(random: np.random.Generator, size: tuple[int, int]) -> Floats:
    """Return where an object is, (H, W, 1) from 0 to 1: in any of a few shapes that are near each other."""
    middle, count = random.uniform(0.25, 0.75, 2) * size, random.integers(1, _MOST_OUTLINES + 1)
    centre = middle + random.normal(0, 0.12, (count, 2)) * size
    image = Image.new("L", size)
    draw = ImageDraw.Draw(image)
    for corners in _leaves(random, centre, _SMALLEST_OUTLINE, _LARGEST_OUTLINE, max(size)).corners:
        draw.polygon(corners, fill=255)
    mask = np.asarray(image.reduce(_OVERSAMPLING), np.float32)
    return mask[..., np.newaxis] / np.float32(255)


def _painted(random: np.random.Generator, leaves: _Leaves, size: tuple[int, int], patterns: Floats) -> Floats:
    """Return the leaves in the colours of a palette, each with a texture and under a light of its own: (H, W, 3)."""
    count = len(leaves.corners) + 1  # the first is the ground
    mean, root = _palette(random)
    colours = (mean + random.standard_normal((count, 3)) @ root.T).clip(0, 255).astype(np.uint8)
    image = Image.new("I", size)
    draw = ImageDraw.Draw(image)
    for index, corners in enumerate(leaves.corners, 1):
        draw.polygon(corners, fill=index)
    owner = np.asarray(image)
    flat = np.asarray(Image.fromarray(colours[owner]).reduce(_OVERSAMPLING), np.float32)
    owner = owner[::_OVERSAMPLING, ::_OVERSAMPLING]  # texture and light need no soft edges
    y, x = np.ogrid[: owner.shape[0], : owner.shape[1]]
    pattern, strength = random.integers(0, len(patterns), count), random.exponential(_TEXTURE, count)
    texture = patterns[pattern[owner], y, x] * strength.astype(np.float32)[owner]
    light = _light(random, leaves)[owner]
    light = (light[..., 0] * x + light[..., 1] * y + light[..., 2]).clip(-90, 90)
    return np.asarray(flat + (texture + light)[..., np.newaxis], np.float32)


def _light(random: np.random.Generator, leaves: _Leaves) -> Floats:
    """Return the gradient of light on the ground and on each leaf, by x and y, and its value at the image's corner."""
    slope = random.normal(0, _LIGHT, leaves.centre.shape) / leaves.radius
    at_corner = -(slope * leaves.centre).sum(axis=1, keepdims=True)  # none at the leaf's centre
    return np.concatenate([np.zeros((1, 3)), np.hstack([slope * _OVERSAMPLING, at_corner])]).astype(np.float32)


def _palette(random: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and square root of the covariance of some colours: gray varies more than hue, as in photos."""
    mean = random.uniform(70, 180) + random.normal(0, 18, 3)
    gray = np.full((3, 1), random.uniform(35, 65))
    hue = random.normal(0, random.uniform(6, 26), (3, 2))
    return mean, np.concatenate([gray, hue], axis=1)


def _leaves(
    random: np.random.Generator, centre: NDArray[np.float64], smallest: float, largest: float, side: int
) -> _Leaves:
    """Return a leaf at each centre: ellipses, polygons with few corners, and blobs, at random angles."""
    count = len(centre)
    kind, few = random.random((count, 1)), random.integers(3, 7, (count, 1))
    is_polygon, is_blob = kind < _POLYGONS, kind > 1 - _BLOBS
    corner = np.arange(len(_CIRCLE))
    drawn = np.where(corner < few, random.random((count, len(_CIRCLE))), 1)
    angles = np.where(is_polygon, 2 * np.pi * np.sort(drawn, axis=1), _CIRCLE)
    low, high = smallest**-2, largest**-2
    radius = (low + random.random((count, 1)) * (high - low)) ** -0.5 * side  # density 1/r^3 between the two cut-offs
    reach = radius * np.where(is_blob, _bulges(random, count), 1)
    flat, turn = random.uniform(0.25, 1, (count, 1)), np.pi * random.random((count, 1))
    x, y = np.cos(angles) * reach, np.sin(angles) * flat * reach
    turned = np.stack([np.cos(turn) * x - np.sin(turn) * y, np.sin(turn) * x + np.cos(turn) * y], axis=2)
    rows = (turned + centre[:, np.newaxis]).reshape(count, -1).tolist()
    used = np.where(is_polygon, few, len(_CIRCLE))[:, 0]
    return _Leaves([row[: 2 * corners] for row, corners in zip(rows, used, strict=True)], centre, radius)


def _bulges(random: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Return radii around 1 for the angles of `_CIRCLE`, (count, angles): a sum of a few waves for each blob."""
    waves = np.arange(2, 7)
    size, phase = random.normal(0, 0.25 / waves, (count, 1, 5)), 2 * np.pi * random.random((count, 1, 5))
    return np.asarray(1 + (size * np.cos(waves * _CIRCLE[:, np.newaxis] + phase)).sum(axis=2))


def _blurred(image: Floats, radius: float) -> Floats:
    blurred = Image.fromarray(image.clip(0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(radius))
    return np.asarray(blurred).astype(np.float32)


def _between(random: np.random.Generator, least: float, most: float) -> float:
    """Return a random number whose logarithm is uniform."""
    return float(np.exp(random.uniform(np.log(least), np.log(most))))
