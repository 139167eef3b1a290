"""All that must be there before anything is timed: the bundle, the pictures, the Keras model, what was tuned."""

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
from edgefeat_bench._contenders.kinds import KINDS, REFERENCE, TUNED
from edgefeat_bench._contenders.model_files import Prepared
from edgefeat_bench._contenders.worker_process import Worker
from edgefeat_bench._records import Contender, Photos
from edgefeat_bench._setup.model_folder import prepared_folder
from edgefeat_bench._setup.photos import ARRAYS, columns
from edgefeat_bench._setup.settings import Settings
from edgefeat_bench._setup.tuning import is_tuned, tuned_cache

__all__ = ["Features", "References", "Setup", "references", "set_up"]

#: Features by column of photos, each (P, D).
Features: TypeAlias = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class References:
    """What features are held against, by column of photos, (P, D) each: the bundle's, and those of the Keras model.

    The two are the same unless the model's weights could not be had again. `name` says what the bundle's are.
    """

    name: str
    bundle: Features
    model: Features


@dataclass(frozen=True, slots=True)
class Setup:
    """What a run works with. `photos` have whole paths, `warm` is an array that wakes engines up.

    `environment` lets edgefeat find what was tuned for this run, and `untuned` says why nothing was, if nothing was.
    """

    settings: Settings
    bundle: edgefeat.Bundle
    contenders: tuple[Contender, ...]
    photos: tuple[Photos, ...]
    warm: str
    folder: Path
    facts: Prepared
    environment: Mapping[str, str]
    untuned: str

    def task(self, contender: Contender) -> Task:
        """What the contender's worker is told."""
        return Task(contender, str(self.bundle.path), str(self.folder), self.settings.threads)

    def worker(self, contender: Contender) -> Worker:
        """The contender's process, started. Raises WorkerError where it dies at once."""
        command = self.settings.added.get(contender.name)
        return Worker(self.task(contender), command=command, environment=self.environment)


def set_up(settings: Settings, tell: Callable[[str], None]) -> Setup:
    """Opens, makes and builds what is needed. Raises BundleError, ArgumentError, MissingExtraError."""
    bundle = edgefeat.Bundle.open(settings.bundle)
    contenders = tuple(settings.contenders(bundle))
    photos = columns(settings.photos, settings.sizes, settings.extent.photos, settings.prepared / "photos")
    warm = columns(settings.photos, (ARRAYS,), 1, settings.prepared / "photos")[0].files[0]
    tell("building the Keras model (once for a bundle)")
    kinds = [KINDS[one.kind] for one in contenders if one.kind in KINDS]
    files = tuple(dict.fromkeys(kind.file for kind in kinds if kind.file))
    folder = prepared_folder(
        bundle, settings.prepared, files=files, model=settings.model, calibration=settings.calibration
    )
    cache, untuned = folder / f"cache-{settings.threads}", ""
    if any(one.name == TUNED for one in contenders) and not (settings.resume and is_tuned(bundle, cache)):
        tell(f"tuning for {settings.threads} threads")
        try:
            tuned_cache(bundle, cache, settings.threads)
        except EdgefeatError as error:
            untuned = str(error)
    environment = {"EDGEFEAT_CACHE": str(cache.absolute())}
    return Setup(settings, bundle, contenders, photos, warm, folder, Prepared.read(folder), environment, untuned)


def references(setup: Setup) -> References:
    """The features that all are held against: Keras's, or where they cannot be had those of a float32 variant."""
    model = _features(setup, REFERENCE) if not setup.facts.reason else {}
    if setup.facts.same_weights:
        return References(REFERENCE.name, model, model)
    choice = next(iter(candidates(setup.bundle)))
    name = f"{choice.variant.name} on {choice.engine.name}, every pixel decoded"
    stand_in = Contender(name, "edgefeat-reference", "edgefeat", choice.variant.name, choice.engine.name)
    return References(name, _features(setup, stand_in), model)


def _features(setup: Setup, contender: Contender) -> dict[str, NDArray[np.float32]]:
    with setup.worker(contender) as worker:
        if worker.absent is not None:
            raise EdgefeatError(f"the reference, {contender.name}, cannot be had: {worker.absent}")
        return {
            column.name: np.stack([worker.call(file, array=column.arrays).feature for file in column.files])
            for column in setup.photos
        }
