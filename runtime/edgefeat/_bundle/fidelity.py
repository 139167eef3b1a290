"""How close two sets of features are."""

from __future__ import annotations

import sys

import numpy as np
from numpy.typing import NDArray

from edgefeat._bundle.manifest import Fidelity

__all__ = ["cosines", "measure", "nearest", "overlap"]

_NEIGHBOURS = 10
# The share of all pairs that a user's cosine threshold would accept.
_ALIKE = 0.01


def cosines(features: NDArray[np.floating], reference: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the cosine between the rows of `features` and `reference`, both (N, ...), as (N,) float64.

    Two rows of zeros have cosine 1, a row of zeros and any other 0, and a row that is not finite has cosine -1.
    """
    a, b = _rows(features), _rows(reference)
    finite = np.asarray(np.isfinite(a).all(axis=1) & np.isfinite(b).all(axis=1))
    a, b = np.where(finite[:, None], a, 0.0), np.where(finite[:, None], b, 0.0)
    norms = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
    both_zero = (norms[0] == 0) & (norms[1] == 0)
    cosine = np.einsum("nd,nd->n", _unit(a), _unit(b))
    return np.where(finite, np.where(both_zero, 1.0, np.clip(cosine, -1.0, 1.0)), -1.0)


def nearest(
    queries: NDArray[np.floating], gallery: NDArray[np.floating], count: int = _NEIGHBOURS
) -> NDArray[np.int64]:
    """Return for each row of `queries` the indices of the `count` nearest other rows of `gallery` by cosine: (N,
    count).

    Row i of both is the same image; `count` must be less than N. Among equal cosines the lower index comes first.
    """
    similarity = _unit(_rows(queries)) @ _unit(_rows(gallery)).T
    np.fill_diagonal(similarity, -np.inf)
    return np.asarray(np.argsort(-similarity, axis=1, kind="stable")[:, :count])


def measure(features: NDArray[np.float32], reference: NDArray[np.float32]) -> Fidelity:
    """Return the fidelity of a variant's `features` to the Keras `reference`, both (N, *shape), N at least 1.

    Neighbour figures need more than ten images; with fewer they are None.
    """
    cosine = cosines(features, reference)
    difference = np.abs(features.astype(np.float64) - reference.astype(np.float64)).max()
    enough = len(features) > _NEIGHBOURS and bool(np.isfinite(features).all())
    return Fidelity(
        pictures=len(features),
        mean_cosine=float(cosine.mean()),
        low_cosine=float(np.percentile(cosine, 5)),
        minimum_cosine=float(cosine.min()),
        maximum_difference=float(difference) if np.isfinite(difference) else sys.float_info.max,
        overlap=overlap(nearest(features, features), nearest(reference, reference)) if enough else None,
        mixed_overlap=overlap(nearest(features, reference), nearest(reference, reference)) if enough else None,
        threshold_shift=_threshold(features) - _threshold(reference) if enough else None,
        accuracy=None,
    )


def _rows(features: NDArray[np.floating]) -> NDArray[np.float64]:
    return features.reshape(len(features), -1).astype(np.float64)


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(norms == 0, 1.0, norms))


def overlap(found: NDArray[np.int64], expected: NDArray[np.int64]) -> float:
    """Return the share of each row's neighbours that both have, the mean over the rows (N, neighbours)."""
    shared = [len(np.intersect1d(a, b)) for a, b in zip(found, expected, strict=True)]
    return float(np.mean(shared) / found.shape[1])


def _threshold(features: NDArray[np.float32]) -> float:
    """Return the cosine that the share `_ALIKE` of all pairs exceeds."""
    unit = _unit(_rows(features))
    pairs = (unit @ unit.T)[np.triu_indices(len(unit), 1)]
    return float(np.quantile(pairs, 1 - _ALIKE))
