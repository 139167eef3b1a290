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


def dead_leaves(count: int, height: int, width: int, *, seed: int) -> NDArray[np.uint8]:
    """Return `count` images, uint8 RGB (count, height, width, 3); image i of a seed is always the same."""
    pictures = np.empty((count, height, width, 3), np.uint8)
    for index in range(count):
        pictures[index] = _picture(np.random.default_rng([seed, index]), height, width)
    return pictures


def _picture(random: np.random.Generator, height: int, width: int) -> NDArray[np.uint8]:
    size = (width * _OVERSAMPLING, height * _OVERSAMPLING)
    palette = _palette(random)
    image = Image.new("RGB", size, _colour(random, palette))
    draw = ImageDraw.Draw(image)
    for _ in range(_LEAVES):
        corners = _leaf(random, size)
        draw.polygon([(float(x), float(y)) for x, y in corners], fill=_colour(random, palette))
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


def _colour(
    random: np.random.Generator, palette: tuple[NDArray[np.float64], NDArray[np.float64]]
) -> tuple[int, int, int]:
    mean, root = palette
    red, green, blue = (mean + root @ random.normal(size=root.shape[1])).clip(0, 255).astype(int)
    return int(red), int(green), int(blue)


def _leaf(random: np.random.Generator, size: tuple[int, int]) -> NDArray[np.float64]:
    """Return the corners of one shape: an ellipse, or a polygon with few corners, at a random position and angle."""
    low, high = _SMALLEST**-2, _LARGEST**-2
    radius = (low + random.uniform() * (high - low)) ** -0.5 * max(size)  # density 1/r^3 between the two cut-offs
    corners = 24 if random.uniform() < 0.5 else int(random.integers(3, 7))
    angles = np.sort(random.uniform(0, 2 * np.pi, corners)) if corners < 24 else np.linspace(0, 2 * np.pi, 24)
    outline = np.stack([np.cos(angles), np.sin(angles) * random.uniform(0.25, 1)]) * radius
    turn = random.uniform(0, np.pi)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    centre = random.uniform(-0.1, 1.1, 2) * np.array(size)
    return np.asarray((rotation @ outline).T + centre)


def _texture(random: np.random.Generator, height: int, width: int) -> NDArray[np.float32]:
    """Return noise with a 1/f amplitude spectrum: shading and grain, which flat shapes lack."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    frequency[0, 0] = np.inf
    phases = np.exp(2j * np.pi * random.uniform(size=frequency.shape))
    noise = np.fft.irfft2(phases / frequency, s=(height, width))
    noise *= random.uniform(3, 16) / max(float(noise.std()), 1e-9)
    return noise[:, :, None].astype(np.float32)
