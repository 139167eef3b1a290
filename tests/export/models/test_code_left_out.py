"""A model with layers whose code is not run: the rest is loaded with its own weights, and can be cut and listed."""

from __future__ import annotations

import copy
import json
import re
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the export extra is not installed")

import h5py
import keras
import tf_keras
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.export.models.networks.code_models import (
    LIBRARIES,
    branches,
    chain,
    nested,
    pair,
    saved,
    scaled,
    scaled_first,
    steering,
)
from tests.export.models.networks.keras2_models import SIDE, close, outputs, pictures, randomized, spec_of

from edgefeat import ArgumentError, ExportError
from edgefeat_export._models.saved.code.config import refused_by_keras2, refused_by_keras3
from edgefeat_export._models.saved.code.leaving_out import without_code
from edgefeat_export._models.saved.recognition import saved_model
from edgefeat_export._network.layers import list_layers
from edgefeat_export._network.named_trunk import build_trunk


@pytest.fixture(autouse=True)
def seed() -> None:
    for library in LIBRARIES.values():
        library.utils.set_random_seed(5)
        library.backend.clear_session()


everywhere = pytest.mark.parametrize("suffix", [".keras", ".h5"])
both = pytest.mark.parametrize("library", LIBRARIES.values(), ids=LIBRARIES)


@both
@everywhere
@pytest.mark.parametrize(
    ("make", "layer"),
    [
        (branches, "first"),
        (branches, "kept"),
        (branches, "side"),
        (nested, "first"),
        (nested, "inner/point"),
        (pair, "encoder"),
        (chain, "second"),
    ],
)
def test_a_cut_before_code_is_that_of_keras(
    make: Callable[[Any], Any], layer: str, library: Any, suffix: str, tmp_path: Path
) -> None:
    model, path = saved(library, make, suffix, tmp_path)
    photos: Any = pictures().astype(np.float32)
    if layer == "encoder":
        expected = model.get_layer("encoder").predict(photos, verbose=0)
    else:
        own = model
        for name in layer.split("/")[:-1]:
            photos, own = library.Model(model.inputs, model.get_layer("first").output)(photos), own.get_layer(name)
        expected = np.asarray(library.Model(own.inputs, own.get_layer(layer.split("/")[-1]).output)(photos))
    close(outputs(spec_of(path, layers=(layer,), preprocess="raw"), pictures()), expected)


@both
@everywhere
@pytest.mark.parametrize(
    ("make", "reason", "where"),
    [
        (branches, "a custom layer 'own' (class Scaled)", "--layer kept"),
        (nested, "a custom layer 'own' (class Scaled)", "--layer inner/point"),
        (chain, "a Lambda layer 'twice' (class Lambda)", "--layer second"),
    ],
)
def test_the_error_says_where_to_cut(
    make: Callable[[Any], Any], reason: str, where: str, library: Any, suffix: str, tmp_path: Path
) -> None:
    _, path = saved(library, make, suffix, tmp_path)
    said = f"model {path} contains {reason}, whose code is not run: replace it with a Keras layer, or cut before it: "
    with pytest.raises(ExportError, match=f"{re.escape(said + where)}$"):
        build_trunk(spec_of(path, preprocess="raw"))


@both
@everywhere
def test_layers_that_depend_on_code_are_not_listed(library: Any, suffix: str, tmp_path: Path) -> None:
    _, path = saved(library, branches, suffix, tmp_path)
    listed = list_layers(spec_of(path))
    assert {layer.name for layer in listed.layers} == {"photo", "first", "side", "sum", "kept"}
    assert listed.left_out == (
        "contains a custom layer 'own' (class Scaled), whose code is not run",
        "contains a custom layer 'halves' (class Halved), whose code is not run",
    )


@both
@everywhere
@pytest.mark.parametrize("make", [steering, scaled_first])
def test_a_layer_that_scales_pixels_can_be_skipped(
    make: Callable[[Any], Any], library: Any, suffix: str, tmp_path: Path
) -> None:
    model, path = saved(library, make, suffix, tmp_path)
    with pytest.raises(ExportError, match=r"leave it out.* --skip-layer scale --preprocess unit$"):
        build_trunk(spec_of(path, preprocess="tf"))
    spec = spec_of(path, preprocess="tf", skipped=("scale",))
    close(outputs(spec, pictures()), model.predict(pictures().astype(np.float32), verbose=0))
    assert build_trunk(spec).notes == ("layer 'scale' is left out, as requested: its input passes unchanged",)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path to every part of a description."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(one for key, item in inside for one in places(item, (*path, key)))]


@pytest.fixture(scope="module", params=LIBRARIES.values(), ids=list(LIBRARIES))
def described(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """The description of a model with code, and the function that finds it."""
    _, path = saved(request.param, branches, ".keras", tmp_path_factory.mktemp("described"))
    return saved_model(path).config, refused_by_keras3 if request.param is keras else refused_by_keras2


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_damaged_description_ends_nothing(described: tuple[Any, Any], data: st.DataObject) -> None:
    config, refused = copy.deepcopy(described[0]), described[1]
    *way, last = data.draw(st.sampled_from([place for place in places(config) if place]))
    part = config
    for key in way:
        part = part[key]
    part[last] = data.draw(
        st.sampled_from([None, 0, -1, 1e9, True, "own", [], {}, [None], [["own", 0, 0]], {"class_name": "Lambda"}])
    )
    partial = without_code(config, refused, ())
    json.dumps(partial.config)
    assert partial.out >= set(partial.code)


@both
@everywhere
def test_a_skipped_layer_may_have_weights(library: Any, suffix: str, tmp_path: Path) -> None:
    photo = library.Input((SIDE, SIDE, 3))
    own = scaled(library)(name="own")(library.layers.Conv2D(4, 3, name="first")(photo))
    model, path = saved(
        library, lambda library: library.Model(photo, library.layers.Conv2D(4, 3)(own)), suffix, tmp_path
    )
    model.get_layer("own").set_weights([np.ones(4)])
    expected = model.predict(pictures().astype(np.float32), verbose=0)
    close(outputs(spec_of(path, preprocess="raw", skipped=("own",)), pictures()), expected)


def test_a_layer_of_several_tensors_cannot_be_skipped(tmp_path: Path) -> None:
    _, path = saved(keras, branches, ".keras", tmp_path)
    with pytest.raises(ArgumentError, match="layer 'halves' cannot be skipped: it takes or gives several tensors"):
        build_trunk(spec_of(path, preprocess="raw", skipped=("own", "halves")))


@both
def test_only_code_can_be_skipped(library: Any, tmp_path: Path) -> None:
    _, path = saved(library, steering, ".h5", tmp_path)
    with pytest.raises(ArgumentError, match=r"layer 'first' cannot be skipped \(allowed: .*run: scale\)"):
        build_trunk(spec_of(path, preprocess="tf", skipped=("first",)))


def test_a_layer_that_changes_the_shape_cannot_be_skipped(tmp_path: Path) -> None:
    photo = keras.Input((SIDE, SIDE, 3))
    half = keras.layers.Lambda(lambda x: x[:, ::2, ::2], name="half", output_shape=(SIDE // 2, SIDE // 2, 3))(photo)
    keras.Model(photo, keras.layers.Dense(3)(keras.layers.Flatten()(half))).save(tmp_path / "net.keras")
    with pytest.raises(
        ExportError, match=r"net\.keras cannot be loaded by .*without half: .* keeps the shape"
    ) as caught:
        build_trunk(spec_of(tmp_path / "net.keras", preprocess="raw", skipped=("half",)))
    assert "edgefeat-" not in str(caught.value)


def test_a_folder_with_code_is_exported_whole_from_its_graph(tmp_path: Path) -> None:
    model = randomized(chain(tf_keras))
    model.save(tmp_path / "net")
    close(
        outputs(spec_of(tmp_path / "net", preprocess="raw"), pictures()),
        model.predict(pictures().astype(np.float32), verbose=0),
    )


@pytest.mark.parametrize(("make", "layer"), [(chain, "second"), (branches, "kept"), (nested, "inner/point")])
def test_a_folder_with_code_can_be_cut_before_it(make: Callable[[Any], Any], layer: str, tmp_path: Path) -> None:
    model, path = saved(tf_keras, make, "", tmp_path)
    listed = list_layers(replace(spec_of(path), weights="random"))
    assert layer in {one.name for one in listed.layers}
    assert listed.left_out
    cut = tf_keras.Model(model.inputs, model.get_layer(layer).output) if "/" not in layer else None
    if cut is None:
        inner = model.get_layer("inner")
        within = tf_keras.Model(inner.inputs, inner.get_layer("point").output)
        cut = tf_keras.Model(model.inputs, within(model.get_layer("first").output))
    close(
        outputs(spec_of(path, preprocess="raw", layers=(layer,)), pictures()),
        cut.predict(pictures().astype(np.float32), verbose=0),
    )


@pytest.mark.parametrize("make", [steering, scaled_first])
def test_a_layer_of_a_folder_that_scales_pixels_can_be_skipped(make: Callable[[Any], Any], tmp_path: Path) -> None:
    model, path = saved(tf_keras, make, "", tmp_path)
    spec = spec_of(path, preprocess="tf", skipped=("scale",))
    close(outputs(spec, pictures()), model.predict(pictures().astype(np.float32), verbose=0))


@both
def test_a_layer_whose_class_keras_has_too_cannot_be_skipped(library: Any, tmp_path: Path) -> None:
    class Dense(library.layers.Layer):  # type: ignore[misc]  # keras has no types
        def build(self, shape: Any) -> None:
            self.kernel = self.add_weight(name="kernel", shape=(shape[-1], shape[-1]))
            self.bias = self.add_weight(name="bias", shape=(shape[-1],))
            self.built = True

        def call(self, x: Any) -> Any:
            return x @ self.kernel + self.bias

    library.saving.register_keras_serializable("mine")(Dense)
    photo = library.Input((SIDE, SIDE, 3))
    library.Model(photo, library.layers.Dense(3, name="true")(Dense(name="own")(photo))).save(tmp_path / "net.keras")
    library.saving.get_custom_objects().clear()
    with pytest.raises(ArgumentError, match="layer 'own' cannot be skipped: Keras has a class Dense, too"):
        build_trunk(spec_of(tmp_path / "net.keras", preprocess="raw", skipped=("own",)))


@both
def test_a_file_that_expands_is_not_copied(library: Any, tmp_path: Path) -> None:
    _, path = saved(library, chain, ".keras", tmp_path)
    bomb = tmp_path / "bomb.keras"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name) + (bytes(2**26) if name.endswith(".h5") else b""))
    with pytest.raises(ExportError, match=r"declares \d+ bytes of model\.weights\.h5 in \d+$"):
        build_trunk(spec_of(bomb, preprocess="raw", layers=("second",)))


@both
@pytest.mark.parametrize("skipped", [(), ("twice",)])
def test_a_damaged_file_with_code_is_called_damaged(library: Any, skipped: tuple[str, ...], tmp_path: Path) -> None:
    _, path = saved(library, chain, ".keras", tmp_path)
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo("model.weights.h5")
    data = bytearray(path.read_bytes())
    data[info.header_offset + 2000] ^= 1
    path.write_bytes(data)
    with pytest.raises(ExportError, match=rf"^model {path} .*damaged: Bad CRC"):
        build_trunk(spec_of(path, preprocess="raw", layers=("second",), skipped=skipped))


@both
@pytest.mark.parametrize("kind", ["a\0b", "a\ud800b", 5, "../x"])
def test_an_odd_name_of_a_class_is_refused_in_one_line(library: Any, kind: Any, tmp_path: Path) -> None:
    _, path = saved(library, chain, ".h5", tmp_path)
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        config["config"]["layers"][-1]["class_name"] = kind
        file.attrs["model_config"] = json.dumps(config).encode()
    with pytest.raises(ExportError) as caught:
        build_trunk(spec_of(path, preprocess="raw", layers=("second",)))
    assert "\n" not in str(caught.value)


def test_no_name_in_a_file_is_that_of_a_placeholder(tmp_path: Path) -> None:
    """tf-keras would import the module of a class that it does not know."""
    _, path = saved(tf_keras, chain, ".keras", tmp_path)
    odd = tmp_path / "odd.keras"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(odd, "w") as new:
        for name in old.namelist():
            config = json.loads(old.read(name)) if name == "config.json" else None
            if config is not None:
                config["config"]["layers"][1] |= {"class_name": "edgefeat>Lambda", "module": "antigravity"}
            new.writestr(name, old.read(name) if config is None else json.dumps(config))
    with pytest.raises(ExportError):
        build_trunk(spec_of(odd, preprocess="raw", layers=("second",)))
    assert "antigravity" not in sys.modules
