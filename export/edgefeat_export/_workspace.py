"""The data that the stages of an export share: the folder of large files, and the facts of the built network."""

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

__all__ = ["BuiltNetwork", "NetworkFacts", "Workspace", "bundle_name"]


@dataclass(frozen=True, slots=True)
class NetworkFacts:
    """The facts of a built network.

    `labels` has one for each image that fidelity is measured on, or is empty; `notes` are for the user.
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
    """Paths below `folder`, the working folder of one export."""

    folder: Path

    @property
    def graph_path(self) -> Path:
        """The folder of the network's SavedModel."""
        return self.folder / "graph"

    def model(self, variant: str) -> Path:
        """Return the path of the variant's model file."""
        return self.folder / f"{variant}.{variant.partition('-')[0]}"

    def rung(self, name: str) -> Path:
        """Return the folder of the files of a rung of the int8 ladder, by its `folder_name`."""
        return self.folder / name

    def stock(self, form: str) -> Path:
        """Return the path of what the stock tools make of the network: "onnx", int8 as a file; "json", the ranges."""
        return self.folder / f"stock.{form}"

    def write_pictures(self, pictures: CalibrationSet) -> None:
        """Write the images to calibrate on and to measure fidelity on."""
        np.save(self.folder / "quantizing.npy", pictures.quantizing)
        np.save(self.folder / "checking.npy", pictures.checking)

    @property
    def quantizing(self) -> NDArray[np.uint8]:
        """The images that calibrate int8, memory-mapped: `CalibrationSet.quantizing`, not its `calibrating`."""
        pictures: NDArray[np.uint8] = np.load(self.folder / "quantizing.npy", mmap_mode="r")
        return pictures

    @property
    def checking(self) -> NDArray[np.uint8]:
        """The images to measure fidelity on, memory-mapped."""
        pictures: NDArray[np.uint8] = np.load(self.folder / "checking.npy", mmap_mode="r")
        return pictures

    def write_frames(self, frame: str, frames: NDArray[np.uint8]) -> None:
        """Write the camera frames to measure fidelity on, for the frame of that name."""
        np.save(self.folder / f"frames-{frame}.npy", frames)

    def frames(self, frame: str) -> NDArray[np.uint8]:
        """Return the camera frames to measure fidelity on, memory-mapped: uint8 (N, *shape)."""
        frames: NDArray[np.uint8] = np.load(self.folder / f"frames-{frame}.npy", mmap_mode="r")
        return frames


@dataclass(frozen=True, slots=True)
class BuiltNetwork:
    """The requested network, built; its large files are in `work`."""

    work: Workspace
    spec: NetworkSpec
    facts: NetworkFacts

    @property
    def graph(self) -> SavedGraph:
        """The network's SavedModel with its taps."""
        return SavedGraph(self.work.graph_path, tuple(tap.name for tap in self.facts.taps))

    def write_reference(self, features: dict[str, NDArray[np.float32]], frame: str = "") -> None:
        """Write the Keras features of the images in `checking`, or of the frames of that name, by tap."""
        for index, tap in enumerate(self.facts.taps):
            np.save(self._reference(index, frame), features[tap.name])

    def reference(self, frame: str = "") -> dict[str, NDArray[np.float32]]:
        """Return the Keras features of the images in `checking`, or of frames: by tap, float32 (N, *shape)."""
        return {tap.name: np.load(self._reference(index, frame)) for index, tap in enumerate(self.facts.taps)}

    def _reference(self, index: int, frame: str) -> Path:
        return self.work.folder / f"reference-{frame}{'-' if frame else ''}{index}.npy"


def bundle_name(network: BuiltNetwork) -> str:
    """Return the bundle's name, such as `mobilenet_v2_0.35_224`."""
    spec, form = network.spec, network.facts.picture
    size = f"{form.height}" if form.height == form.width else f"{form.height}x{form.width}"
    alpha = [f"{spec.alpha:g}"] if spec.alpha is not None else []
    return "_".join([network.facts.backbone, *alpha, *spec.layers, size]).replace("/", ".")
