"""Contenders in turn, in a new order for each photo: drift affects all alike, and none always follows the same one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from edgefeat_bench._contenders.worker_process import Sample, Worker, WorkerError
from edgefeat_bench._records import Photos, Series
from edgefeat_bench._setup.setup import Features


@dataclass(slots=True)
class Lane:
    """A contender's process, its samples and features by kind of photos, and why it died if it did."""

    worker: Worker
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    features: Features = field(default_factory=dict)
    died: str = ""

    def series(self, photos: Sequence[Photos]) -> tuple[Series, ...]:
        """Return the samples as they are recorded: to a tenth of a microsecond."""
        return tuple(_series(one.name, self.samples.get(one.name, [])) for one in photos)


def check_round(lanes: Sequence[Lane], photos: Sequence[Photos], warm: str, tell: Callable[[str], None]) -> None:
    """Extract every photo once, untimed: it warms the contenders up and gives the features to check."""
    for lane in lanes:
        tell(f"checking {lane.worker.contender.name}")
        try:
            lane.features = {
                one.name: np.stack([lane.worker.call(file, array=one.arrays, warm=warm).feature for file in one.files])
                for one in photos
            }
        except (WorkerError, ValueError) as error:
            lane.died = str(error)
        lane.worker.freeze()


def timed_round(
    lanes: Sequence[Lane], photos: Sequence[Photos], *, warm: str, seed: int, index: int, tell: Callable[[], object]
) -> None:
    """Extract every photo once with every contender. A round in which one dies does not count for it.

    The order is drawn for each photo from `seed`, the round's `index` and the photo's place. Before each photo a
    contender extracts the array `warm`, untimed: others have used the caches meanwhile. All others are stopped.
    """
    taken: list[dict[str, list[Sample]]] = [{} for _ in lanes]
    for row, column in enumerate(photos):
        for number, file in enumerate(column.files):
            for place in np.random.default_rng([seed, index, row, number]).permutation(len(lanes)):
                lane = lanes[place]
                if lane.died:
                    continue
                try:
                    sample = lane.worker.call(file, array=column.arrays, warm=warm)
                    lane.worker.freeze()
                except WorkerError as error:
                    lane.died = str(error)
                    continue
                taken[place].setdefault(column.name, []).append(sample)
            tell()
    for lane, each in zip(lanes, taken, strict=True):
        if not lane.died:
            for name, samples in each.items():
                lane.samples.setdefault(name, []).extend(samples)


def _series(name: str, samples: Sequence[Sample]) -> Series:
    stages = []
    for stage in range(3):
        laps = [sample.laps[stage] for sample in samples]
        stages.append(tuple(round(lap, 7) for lap in laps if lap is not None) if None not in laps else ())
    return Series(name, tuple(round(sample.seconds, 7) for sample in samples), *stages)
