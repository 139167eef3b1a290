"""How near two sets of features are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgefeat._manifest import Fidelity

__all__ = ["cosines", "measure"]


def cosines(features: NDArray[np.floating], reference: NDArray[np.floating]) -> NDArray[np.float64]:
    """The cosine between each row of `features` and of `reference`, both (N, ...): (N,), float64.

    Two zero rows are equal (1); a zero row is unlike any other (0), and a row that is not finite is unlike all (-1).
    """
    a = features.reshape(len(features), -1).astype(np.float64)
    b = reference.reshape(len(reference), -1).astype(np.float64)
    finite = np.asarray(np.isfinite(a).all(axis=1) & np.isfinite(b).all(axis=1))
    a, b = np.where(finite[:, None], a, 0.0), np.where(finite[:, None], b, 0.0)
    norms = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
    product = norms[0] * norms[1]
    cosine = np.einsum("nd,nd->n", a, b) / np.where(product == 0, 1.0, product)
    both_zero = (norms[0] == 0) & (norms[1] == 0)
    return np.where(finite, np.where(both_zero, 1.0, np.clip(cosine, -1.0, 1.0)), -1.0)


def measure(features: NDArray[np.float32], reference: NDArray[np.float32]) -> Fidelity:
    """The fidelity of a variant's `features` to the Keras `reference`, both (N, *shape), N at least 1."""
    cosine = cosines(features, reference)
    with np.errstate(invalid="ignore"):  # infinity less infinity is NaN, and answered below
        difference = np.abs(features.astype(np.float64) - reference.astype(np.float64)).max()
    return Fidelity(
        pictures=len(features),
        mean_cosine=float(cosine.mean()),
        minimum_cosine=float(cosine.min()),
        maximum_difference=float(difference) if np.isfinite(difference) else float(np.finfo(np.float64).max),
    )
