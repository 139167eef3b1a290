"""What must exist before anything is timed: bundle, photos, Keras model, tuned choice, reference features."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

import edgefeat
from edgefeat import EdgefeatError
from edgefeat._engines.selection import candidates
from edgefeat_bench._contenders.interface import Task
from edgefeat_bench._contenders.model_files import ModelFacts
from edgefeat_bench._contenders.registry import KINDS, REFERENCE, TUNED_NAME
from edgefeat_bench._contenders.worker_process import Worker
from edgefeat_bench._records import Contender, Photos
from edgefeat_bench._setup.model_folder import model_folder
from edgefeat_bench._setup.photos import ARRAYS, photos_of_sizes
from edgefeat_bench._setup.settings import Settings
from edgefeat_bench._setup.tuning import is_tuned, tune

#: Features by kind of photos, each (P, D).
Features: TypeAlias = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class References:
    """What features are compared with: those of the bundle and those of the Keras model.

    The two are the same unless the Keras model could not get the bundle's weights. `name` says what the bundle's are.
    """

    name: str
    bundle: Features
    model: Features


@dataclass(frozen=True, slots=True)
class Setup:
    """What a run works with. `photos` have full paths, `warm` is an array to warm engines up.

    `environment` lets edgefeat find what was tuned for this run; `untuned` says why nothing was, if nothing was.
    """

    settings: Settings
    bundle: edgefeat.Bundle
    contenders: tuple[Contender, ...]
    photos: tuple[Photos, ...]
    warm: str
    folder: Path
    facts: ModelFacts
    environment: Mapping[str, str]
    untuned: str

    def worker(self, contender: Contender) -> Worker:
        """Start the contender's process. Raises WorkerError if it dies at once."""
        task = Task(contender, str(self.bundle.path), str(self.folder), self.settings.threads)
        return Worker(task, command=self.settings.added.get(contender.name), environment=self.environment)


def set_up(settings: Settings, tell: Callable[[str], None]) -> Setup:
    """Open, make and build what is needed. Raises BundleError, ArgumentError, MissingExtraError."""
    bundle = edgefeat.Bundle.open(settings.bundle)
    contenders, folder = tuple(settings.contenders(bundle)), settings.prepared / "photos"
    photos = photos_of_sizes(settings.photos, settings.sizes, settings.extent.photos, folder)
    warm = photos_of_sizes(settings.photos, (ARRAYS,), 1, folder)[0].files[0]
    tell("building the Keras model (once for each bundle)")
    kinds = [KINDS[one.kind] for one in contenders if one.kind in KINDS]
    files = tuple(dict.fromkeys(kind.file for kind in kinds if kind.file))
    given = {"model": settings.model, "calibration": settings.calibration}
    models = model_folder(bundle, settings.prepared, files=files, **given)
    cache, untuned = models / f"cache-{settings.threads}", ""
    if any(one.name == TUNED_NAME for one in contenders) and not (settings.resume and is_tuned(bundle, cache)):
        tell(f"tuning for {settings.threads} threads")
        try:
            tune(bundle, cache, settings.threads)
        except EdgefeatError as error:
            untuned = str(error)
    environment = {"EDGEFEAT_CACHE": str(cache.absolute())}
    return Setup(settings, bundle, contenders, photos, warm, models, ModelFacts.read(models), environment, untuned)


def references(setup: Setup) -> References:
    """Return the features to compare with: Keras's, or those of a float32 variant if there is no Keras model."""
    model = _features(setup, REFERENCE) if not setup.facts.reason else {}
    if setup.facts.same_weights:
        return References(REFERENCE.name, model, model)
    choice = next(iter(candidates(setup.bundle)))
    name = f"{choice.variant.name} on {choice.engine.name}, every pixel decoded"
    stand_in = Contender(name, "edgefeat-reference", "edgefeat", choice.variant.name, choice.engine.name)
    return References(name, _features(setup, stand_in), model)


def _features(setup: Setup, contender: Contender) -> Features:
    with setup.worker(contender) as worker:
        if worker.absent is not None:
            raise EdgefeatError(f"the reference, {contender.name}, cannot run: {worker.absent}")
        return {
            photos.name: np.stack([worker.call(file, array=photos.arrays).feature for file in photos.files])
            for photos in setup.photos
        }
