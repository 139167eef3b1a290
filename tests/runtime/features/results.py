"""What an extractor returns, as the types that it has for bundles with one tap and with several."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: The taps of the bundle with two.
TAPS = {"stem": (8,), "inner.point": (16,)}


def array(feature: object) -> NDArray[np.float32]:
    """`feature`, which the bundle with one tap gives as an array."""
    assert isinstance(feature, np.ndarray)
    assert feature.dtype == np.float32
    return feature


def by_tap(feature: object) -> dict[str, NDArray[np.float32]]:
    assert isinstance(feature, dict)
    return feature
