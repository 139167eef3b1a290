"""What the stages of an export hand each other: the folder of large files, and the network once it is built."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgefeat._bundle.manifest import Calibration, Tap
from edgefeat._images.form import PictureForm
from edgefeat_export._convert.graph import SavedGraph
from edgefeat_export._images.calibration import CalibrationSet
from edgefeat_export._spec import NetworkSpec

__all__ = ["BuiltNetwork", "NetworkFacts", "Workspace"]


@dataclass(frozen=True, slots=True)
class NetworkFacts:
    """What is known of a network once it is built.

    `labels` has one for each picture that fidelity is measured on, or none; `notes` are for the user.
    """

    backbone: str
    preprocessing: str
    weights_sha256: str
    picture: PictureForm
    taps: tuple[Tap, ...]
    calibration: Calibration
    labels: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Workspace:
    """Paths below `folder`, in which one export does its work."""

    folder: Path

    @property
    def graph_path(self) -> Path:
        """Return the folder of the network's SavedModel."""
        return self.folder / "graph"

    def model(self, variant: str) -> Path:
        """Return where the variant's model file is."""
        return self.folder / f"{variant}.{variant.partition('-')[0]}"

    def write_pictures(self, pictures: CalibrationSet) -> None:
        """Write the pictures to calibrate and check on."""
        np.save(self.folder / "calibrating.npy", pictures.calibrating)
        np.save(self.folder / "checking.npy", pictures.checking)

    @property
    def calibrating(self) -> NDArray[np.uint8]:
        """Return the pictures to calibrate on, mapped into memory."""
        pictures: NDArray[np.uint8] = np.load(self.folder / "calibrating.npy", mmap_mode="r")
        return pictures

    @property
    def checking(self) -> NDArray[np.uint8]:
        """Return the pictures to measure fidelity on, mapped into memory."""
        pictures: NDArray[np.uint8] = np.load(self.folder / "checking.npy", mmap_mode="r")
        return pictures


@dataclass(frozen=True, slots=True)
class BuiltNetwork:
    """The network that was asked for, built; its large files are in `work`."""

    work: Workspace
    spec: NetworkSpec
    facts: NetworkFacts

    @property
    def graph(self) -> SavedGraph:
        """Return the network's SavedModel with its taps."""
        return SavedGraph(self.work.graph_path, tuple(tap.name for tap in self.facts.taps))

    def write_reference(self, features: dict[str, NDArray[np.float32]]) -> None:
        """Write the Keras features of the pictures to check on, by tap."""
        for index, tap in enumerate(self.facts.taps):
            np.save(self.work.folder / f"reference-{index}.npy", features[tap.name])

    def reference(self) -> dict[str, NDArray[np.float32]]:
        """Return the Keras features of the pictures to check on: by tap, float32 (N, *shape)."""
        folder = self.work.folder
        return {tap.name: np.load(folder / f"reference-{index}.npy") for index, tap in enumerate(self.facts.taps)}
