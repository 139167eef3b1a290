"""Train a support vector machine and a random forest on photos, compare them, and save the better one.

    python examples/sklearn_pipeline.py mobilenet_v2.edgefeat flowers/      # one folder of photos for each label
    python examples/sklearn_pipeline.py mobilenet_v2.edgefeat flowers/ --keep flowers.joblib
    python examples/sklearn_pipeline.py mobilenet_v2.edgefeat flowers/ --tune

Half of each label's photos are for training, the others for testing. `--keep` saves the better pipeline, which goes
from the path of a photo to its label. Any machine that has the bundle can use it, also a Raspberry Pi. Needs the extras
`sklearn` and `litert`: see docs/install.md.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import joblib
import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.svm import SVC

from edgefeat.sklearn import ImageFeatures

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


def labelled(folder: Path, most: int | None) -> tuple[list[str], list[str]]:
    """Return the photos of each label's folder, at most `most` of each, and their labels."""
    photos: list[Path] = []
    for label in sorted(path for path in folder.iterdir() if path.is_dir()):
        photos += sorted(path for path in label.iterdir() if path.suffix.lower() in SUFFIXES)[:most]
    return [str(photo) for photo in photos], [photo.parent.name for photo in photos]


def tuned(pipeline: Pipeline, photos: list[str], labels: list[str]) -> Pipeline:
    """Return the pipeline with the best C by cross-validation.

    `fit` learns nothing from the photos, so their features are extracted once, not for every fold and every candidate.
    """
    features = pipeline[:-1].fit_transform(photos)
    search = GridSearchCV(pipeline[-1], {"C": [0.1, 1, 10, 100]}, cv=3, n_jobs=-1).fit(features, labels)
    print(f"of C, {search.best_params_['C']} does best: {search.best_score_:.3f} in cross-validation")
    return Pipeline([*pipeline.steps[:-1], ("svc", search.best_estimator_)])


def main() -> int:
    """Train, compare and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("photos", type=Path, help="a folder with a folder of photos for each label")
    parser.add_argument("--variant", help="model file to run (default: the fastest known)")
    parser.add_argument("--per-label", type=int, help="photos of each label (default: all)")
    parser.add_argument(
        "--tune", action="store_true", help="choose C of the support vector machine by cross-validation"
    )
    parser.add_argument("--keep", type=Path, help="save the better pipeline here, with joblib")
    parser.add_argument("--seed", type=int, default=0, help="decides which photos train (default: 0)")
    given = parser.parse_args()
    photos, labels = labelled(given.photos, given.per_label) if given.photos.is_dir() else ([], [])
    if len(set(labels)) < 2:
        parser.error(f"{given.photos} has fewer than two folders of photos")

    split = train_test_split(photos, labels, test_size=0.5, stratify=labels, random_state=given.seed)
    train, test, train_labels, test_labels = split
    features = ImageFeatures(given.bundle.absolute(), variant=given.variant)
    machine = make_pipeline(features, SVC(kernel="linear", C=10))
    forest = make_pipeline(features, RandomForestClassifier(300, random_state=given.seed))
    if given.tune:
        machine = tuned(machine, train, train_labels)
    print(f"{len(photos)} photos of {len(set(labels))} labels, half of each to train on")
    scores = {}
    for name, model in (("SVM", machine), ("forest", forest)):
        scores[name] = model.fit(train, train_labels).score(test, test_labels)
        print(f"{name:6} {scores[name]:.3f} of the other half are right")
    if given.keep is not None:
        joblib.dump(machine if scores["SVM"] >= scores["forest"] else forest, given.keep)
        again = joblib.load(given.keep).predict(test[:5])
        print(f"kept in {given.keep}; of five photos it now says: {', '.join(np.asarray(again))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
