"""Hostile and damaged weight files: they are refused, and no code in them is run."""

from __future__ import annotations

import functools
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the export extra is not installed")

import h5py
import keras
from keras import layers
from tests.export.models.networks.weight_files import KINDS, network, same, save_new, spec, write_old

from edgefeat import ArgumentError, ExportError
from edgefeat._bundle.json_records import to_json
from edgefeat_export._models.weight_files import hdf5 as _hdf5
from edgefeat_export._models.weights import load_weights
from edgefeat_export._network.named_trunk import build_trunk


@pytest.fixture
def apart() -> None:
    """List files in a separate process, as outside of these tests."""


def _in_this_process(task: str, path: Path, *names: str) -> Any:
    return to_json(_hdf5._list(path)) if task == "list" else _hdf5._attributes(path, names)


@pytest.fixture(autouse=True)
def _in_one_process(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """List files in this process: a process for each file would take longer than everything else."""
    if "apart" not in request.fixturenames:
        monkeypatch.setattr(_hdf5, "_apart", _in_this_process)


class Canary:
    """An object whose unpickling touches a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (os.mknod, (str(self.path),))


@pytest.mark.parametrize("suffix", ["pt", "pth", "bin", "pkl", "ckpt", "npy", "npz"])
def test_pickles_are_refused_with_the_way_out(suffix: str, tmp_path: Path) -> None:
    file, canary = tmp_path / f"alex.{suffix}", tmp_path / "canary"
    file.write_bytes(pickle.dumps(Canary(canary)))
    with pytest.raises(ArgumentError, match=rf"may be pickled.*save_file.*'alex\.{suffix}'.*'alex\.safetensors'"):
        build_trunk(spec("alexnet", str(file), size=None))
    assert not canary.exists()


@pytest.mark.parametrize("suffix", ["h5", "keras", "safetensors", "hdf5"])
@pytest.mark.parametrize("content", ["pickle", "torch", "text", "empty", "directory"])
def test_other_things_of_that_suffix_are_refused(suffix: str, content: str, tmp_path: Path) -> None:
    file, canary = tmp_path / f"alex.{suffix}", tmp_path / "canary"
    if content == "directory":
        file.mkdir()
    elif content == "torch":
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("archive/data.pkl", pickle.dumps(Canary(canary)))
    else:
        file.write_bytes(
            {"pickle": pickle.dumps(Canary(canary)), "text": b"version https://git", "empty": b""}[content]
        )
    with pytest.raises(
        (ArgumentError, ExportError), match=r"weights .*alex.* (cannot be read: it is|do not exist|are a folder)"
    ):
        build_trunk(spec("alexnet", str(file), size=(63, 63)))
    assert not canary.exists()


def lambda_model(canary: Path) -> keras.Model:
    """`network(1)` with code in it that touches the canary."""
    base = network(1)
    code = eval(f"lambda x: (__import__('pathlib').Path({str(canary)!r}).touch(), x)[1]")  # no closure: it is saved
    return keras.Model(base.inputs, layers.Lambda(code)(base.output))


@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_code_in_a_file_is_never_run(suffix: str, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    source = lambda_model(canary)
    file = tmp_path / f"evil.{suffix}"
    source.save(file)
    canary.unlink(missing_ok=True)
    target = network(2)
    load_weights(target, str(file), None)  # numbers alone
    assert same(target, source)
    with pytest.raises(ExportError, match="whose code is not run"):
        build_trunk(spec(str(file), None, size=None))
    assert not canary.exists()
    keras.saving.load_model(file, safe_mode=False, compile=False)
    assert canary.exists(), "it would have sung"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.999])
def test_a_file_cut_short_is_refused(kind: str, kept: float, tmp_path: Path) -> None:
    name, write = KINDS[kind]
    write(network(1), tmp_path / name)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(ExportError, match=r"weights .* cannot be read: it is not a valid"):
        load_weights(network(2), str(tmp_path / name), None)


def test_a_file_that_never_ends_is_refused(apart: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A heap of names leads to a name of length zero, on which HDF5 loops forever."""
    file = tmp_path / "endless.h5"
    write_old(network(1), file)
    load_weights(network(2), str(file), None)
    data = bytearray(file.read_bytes())
    # Behind the heap's 16 bytes and 8 of the first name's: its length. Now the next is among zeros.
    length = data.index(b"GCOL") + 24
    data[length : length + 2] = (3584).to_bytes(2, "little")
    file.write_bytes(data)
    monkeypatch.setattr(_hdf5, "_DEADLINE", 3.0)
    with pytest.raises(ExportError, match="HDF5 did not finish reading it in 3 s"):
        load_weights(network(2), str(file), None)


def hostile(path: Path, change: Callable[[h5py.Group], None]) -> None:
    """Write an old-style file and apply `change` to the emptied group of the arrays of `conv3`."""
    write_old(network(1), path)
    with h5py.File(path, "r+") as file:
        del file["conv3/conv3/kernel:0"]
        change(file["conv3/conv3"])


def test_links_to_other_files_are_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret.h5"
    shape = (3, 3, 8, 16)
    with h5py.File(secret, "w") as file:
        file["kernel"] = np.zeros(shape, np.float32)

    def external_link(group: h5py.Group) -> None:
        group["kernel:0"] = h5py.ExternalLink(str(secret), "kernel")

    def soft_link(group: h5py.Group) -> None:
        group["kernel:0"] = h5py.SoftLink("/conv1/conv1/kernel:0")

    def external_data(group: h5py.Group) -> None:
        group.create_dataset("kernel:0", shape, np.float32, external=[(str(secret), 0, h5py.h5f.UNLIMITED)])

    def virtual(group: h5py.Group) -> None:
        layout = h5py.VirtualLayout(shape, np.float32)
        layout[:] = h5py.VirtualSource(str(secret), "kernel", shape)
        group.create_virtual_dataset("kernel:0", layout)

    for change, message in {
        external_link: "is a link",
        soft_link: "is a link",
        external_data: "from another file",
        virtual: "from another file",
    }.items():
        hostile(tmp_path / "evil.h5", change)
        with pytest.raises(ExportError, match=message):
            load_weights(network(2), str(tmp_path / "evil.h5"), None)


def test_a_group_by_a_link_is_refused(tmp_path: Path) -> None:
    secret, file = tmp_path / "secret.h5", tmp_path / "evil.weights.h5"
    save_new(network(1), tmp_path / "secret.weights.h5")
    write_old(network(1), secret)
    with h5py.File(file, "w") as evil:
        evil["layers"] = h5py.ExternalLink("secret.weights.h5", "layers")
    with pytest.raises(ExportError, match="'layers' is a link"):
        load_weights(network(2), str(file), None)
    with h5py.File(file, "w") as evil:
        evil["model_weights"] = h5py.ExternalLink("secret.h5", "/")
    with pytest.raises(ExportError, match="'model_weights' is a link"):
        load_weights(network(2), str(file), None)


def test_bombs_are_refused_unread(tmp_path: Path) -> None:
    bomb, zipped = tmp_path / "bomb.h5", tmp_path / "bomb.keras"
    hostile(bomb, lambda group: group.create_dataset("kernel:0", (1 << 14, 1 << 14, 1 << 10), "f4", chunks=True))
    with pytest.raises(ArgumentError, match=r"'conv3' has \(3, 3, 8, 16\), .* \(16384, 16384, 1024\)"):
        load_weights(network(2), str(bomb), None)
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", json.dumps({}))
        archive.writestr("model.weights.h5", bytes(1 << 26))
    with pytest.raises(ExportError, match=f"declares {1 << 26} bytes"):
        load_weights(network(2), str(zipped), None)


def test_values_that_are_not_finite_numbers_are_refused(tmp_path: Path) -> None:
    shape = (3, 3, 8, 16)
    for values, message in (
        (np.full(shape, np.inf, np.float32), "not finite"),
        (np.full(shape, b"x"), "allowed: real numbers"),
        (np.zeros(shape, np.complex64), "allowed: real numbers"),
    ):
        hostile(tmp_path / "odd.h5", functools.partial(h5py.Group.create_dataset, name="kernel:0", data=values))
        with pytest.raises(ExportError, match=message):
            load_weights(network(2), str(tmp_path / "odd.h5"), None)


def test_a_listed_array_that_is_missing_is_refused(tmp_path: Path) -> None:
    hostile(tmp_path / "lacking.h5", lambda group: None)
    with pytest.raises(ExportError, match="lacks 'conv3/conv3/kernel:0', which it lists"):
        load_weights(network(2), str(tmp_path / "lacking.h5"), None)
    with h5py.File(tmp_path / "odd.h5", "w") as file:
        file.attrs["layer_names"] = [b"conv\xfd"]
        file.create_group(b"conv\xfd")
    with pytest.raises(ExportError, match="it is not a valid HDF5 file: 'utf-8' codec"):
        load_weights(network(2), str(tmp_path / "odd.h5"), None)
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["data"] = np.zeros(3)
    with pytest.raises(ExportError, match="contains no weights of a Keras model"):
        load_weights(network(2), str(tmp_path / "foreign.h5"), None)
