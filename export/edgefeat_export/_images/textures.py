"""Make textures for generated images: noise of many kinds, and stripes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["grain", "textures"]

_COUNT = 6
_STRIPES = 0.3  # the share of stripes among textures

Floats = NDArray[np.float32]


def textures(random: np.random.Generator, height: int, width: int) -> Floats:
    """Return a few textures (N, height, width) with mean 0 and a standard deviation around 1."""
    return np.stack(
        [
            _stripes(random, height, width) if random.random() < _STRIPES else _fibres(random, height, width)
            for _ in range(_COUNT)
        ]
    )


def grain(random: np.random.Generator, height: int, width: int) -> Floats:
    """Return noise with a 1/f amplitude spectrum, as natural images have: (height, width), standard deviation 1."""
    return _noise(random, height, width, 1.0, (1.0, 0.0, 0.0, 1.0))


def _fibres(random: np.random.Generator, height: int, width: int) -> Floats:
    """Return noise that is finer or coarser than an image's, and stretched along a random direction."""
    power, stretch, turn = random.uniform(0.3, 1.6), np.exp(random.uniform(0, 1)), np.pi * random.random()
    cosine, sine = np.cos(turn), np.sin(turn)
    axes = (cosine * stretch, sine * stretch, -sine / stretch, cosine / stretch)
    return _noise(random, height, width, power, axes)


def _stripes(random: np.random.Generator, height: int, width: int) -> Floats:
    """Return bent stripes, soft or hard, or where two directions cross, checks."""
    y, x = np.indices((height, width), np.float32, sparse=True)
    period = np.exp(random.uniform(np.log(3), np.log(max(height, width, 18) / 6)))
    turn = np.pi * random.random()
    cosine, sine = np.cos(turn) * 2 * np.pi / period, np.sin(turn) * 2 * np.pi / period
    bent = random.uniform(0, 3) * _noise(random, height, width, 2.0, (1.0, 0.0, 0.0, 1.0))
    wave = np.sin(cosine * x + sine * y + bent)
    if random.random() < 0.5:
        ratio = random.uniform(0.5, 2)
        wave *= 1.4 * np.sin((cosine * y - sine * x) / ratio)
    if random.random() < 0.5:
        wave = np.tanh(3 * wave)
    return np.asarray(wave, np.float32)


def _noise(
    random: np.random.Generator, height: int, width: int, power: float, axes: tuple[float, float, float, float]
) -> Floats:
    """Return noise with a 1/f^power amplitude spectrum, standard deviation 1, where `axes` transforms frequencies."""
    y, x = (np.fft.fftfreq(height) * height)[:, np.newaxis], np.fft.rfftfreq(width) * width
    frequency = np.hypot(axes[0] * x + axes[1] * y, axes[2] * x + axes[3] * y)
    frequency[0, 0] = np.inf
    phases = np.exp(2j * np.pi * random.random(frequency.shape))
    noise = np.fft.irfft2(phases / np.maximum(frequency, 1) ** power, s=(height, width))
    return (noise / max(float(noise.std()), 1e-9)).astype(np.float32)
