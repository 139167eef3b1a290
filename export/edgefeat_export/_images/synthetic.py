"""Generate images with the statistics of photos: dead leaves.

Source: A. B. Lee, D. Mumford, J. Huang, "Occlusion Models for Natural Images: A Statistical Study of a Scale-Invariant
Dead Leaves Model", IJCV 41 (2001). Opaque shapes occlude each other; sizes distributed as 1/r^3 make the image look the
same at every scale, which gives the 1/f spectrum and the edge statistics of natural images.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

__all__ = ["dead_leaves"]

# Images are drawn larger and scaled down, so that edges are as soft as in a photo.
_OVERSAMPLING = 2
_LEAVES = 1500
_SMALLEST, _LARGEST = 0.02, 0.6
_CIRCLE = np.linspace(0, 2 * np.pi, 24)  # the angles of its corners


def dead_leaves(count: int, height: int, width: int, *, seed: int) -> NDArray[np.uint8]:
    """Return `count` images, uint8 RGB (count, height, width, 3); image i of a seed is always the same."""
    pictures = np.empty((count, height, width, 3), np.uint8)
    for index in range(count):
        pictures[index] = _picture(np.random.default_rng([seed, index]), height, width)
    return pictures


def _picture(random: np.random.Generator, height: int, width: int) -> NDArray[np.uint8]:
    size = (width * _OVERSAMPLING, height * _OVERSAMPLING)
    mean, root = _palette(random)
    ground = _colours(mean, root, random.standard_normal((1, 3)))[0]
    image = Image.new("RGB", size, ground)
    draw = ImageDraw.Draw(image)
    shapes, normal = _shapes(random, size)
    for corners, colour in zip(shapes, _colours(mean, root, normal), strict=True):
        draw.polygon(corners, fill=colour)
    leaves = np.asarray(image.resize((width, height), Image.Resampling.BOX), np.float32)
    contrast, light = random.uniform(0.5, 1.2), random.normal(0, 18)
    shaded = (leaves - 128) * contrast + 128 + light + _texture(random, height, width)
    return shaded.clip(0, 255).astype(np.uint8)


def _palette(random: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and square root of the covariance of an image's colours: gray varies more than hue, as in photos."""
    mean = random.uniform(70, 180) + random.normal(0, 18, 3)
    spread = np.full((3, 1), random.uniform(35, 65)) @ np.ones((1, 1))
    hue = random.normal(0, random.uniform(6, 26), (3, 2))
    return mean, np.concatenate([spread, hue], axis=1)


def _colours(
    mean: NDArray[np.float64], root: NDArray[np.float64], normal: NDArray[np.float64]
) -> list[tuple[int, int, int]]:
    """Return a colour of the palette for each row of standard normal numbers, (N, 3)."""
    rows = (mean + normal @ root.T).clip(0, 255).astype(int).tolist()
    return [(red, green, blue) for red, green, blue in rows]


def _shapes(random: np.random.Generator, size: tuple[int, int]) -> tuple[list[list[float]], NDArray[np.float64]]:
    """Return the corners of each leaf, `[x, y, x, y...]`, and three standard normal numbers for its colour.

    Leaves are ellipses, and polygons with few corners, at random positions and angles. Only the draws are made leaf by
    leaf: there are 200,000 leaves in an export.
    """
    counts, angles = [], np.zeros((_LEAVES, 24))
    radius, flat, turn = np.empty((3, _LEAVES, 1))
    centre, normal = np.empty((_LEAVES, 2)), np.empty((_LEAVES, 3))
    for index in range(_LEAVES):
        radius[index] = random.random()
        count = 24 if random.random() < 0.5 else int(random.integers(3, 7))
        angles[index, :count] = _CIRCLE if count == 24 else np.sort(random.random(count)) * 2 * np.pi
        counts.append(count)
        flat[index], turn[index] = random.random(), random.random()
        centre[index], normal[index] = random.random(2), random.standard_normal(3)
    low, high = _SMALLEST**-2, _LARGEST**-2
    radius = (low + radius * (high - low)) ** -0.5 * max(size)  # density 1/r^3 between the two cut-offs
    x, y = np.cos(angles) * radius, np.sin(angles) * (0.25 + 0.75 * flat) * radius
    cosine, sine = np.cos(np.pi * turn), np.sin(np.pi * turn)
    turned = np.stack([cosine * x - sine * y, sine * x + cosine * y], axis=2)
    corners = turned + ((1.2 * centre - 0.1) * size)[:, np.newaxis]
    rows = corners.reshape(_LEAVES, -1).tolist()
    return [row[: 2 * count] for row, count in zip(rows, counts, strict=True)], normal


def _texture(random: np.random.Generator, height: int, width: int) -> NDArray[np.float32]:
    """Return noise with a 1/f amplitude spectrum: shading and grain, which flat shapes lack."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    frequency[0, 0] = np.inf
    phases = np.exp(2j * np.pi * random.uniform(size=frequency.shape))
    noise = np.fft.irfft2(phases / frequency, s=(height, width))
    noise *= random.uniform(3, 16) / max(float(noise.std()), 1e-9)
    return noise[:, :, None].astype(np.float32)
