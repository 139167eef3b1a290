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
_ROUND = np.linspace(0, 2 * np.pi, 24)
#: The corners of a circle, (2, 24).
_CIRCLE = np.stack([np.cos(_ROUND), np.sin(_ROUND)])


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
        draw.polygon(corners, fill=_colour(random, palette))
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
    red, green, blue = (mean + root @ random.standard_normal(root.shape[1])).tolist()
    return int(min(max(red, 0), 255)), int(min(max(green, 0), 255)), int(min(max(blue, 0), 255))


def _leaf(random: np.random.Generator, size: tuple[int, int]) -> list[float]:
    """Return x and y of each corner of an ellipse, or of a polygon with few corners, at a random position and angle.

    It is called 200,000 times in an export, so it draws by `random.random`, the fastest of NumPy's distributions.
    """
    low, high = _SMALLEST**-2, _LARGEST**-2
    radius = (low + random.random() * (high - low)) ** -0.5 * max(size)  # density 1/r^3 between the two cut-offs
    if random.random() < 0.5:
        outline = _CIRCLE.copy()
    else:
        angles = np.sort(2 * np.pi * random.random(int(random.integers(3, 7))))
        outline = np.array([np.cos(angles), np.sin(angles)])
    outline[1] *= 0.25 + 0.75 * random.random()
    outline *= radius
    turn = np.pi * random.random()
    cosine, sine = np.cos(turn), np.sin(turn)
    corners = (np.array([[cosine, -sine], [sine, cosine]]) @ outline).T
    corners += ((1.1 + 0.1) * random.random(2) - 0.1) * size
    flat: list[float] = corners.ravel().tolist()
    return flat


def _texture(random: np.random.Generator, height: int, width: int) -> NDArray[np.float32]:
    """Return noise with a 1/f amplitude spectrum: shading and grain, which flat shapes lack."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    frequency[0, 0] = np.inf
    phases = np.exp(2j * np.pi * random.uniform(size=frequency.shape))
    noise = np.fft.irfft2(phases / frequency, s=(height, width))
    noise *= random.uniform(3, 16) / max(float(noise.std()), 1e-9)
    return noise[:, :, None].astype(np.float32)
