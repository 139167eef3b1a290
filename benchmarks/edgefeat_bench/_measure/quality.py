"""How good features are on labelled photos: near to Keras's, the same neighbours, the right labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgefeat import ArgumentError, PictureError
from edgefeat._bundle.fidelity import cosines, nearest, overlap
from edgefeat._images.form import PictureForm
from edgefeat._images.picture import read_picture
from edgefeat._images.sources.folders import pictures_in
from edgefeat_bench._contenders.registry import REFERENCE, has_own_features
from edgefeat_bench._contenders.worker_process import WorkerError
from edgefeat_bench._records import Contender, Quality, Run
from edgefeat_bench._setup.setup import Setup

_MOST = 2000
# Photos of a label, for a neighbour and for cross-validation.
_LEAST = 2


def labelled_photos(folder: str) -> tuple[list[str], NDArray[np.str_]]:
    """Return the photos of `folder`, which has a folder for each label, and their labels. Raises ArgumentError."""
    labels = sorted(one for one in Path(folder).iterdir() if one.is_dir()) if Path(folder).is_dir() else []
    found = {label.name: list(pictures_in(str(label))) for label in labels}
    found = {label: files for label, files in found.items() if files}
    if len(found) < 2 or min(map(len, found.values())) < _LEAST:
        raise ArgumentError(f"labelled photos {folder!r} (expected: a folder with a folder of photos for each label)")
    step = -(-sum(map(len, found.values())) // _MOST)
    chosen = {label: files[::step] if len(files) >= _LEAST * step else files[:_LEAST] for label, files in found.items()}
    every = [(file, label) for label, files in chosen.items() for file in files]
    return [file for file, _ in every], np.array([label for _, label in every])


def _readable(files: list[str], labels: NDArray[np.str_], tell: Callable[[str], None]) -> NDArray[np.intp]:
    """Return the places of the photos that can be read, of labels that then still have enough."""
    form, places = PictureForm(32, 32), []
    for place, file in enumerate(files):
        try:
            read_picture(file, form)
        except PictureError as error:
            tell(f"{file}: {error}")
        else:
            places.append(place)
    counts = Counter(labels[places].tolist())
    return np.array([place for place in places if counts[labels[place]] >= _LEAST], np.intp)


def quality(setup: Setup, run: Run, tell: Callable[[str], None]) -> tuple[Quality, ...]:
    """Return the figures of Keras, then of each contender of `run` whose features are its own."""
    files, labels = labelled_photos(str(setup.settings.labelled))
    if not setup.facts.same_weights:
        tell("quality is not measured: there is no Keras model with the bundle's weights to compare with")
        return ()
    kept = _readable(files, labels, tell)
    files, labels = [files[place] for place in kept], labels[kept]
    if len(set(labels.tolist())) < 2:
        tell("quality is not measured: fewer than two labels have photos that can be read")
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
