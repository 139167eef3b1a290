"""Measure each variant with the device runtime and compare it with the Keras features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from edgefeat._bundle.fidelity import measure, nearest
from edgefeat._bundle.golden import GOLDEN_PICTURES
from edgefeat._bundle.manifest import Accuracy, Fidelity, Integers, Tap
from edgefeat._engines.engine import Engine, Session, run
from edgefeat._engines.registry import engine_named
from edgefeat._engines.selection import default_threads
from edgefeat._images.frames.form import FrameForm
from edgefeat._images.frames.pixels import frame_of
from edgefeat_export._measure.intervals import Intervals, intervals
from edgefeat_export._workspace import BuiltNetwork

__all__ = ["ENGINES", "Made", "Measured", "measure_frame", "measure_variant"]

#: The engine that measures each format.
ENGINES = {"tflite": "litert", "onnx": "onnxruntime"}


@dataclass(frozen=True, slots=True)
class Measured:
    """A variant's features of the checking images by tap, (N, *shape) float32, and their fidelity to Keras.

    `intervals` are those of the fidelity, by tap; empty for camera frames.
    """

    engine: Engine
    features: dict[str, NDArray[np.float32]]
    fidelity: dict[str, Fidelity]
    intervals: dict[str, Intervals] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Made:
    """A variant whose file is in the workspace, its figures, and how its int8 was corrected."""

    variant: str
    measured: Measured
    correction: tuple[str, ...] = ()
    float_operations: tuple[str, ...] = ()
    frame: FrameForm | None = None
    integers: Integers | None = None


def measure_variant(network: BuiltNetwork, variant: str, integers: Integers | None = None) -> Measured:
    """Return the device runtime's features of the checking images; `integers` are those of a variant without floats.

    Raises EngineError if the engine cannot run the file.
    """
    engine = engine_named(ENGINES[variant.partition("-")[0]])
    work, taps = network.work, network.facts.taps
    reference = network.reference()
    labels = np.array(network.facts.labels, dtype=np.str_)
    session = engine.open(work.model(variant).read_bytes(), taps, default_threads(), integers)
    features = _features(session, work.checking, taps)
    found = {tap: _measured(features[tap], reference[tap], labels) for tap in reference}
    fidelity = {tap: figures for tap, (figures, _) in found.items()}
    return Measured(engine, features, fidelity, {tap: spread for tap, (_, spread) in found.items()})


def measure_frame(network: BuiltNetwork, variant: str, frame: FrameForm, integers: Integers | None = None) -> Measured:
    """Return the features of the golden frames, made from the images in `checking`, and the fidelity of camera frames.

    The reference of a camera frame is the Keras feature of the frame converted, turned and resized without the file.
    `integers` are those of a variant without floats. Raises EngineError if the engine cannot run the file.
    """
    engine = engine_named(ENGINES[variant.partition("-")[0]])
    work, taps = network.work, network.facts.taps
    reference = network.reference(frame.name)
    session = engine.open(work.model(variant).read_bytes(), taps, default_threads(), integers)
    found = _features(session, work.frames(frame.name), taps)
    golden = np.stack([frame_of(picture, frame) for picture in work.checking[:GOLDEN_PICTURES]])
    fidelity = {tap: measure(found[tap], reference[tap]) for tap in reference}
    return Measured(engine, _features(session, golden, taps), fidelity)


def _features(session: Session, inputs: NDArray[np.uint8], taps: Sequence[Tap]) -> dict[str, NDArray[np.float32]]:
    rows = [run(session, one[np.newaxis], taps) for one in inputs]
    return {tap.name: np.concatenate([row[index] for row in rows]) for index, tap in enumerate(taps)}


def _measured(
    features: NDArray[np.float32], reference: NDArray[np.float32], labels: NDArray[np.str_]
) -> tuple[Fidelity, Intervals]:
    fidelity = measure(features, reference)
    if not len(labels) or not np.isfinite(features).all():
        return fidelity, intervals(features, reference)
    near, near_keras = _nearest_right(features, labels), _nearest_right(reference, labels)
    line, line_keras = _linear_right(features, labels), _linear_right(reference, labels)
    accuracy = Accuracy(
        labels=len(np.unique(labels)),
        nearest=float(near.mean()),
        nearest_keras=float(near_keras.mean()),
        linear=None if line is None else float(line.mean()),
        linear_keras=None if line_keras is None else float(line_keras.mean()),
    )
    linear = None if line is None or line_keras is None else line - line_keras
    return replace(fidelity, accuracy=accuracy), intervals(features, reference, near - near_keras, linear)


def _nearest_right(features: NDArray[np.float32], labels: NDArray[np.str_]) -> NDArray[np.float64]:
    """Return 1 for each image whose nearest other image has its label, else 0."""
    return np.asarray(labels[nearest(features, features, 1)[:, 0]] == labels, np.float64)


def _linear_right(features: NDArray[np.float32], labels: NDArray[np.str_]) -> NDArray[np.float64] | None:
    """Return 1 for each image whose label a ridge classifier on standardized features finds, else 0.

    The classifier is fitted on the other four of five folds, or fewer if the rarest label has fewer images; None if
    that is too few.
    """
    from sklearn.linear_model import RidgeClassifierCV  # importing takes a second, which `edgefeat --help` must not
    from sklearn.model_selection import cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    folds = min(5, int(np.unique(labels, return_counts=True)[1].min()))
    if folds < 2:
        return None
    probe = make_pipeline(StandardScaler(), RidgeClassifierCV(alphas=np.logspace(0, 5, 6)))
    found = cross_val_predict(probe, features.reshape(len(features), -1), labels, cv=folds)
    return np.asarray(found == labels, np.float64)
