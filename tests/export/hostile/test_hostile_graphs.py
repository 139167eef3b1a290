"""Graph models of TensorFlow.js that are damaged, or that do more than compute: one clear error each."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the export extra is not installed")

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.export.models.networks.converted_graphs import FOLDER, KERNEL, edit, node, of_one_batch, weight, whole

from edgefeat import ArgumentError, EdgefeatError, ExportError
from edgefeat_export._network.named_trunk import build_trunk


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The files of the graph, to be changed."""
    return shutil.copytree(FOLDER, tmp_path / "net") / "model.json"


def second_input(content: Any) -> None:
    other = node(content, "photo") | {"name": "mask"}
    content["modelTopology"]["node"].append(other)
    node(content, "net/scale/sub")["input"][1] = "mask"


def replaced(name: str, kind: str) -> Callable[[Any], None]:
    """Return a change of a node's operation."""
    return lambda content: node(content, name).update(op=kind)


def fusing(kind: str) -> Callable[[Any], None]:
    """Return a change of what a convolution is fused with, in base64."""
    return lambda content: node(content, "net/first/Relu6")["attr"]["fused_ops"]["list"].update(s=[kind])


ERRORS: list[tuple[str, Callable[[Any], Any]]] = [
    ("its files of weights have 2772 bytes instead of", lambda c: weight(c, KERNEL).update(shape=[3, 3, 3, 7])),
    ("the list of its weights is damaged", lambda c: weight(c, KERNEL).update(shape="x")),
    ("the list of its weights is damaged", lambda c: c.pop("weightsManifest")),
    ("are of type string", lambda c: weight(c, KERNEL).update(dtype="string")),
    (f"it lists no weights for '{KERNEL}'", lambda c: weight(c, KERNEL).update(name="other")),
    ("it lists the weights 'net/first/bias' twice", lambda c: weight(c, KERNEL).update(name="net/first/bias")),
    (
        "the weights 'net/pooled/axes' are float32 (allowed: int32, the type of their operation)",
        lambda c: weight(c, "net/pooled/axes").update(dtype="float32"),
    ),
    ("takes 2 inputs, photo, mask (allowed: one image)", second_input),
    ("takes no input (allowed: one image)", replaced("photo", "Const")),
    ("uses ReadFile (allowed: arithmetic", replaced("net/bent/add", "ReadFile")),
    ("decides or repeats what it computes, by While (allowed", replaced("net/sum/add", "While")),
    ("fuses BiasAdd2, which is not known (allowed: BiasAdd", fusing("Qmlhc0FkZDI=")),
    ("takes 3 tensors, which do not fit what it fuses", fusing("UmVsdQ==")),
    ("its graph has no operation 'nothing'", lambda c: c["signature"]["outputs"]["classes"].update(name="nothing:0")),
    ("cannot be loaded by TensorFlow", lambda c: node(c, "net/sum/add")["input"].pop()),
    ("the description of its graph is damaged", lambda c: node(c, "photo").update(attr=5)),
    ("takes 4 images at once (allowed: 1, or any number)", lambda c: of_one_batch(c, 4)),
]


@pytest.mark.parametrize(("message", "change"), ERRORS, ids=[message for message, _ in ERRORS])
def test_what_is_wrong_with_the_files_is_said(message: str, change: Callable[[Any], Any], copy: Path) -> None:
    with pytest.raises(EdgefeatError) as caught:
        build_trunk(whole(edit(copy, change)))
    said = str(caught.value)
    assert message in said
    assert str(copy) in said
    assert "\n" not in said


def test_a_missing_file_of_weights_is_named(copy: Path) -> None:
    (copy.parent / "group1-shard1of1.bin").unlink()
    with pytest.raises(ExportError, match=r"is incomplete: group1-shard1of1\.bin, with its weights, is missing"):
        build_trunk(whole(copy))


def test_weights_that_are_not_finite_are_refused(copy: Path) -> None:
    weights = copy.parent / "group1-shard1of1.bin"
    weights.write_bytes(weights.read_bytes()[:8] + np.float32(np.nan).tobytes() + weights.read_bytes()[12:])
    with pytest.raises(ExportError, match=f"the weights '{KERNEL}' contain values that are not finite numbers"):
        build_trunk(whole(copy))


def test_options_for_layers_are_refused(copy: Path) -> None:
    with pytest.raises(ArgumentError, match="is used with its saved weights: leave --weights out"):
        build_trunk(whole(copy, weights="other.h5"))
    with pytest.raises(ArgumentError, match="has operations instead of layers: leave --skip-layer out"):
        build_trunk(whole(copy, skipped=("first",)))


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_change_of_the_file_is_loaded_or_one_clear_error(data: st.DataObject, tmp_path_factory: Any) -> None:
    path = shutil.copytree(FOLDER, tmp_path_factory.mktemp("changed") / "net") / "model.json"
    content = json.loads(path.read_text())
    place: Any = content[data.draw(st.sampled_from(["modelTopology", "signature", "weightsManifest"]))]
    while isinstance(place, dict | list) and place:
        parent = place
        key = data.draw(st.sampled_from(sorted(place)) if isinstance(place, dict) else st.integers(0, len(place) - 1))
        place = place[key]
        if data.draw(st.integers(0, 3)) == 0:
            break
    values = st.one_of(st.none(), st.integers(), st.text(max_size=5), st.lists(st.integers(), max_size=3))
    parent[key] = data.draw(values)
    path.write_text(json.dumps(content))
    try:
        build_trunk(whole(path))
        said = ""
    except EdgefeatError as error:
        said = str(error)
    assert "\n" not in said
