"""How good features are on labelled photos: near to Keras's, the same neighbours, the right labels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgefeat import ArgumentError
from edgefeat._bundle.fidelity import cosines, nearest, overlap
from edgefeat._images.sources.folders import pictures_in
from edgefeat_bench._contenders.registry import REFERENCE, has_own_features
from edgefeat_bench._contenders.worker_process import WorkerError
from edgefeat_bench._records import Contender, Quality, Run
from edgefeat_bench._setup.setup import Setup

_MOST = 2000


def labelled_photos(folder: str) -> tuple[list[str], NDArray[np.str_]]:
    """Return the photos of `folder`, which has a folder for each label, and their labels. Raises ArgumentError."""
    labels = sorted(one for one in Path(folder).iterdir() if one.is_dir()) if Path(folder).is_dir() else []
    found = [(file, label.name) for label in labels for file in pictures_in(str(label))]
    counts = np.unique([label for _, label in found], return_counts=True)[1] if found else np.zeros(0)
    if len(counts) < 2 or counts.min() < 2:
        raise ArgumentError(f"labelled photos {folder!r} (expected: a folder with a folder of photos for each label)")
    chosen = found[:: -(-len(found) // _MOST)]
    return [file for file, _ in chosen], np.array([label for _, label in chosen])


def quality(setup: Setup, run: Run, tell: Callable[[str], None]) -> tuple[Quality, ...]:
    """Return the figures of Keras, then of each contender of `run` whose features are its own."""
    files, labels = labelled_photos(str(setup.settings.labelled))
    if not setup.facts.same_weights:
        tell("quality is not measured: there is no Keras model with the bundle's weights to compare with")
        return ()
    reference = _features(setup, REFERENCE, files, tell)
    found = [_measured("keras float32", REFERENCE, reference, reference, labels)]
    for result in run.results:
        if has_own_features(result.contender) and result.status in ("ok", "wrong"):
            try:
                features = _features(setup, result.contender, files, tell)
            except WorkerError as error:
                tell(f"{result.contender.name}: {error}")
                continue
            found.append(_measured(result.contender.name, result.contender, features, reference, labels))
    return tuple(found)


def _features(setup: Setup, contender: Contender, files: list[str], tell: Callable[[str], None]) -> NDArray[np.float32]:
    tell(f"{len(files)} labelled photos with {contender.name}")
    with setup.worker(contender) as worker:
        return np.stack([worker.call(file).feature for file in files])


def _measured(
    name: str,
    contender: Contender,
    features: NDArray[np.float32],
    reference: NDArray[np.float32],
    labels: NDArray[np.str_],
) -> Quality:
    cosine, count = cosines(features, reference), min(10, len(features) - 1)
    theirs, own = nearest(reference, reference, count), nearest(features, features, count)
    return Quality(
        name=name,
        side=contender.side,
        photos=len(labels),
        classes=len(np.unique(labels)),
        mean_cosine=float(cosine.mean()),
        minimum_cosine=float(cosine.min()),
        overlap=overlap(own, theirs),
        nearest_accuracy=float(np.mean(labels[own[:, 0]] == labels)),
        linear_accuracy=_linear_accuracy(features, labels),
    )


def _linear_accuracy(features: NDArray[np.float32], labels: NDArray[np.str_]) -> float:
    """Return the accuracy of a ridge classifier on standardized features, the mean over up to five folds."""
    from sklearn.linear_model import RidgeClassifierCV
    from sklearn.model_selection import cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    folds = min(5, int(np.unique(labels, return_counts=True)[1].min()))
    probe = make_pipeline(StandardScaler(), RidgeClassifierCV(alphas=np.logspace(0, 5, 6)))
    return float(np.mean(cross_val_score(probe, features, labels, cv=folds)))
