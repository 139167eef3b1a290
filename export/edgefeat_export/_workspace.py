"""The folder in which one export does its work: which file is what, and who writes it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgefeat._bundle.json_records import from_json, to_json
from edgefeat._bundle.manifest import Calibration, Tap
from edgefeat._images.form import PictureForm
from edgefeat_export._convert.graph import SavedGraph
from edgefeat_export._images.calibration import CalibrationSet
from edgefeat_export._spec import NetworkSpec

__all__ = ["NETWORK", "NetworkFacts", "Workspace"]

#: The step that builds the network; every other step is a variant's name.
NETWORK = "network"


@dataclass(frozen=True, slots=True)
class NetworkFacts:
    """What the step `network` found out, for the manifest. `notes` are for the user."""

    backbone: str
    preprocessing: str
    weights_sha256: str
    picture: PictureForm
    taps: tuple[Tap, ...]
    calibration: Calibration
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Workspace:
    """Paths below `folder`, and how what they hold is read and written."""

    folder: Path

    def write_spec(self, spec: NetworkSpec) -> None:
        """Leaves what is to be exported."""
        (self.folder / "spec.json").write_text(json.dumps(to_json(spec)))

    @property
    def spec(self) -> NetworkSpec:
        """What is to be exported."""
        return from_json(NetworkSpec, json.loads((self.folder / "spec.json").read_text()))

    @property
    def calibrating(self) -> NDArray[np.uint8]:
        """The pictures to calibrate on, mapped into memory."""
        pictures: NDArray[np.uint8] = np.load(self.folder / "calibrating.npy", mmap_mode="r")
        return pictures

    @property
    def checking(self) -> NDArray[np.uint8]:
        """The pictures to measure fidelity on, mapped into memory."""
        pictures: NDArray[np.uint8] = np.load(self.folder / "checking.npy", mmap_mode="r")
        return pictures

    @property
    def graph_path(self) -> Path:
        """The network's SavedModel, a folder."""
        return self.folder / "graph"

    def write_pictures(self, pictures: CalibrationSet) -> None:
        """Leaves the pictures to calibrate and check on."""
        np.save(self.folder / "calibrating.npy", pictures.calibrating)
        np.save(self.folder / "checking.npy", pictures.checking)
        (self.folder / "labels.json").write_text(json.dumps(pictures.labels))

    def labels(self) -> NDArray[np.str_]:
        """The labels of `checking`; none where it has none."""
        return np.array(json.loads((self.folder / "labels.json").read_text()), dtype=np.str_)

    def write_facts(self, facts: NetworkFacts, reference: dict[str, NDArray[np.float32]]) -> None:
        """Leaves what the network is and the Keras features of `checking`, by tap."""
        (self.folder / "facts.json").write_text(json.dumps(to_json(facts)))
        for index, tap in enumerate(facts.taps):
            np.save(self.folder / f"reference-{index}.npy", reference[tap.name])

    @property
    def facts(self) -> NetworkFacts:
        """What the step `network` found out."""
        return from_json(NetworkFacts, json.loads((self.folder / "facts.json").read_text()))

    def reference(self) -> dict[str, NDArray[np.float32]]:
        """The Keras features of `checking`: by tap, float32 (N, *shape)."""
        return {tap.name: np.load(self.folder / f"reference-{index}.npy") for index, tap in enumerate(self.facts.taps)}

    @property
    def graph(self) -> SavedGraph:
        """The network's SavedModel with its taps."""
        return SavedGraph(self.graph_path, tuple(tap.name for tap in self.facts.taps))

    def model(self, variant: str) -> Path:
        """Where the variant's model file is."""
        return self.folder / f"{variant}.{variant.partition('-')[0]}"
