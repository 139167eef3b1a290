"""Measure each variant with the device runtime and compare it with the Keras features."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgefeat._bundle.fidelity import measure, nearest
from edgefeat._bundle.manifest import Accuracy, Fidelity
from edgefeat._engines.engine import Engine, engine_named, run
from edgefeat._engines.selection import default_threads
from edgefeat_export._workspace import BuiltNetwork

__all__ = ["ENGINES", "Made", "Measured", "measure_variant"]

#: The engine that measures each format.
ENGINES = {"tflite": "litert", "onnx": "onnxruntime"}


@dataclass(frozen=True, slots=True)
class Measured:
    """A variant's features of the checking images by tap, (N, *shape) float32, and their fidelity to Keras."""

    engine: Engine
    features: dict[str, NDArray[np.float32]]
    fidelity: dict[str, Fidelity]


@dataclass(frozen=True, slots=True)
class Made:
    """A variant whose file is in the workspace, its figures, and how its int8 was corrected."""

    variant: str
    measured: Measured
    correction: tuple[str, ...] = ()
    float_operations: tuple[str, ...] = ()


def measure_variant(network: BuiltNetwork, variant: str) -> Measured:
    """Return the device runtime's features of the checking images. Raises EngineError if it cannot run the file."""
    engine = engine_named(ENGINES[variant.partition("-")[0]])
    work, taps = network.work, network.facts.taps
    reference = network.reference()
    labels = np.array(network.facts.labels, dtype=np.str_)
    session = engine.open(work.model(variant).read_bytes(), tuple(reference), default_threads())
    rows = [run(session, picture[np.newaxis], taps) for picture in work.checking]
    features = {tap: np.concatenate([row[index] for row in rows]) for index, tap in enumerate(reference)}
    fidelity = {tap: _measured(features[tap], reference[tap], labels) for tap in reference}
    return Measured(engine, features, fidelity)


def _measured(features: NDArray[np.float32], reference: NDArray[np.float32], labels: NDArray[np.str_]) -> Fidelity:
    fidelity = measure(features, reference)
    if not len(labels) or not np.isfinite(features).all():
        return fidelity
    accuracy = Accuracy(
        labels=len(np.unique(labels)),
        nearest=_nearest_accuracy(features, labels),
        nearest_keras=_nearest_accuracy(reference, labels),
        linear=_linear_accuracy(features, labels),
        linear_keras=_linear_accuracy(reference, labels),
    )
    return replace(fidelity, accuracy=accuracy)


def _nearest_accuracy(features: NDArray[np.float32], labels: NDArray[np.str_]) -> float:
    return float(np.mean(labels[nearest(features, features, 1)[:, 0]] == labels))


def _linear_accuracy(features: NDArray[np.float32], labels: NDArray[np.str_]) -> float | None:
    """Return the accuracy of a ridge classifier on standardized features.

    It is the mean over five folds, or fewer if the rarest label has fewer images; None if that is too few.
    """
    from sklearn.linear_model import RidgeClassifierCV  # importing takes a second, which `edgefeat --help` must not
    from sklearn.model_selection import cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    folds = min(5, int(np.unique(labels, return_counts=True)[1].min()))
    if folds < 2:
        return None
    probe = make_pipeline(StandardScaler(), RidgeClassifierCV(alphas=np.logspace(0, 5, 6)))
    return float(np.mean(cross_val_score(probe, features.reshape(len(features), -1), labels, cv=folds)))
