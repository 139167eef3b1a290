"""What one run is asked to measure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import edgefeat
from edgefeat import ArgumentError
from edgefeat_bench._contenders.registry import COMMAND, default_contenders
from edgefeat_bench._records import Contender

#: VGA, 2 and 12 megapixels, and images already in memory.
SIZES = ("640x480", "1600x1200", "4000x3000", "array")

#: The calibration that stands for generated images.
SYNTHETIC = "synthetic"


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is measured: photos of each size, rounds, cold starts, photos and rounds of the folder."""

    photos: int
    rounds: int
    starts: int
    bulk_pictures: int
    bulk_rounds: int


#: Some minutes on two cores; and as much as intervals of a few percent take.
SHORT, FULL = Extent(4, 8, 5, 120, 1), Extent(6, 30, 11, 1000, 3)


@dataclass(frozen=True, slots=True)
class Settings:
    """One run. `photos` None means generated photos; `labelled` is a folder with a folder of photos for each label.

    `costs` are axes. `model` and `calibration` are as for `model_folder`. `added` are commands by contender's name.
    """

    bundle: Path
    output: Path
    threads: int
    extent: Extent
    photos: str | None = None
    sizes: tuple[str, ...] = SIZES
    only: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    added: Mapping[str, Sequence[str]] = field(default_factory=dict)
    cold: bool = True
    bulk: bool = True
    peaks: bool = True
    costs: Sequence[str] = ()
    labelled: str | None = None
    model: str = ""
    calibration: str = SYNTHETIC
    seed: int = 0
    right_cosine: float = 0.95
    resume: bool = False

    @property
    def prepared(self) -> Path:
        """The folder of what later runs can use again."""
        return self.output / "prepared"

    def contenders(self, bundle: edgefeat.Bundle) -> list[Contender]:
        """Return the chosen contenders. Raises ArgumentError for a name, or part of one, that matches none."""
        found = default_contenders(bundle)
        if taken := [name for name in self.added if name in {one.name for one in found}]:
            raise ArgumentError(f"--add {taken[0]!r} is a contender already (expected: another name)")
        found += [Contender(name, COMMAND, "peer") for name in self.added]
        for part in (*self.only, *self.without):
            if not any(part in one.name for one in found):
                names = ", ".join(one.name for one in found)
                raise ArgumentError(f"no contender matches {part!r} (allowed: a part of one of: {names})")
        chosen = [one for one in found if not self.only or any(part in one.name for part in self.only)]
        chosen = [one for one in chosen if not any(part in one.name for part in self.without)]
        if not chosen:
            raise ArgumentError("--only and --without leave no contender")
        return chosen
