"""Contenders in turn, A B C then B C A, so that drift hits all alike and no one always follows the same neighbour."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgefeat_bench._contenders.worker_process import Sample, Worker, WorkerError
from edgefeat_bench._records import Photos, Series

__all__ = ["Lane", "check_round", "timed_round"]


@dataclass(slots=True)
class Lane:
    """A contender in the race: its process, its samples by column, and of what it died if it did."""

    worker: Worker
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    features: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    died: str = ""

    def series(self, photos: Sequence[Photos]) -> tuple[Series, ...]:
        """The samples as they are recorded: to a tenth of a microsecond."""
        return tuple(_series(one.name, self.samples.get(one.name, [])) for one in photos)


def check_round(lanes: Sequence[Lane], photos: Sequence[Photos], warm: str, tell: Callable[[str], None]) -> None:
    """Every picture once, not timed: it warms the contenders up and gives the features to check."""
    for lane in lanes:
        tell(f"checking {lane.worker.contender.name}")
        try:
            for column in photos:
                rows = [lane.worker.call(file, array=column.arrays, warm=warm).feature for file in column.files]
                lane.features[column.name] = np.stack(rows)
        except (WorkerError, ValueError) as error:
            lane.died = str(error)
        lane.worker.freeze()


def timed_round(
    lanes: Sequence[Lane], photos: Sequence[Photos], *, warm: str, seed: int, index: int, tell: Callable[[], object]
) -> None:
    """Every picture once through every contender. A round in which one dies is not counted for it.

    The order is drawn for each picture from `seed`, the round's `index` and the picture's place. Before each picture a
    contender takes the array `warm`, not timed: others have had the caches meanwhile. All but the one whose turn it is
    are frozen.
    """
    taken: dict[int, dict[str, list[Sample]]] = {place: {} for place in range(len(lanes))}
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
                taken[int(place)].setdefault(column.name, []).append(sample)
            tell()
    for place, lane in enumerate(lanes):
        if not lane.died:
            for name, samples in taken[place].items():
                lane.samples.setdefault(name, []).extend(samples)


def _series(name: str, samples: Sequence[Sample]) -> Series:
    stages = []
    for stage in range(3):
        laps = [sample.laps[stage] for sample in samples]
        stages.append(tuple(round(lap, 7) for lap in laps if lap is not None) if None not in laps else ())
    return Series(name, tuple(round(sample.seconds, 7) for sample in samples), *stages)
