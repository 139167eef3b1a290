"""Saved models made to run code, read files or follow links: each is refused in one line, and nothing is touched."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the export extra is not installed")

import tensorflow as tf
import tf_keras
from tf_keras import layers

SIDE = 16

#: Loads every model named as its arguments, with all that Python's audit hook tells of on the way.
WATCHED = """
import json, os, sys
events = []
def watch(event, arguments):
    if event in ("open", "os.system", "os.remove", "os.rename", "os.mkdir", "shutil.rmtree") or event.startswith(
        ("socket.connect", "subprocess.Popen", "ctypes.dlopen", "webbrowser", "urllib")
    ):
        events.append([event, [repr(argument)[:300] for argument in arguments]])
import tf_keras, tensorflow, keras
from edgefeat import EdgefeatError
from edgefeat_export._spec import NetworkSpec
from edgefeat_export._network.trunk import build_trunk
from edgefeat_export._models.saved import keras2
from edgefeat_export._models.saved import signature
from edgefeat_export._models.saved import content
sys.addaudithook(watch)
said = {}
for path in sys.argv[1:]:
    del events[:]
    try:
        build_trunk(NetworkSpec(path, preprocess="raw"))
        error = None
    except EdgefeatError as caught:
        error = str(caught)
    said[path] = {"error": error, "events": list(events)}
print(json.dumps(said))
"""


def plain(*more: Any) -> Any:
    picture = tf_keras.Input((SIDE, SIDE, 3), name="photo")
    x = layers.Conv2D(4, 3, name="maps", activation="relu")(picture)
    for layer in more:
        x = layer(x)
    return tf_keras.Model(picture, layers.GlobalAveragePooling2D(name="pooled")(x))


def with_config(folder: Path, name: str, change: Callable[[dict[str, Any]], None]) -> Path:
    """Write a Keras 2 HDF5 file whose config was changed after it was saved."""
    path = folder / name
    plain().save(path)
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        change(config)
        file.attrs["model_config"] = json.dumps(config)
    return path


def archive_with_config(folder: Path, name: str, change: Callable[[dict[str, Any]], None]) -> Path:
    path = folder / name
    plain().save(folder / "plain.keras")
    with zipfile.ZipFile(folder / "plain.keras") as old, zipfile.ZipFile(path, "w") as new:
        for member in old.namelist():
            data = old.read(member)
            if member == "config.json":
                config = json.loads(data)
                change(config)
                data = json.dumps(config).encode()
            new.writestr(member, data)
    return path


def layer_of(config: dict[str, Any], name: str = "maps") -> dict[str, Any]:
    return next(layer for layer in config["config"]["layers"] if layer["config"]["name"] == name)


def replaced(**entries: Any) -> Callable[[dict[str, Any]], None]:
    """Return a change that replaces entries of the convolution's config."""

    def change(config: dict[str, Any]) -> None:
        layer = layer_of(config)
        layer.update({key: value for key, value in entries.items() if key != "config"})
        layer["config"].update(entries.get("config", {}))

    return change


def lambda_model(folder: Path, canary: Path) -> Path:
    place = os.fspath(canary)
    code = layers.Lambda(lambda x: (Path(place).write_text("run"), x)[1], name="code")
    path = folder / "lambda.h5"
    plain(code).save(path)
    canary.unlink(missing_ok=True)  # it ran when it was made
    return path


def op_layer(function: str) -> Callable[[dict[str, Any]], None]:
    def change(config: dict[str, Any]) -> None:
        layer = layer_of(config)
        layer["class_name"] = "TFOpLambda"
        layer["config"] = {"name": "maps", "trainable": True, "dtype": "float32", "function": function}

    return change


def linked(folder: Path, secret: Path) -> Path:
    path = folder / "linked.h5"
    plain().save(path)
    with h5py.File(path, "r+") as file:
        del file["model_weights/maps/maps/kernel:0"]
        file["model_weights/maps/maps/kernel:0"] = h5py.ExternalLink(os.fspath(secret), "/kernel")
    return path


def external(folder: Path, secret: Path) -> Path:
    path = folder / "external.h5"
    plain().save(path)
    with h5py.File(path, "r+") as file:
        del file["model_weights/maps/maps/kernel:0"]
        group = file["model_weights/maps/maps"]
        group.create_dataset("kernel:0", (3, 3, 3, 4), "f4", external=[(os.fspath(secret), 0, 432)])
    return path


def module_model(folder: Path, name: str, body: Callable[[Any], Any], **attributes: Any) -> Path:
    class Module(tf.Module):  # type: ignore[misc]  # tensorflow has no types
        @tf.function(input_signature=[tf.TensorSpec([None, SIDE, SIDE, 3], tf.float32, name="photo")])
        def __call__(self, photo: Any) -> Any:
            return {"feature": body(photo)}

    module = Module()
    for key, value in attributes.items():
        setattr(module, key, value)
    tf.saved_model.save(module, os.fspath(folder / name), signatures=module.__call__)
    return folder / name


def writes(folder: Path, canary: Path) -> Path:
    def body(photo: Any) -> Any:
        with tf.control_dependencies([tf.io.write_file(os.fspath(canary), "written")]):
            return tf.reduce_mean(photo, [1, 2])

    return module_model(folder, "writes", body)


def reads(folder: Path, secret: Path) -> Path:
    def body(photo: Any) -> Any:
        return tf.reduce_mean(photo, [1, 2]) + tf.cast(
            tf.strings.length(tf.io.read_file(os.fspath(secret))), tf.float32
        )

    return module_model(folder, "reads", body)


def hidden(folder: Path, canary: Path) -> Path:
    """Return a model that writes a file in a function with the name of the one that saves variables."""

    @tf.function
    def __inference__traced_save_1(photo: Any) -> Any:
        with tf.control_dependencies([tf.io.write_file(os.fspath(canary), "written")]):
            return tf.identity(photo)

    return module_model(folder, "hidden", lambda photo: tf.reduce_mean(__inference__traced_save_1(photo), [1, 2]))


def calls_python(folder: Path, canary: Path) -> Path:
    def body(photo: Any) -> Any:
        found = tf.py_function(lambda x: (canary.write_text("run"), x)[1], [photo], tf.float32)
        return tf.reduce_mean(tf.ensure_shape(found, [None, SIDE, SIDE, 3]), [1, 2])

    path = module_model(folder, "python", body)
    canary.unlink(missing_ok=True)
    return path


def table(folder: Path, secret: Path) -> Path:
    """Return a model with a table that TensorFlow fills from a file when it loads the model."""
    content = tf.lookup.TextFileInitializer(
        os.fspath(secret), tf.string, tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER
    )
    lookup = tf.lookup.StaticHashTable(content, -1)
    return module_model(
        folder,
        "table",
        lambda photo: tf.reduce_mean(photo, [1, 2]) + tf.cast(lookup.lookup(tf.constant("a")), tf.float32),
        lookup=lookup,
    )


def with_link(folder: Path, secret: Path) -> Path:
    path = folder / "links"
    plain().save(path, save_format="tf")
    data = path / "variables" / "variables.data-00000-of-00001"
    data.unlink()
    data.symlink_to(secret)
    return path


def metadata_lambda(folder: Path, canary: Path) -> Path:
    path = folder / "metadata"
    place = os.fspath(canary)
    code = layers.Lambda(lambda x: (Path(place).write_text("run"), x)[1], name="code")
    plain(code).save(path, save_format="tf")
    canary.unlink(missing_ok=True)
    return path


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Load each hostile model and return what happened, by name; `canary` and `secret` are files of the test."""
    folder = tmp_path_factory.mktemp("hostile")
    canary, secret = folder / "canary", folder / "secret.txt"
    with h5py.File(folder / "secret.h5", "w") as file:
        file["kernel"] = np.ones((3, 3, 3, 4), np.float32)
    secret.write_text("".join(f"word {index}\n" for index in range(200)))
    operation = {"op": "ReadFile", "name": "maps", "input": ["photo"]}
    system = {"module": "os", "class_name": "function", "config": "system", "registered_name": "system"}
    popen = {"module": "subprocess", "class_name": "Popen", "config": {"args": ["touch", os.fspath(canary)]}}
    made = [
        lambda_model(folder, canary),
        linked(folder, folder / "secret.h5"),
        external(folder, secret),
        writes(folder, canary),
        reads(folder, secret),
        hidden(folder, canary),
        calls_python(folder, canary),
        table(folder, secret),
        with_link(folder, secret),
        metadata_lambda(folder, canary),
        *(
            with_config(folder, f"{function}.h5", op_layer(function))
            for function in ("io.read_file", "io.write_file", "py_function", "numpy_function", "keras.utils.get_file")
        ),
        with_config(
            folder,
            "node.h5",
            replaced(class_name="TensorFlowOpLayer", config={"node_def": operation, "constants": {}}),
        ),
        with_config(
            folder,
            "lookup.h5",
            replaced(class_name="StringLookup", config={"name": "maps", "vocabulary": os.fspath(secret)}),
        ),
        with_config(folder, "class.h5", replaced(class_name="Own")),
        with_config(folder, "method.h5", replaced(class_name="ClassMethod", config={"cls_symbol": "io.gfile.GFile"})),
        archive_with_config(folder, "module.keras", replaced(module="os", class_name="system")),
        archive_with_config(folder, "popen.keras", replaced(config={"kernel_initializer": popen})),
        archive_with_config(folder, "function.keras", replaced(config={"activation": system})),
        archive_with_config(
            folder,
            "marshalled.keras",
            replaced(config={"activation": {"class_name": "__lambda__", "config": {"value": ["4wEA", None, None]}}}),
        ),
        archive_with_config(
            folder,
            "get_file.keras",
            replaced(module="keras.utils", class_name="get_file", config={"origin": "http://127.0.0.1:9/a"}),
        ),
    ]
    done = subprocess.run(
        [sys.executable, "-P", "-c", WATCHED, *map(os.fspath, made)],
        capture_output=True,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    said = json.loads(done.stdout.splitlines()[-1])
    return {
        "canary": canary,
        "secret": secret,
        "models": {Path(path).name: {**found, "path": path} for path, found in said.items()},
    }


MODELS = {
    "lambda.h5": "a Lambda layer 'code'",
    "linked.h5": "is a link",
    "external.h5": "takes its values from another file",
    "writes": "uses .*WriteFile",
    "reads": "uses .*ReadFile",
    "hidden": "uses .*WriteFile",
    "python": "uses EagerPyFunc",
    "table": "runs functions from the file when it is loaded",
    "links": "contains a link",
    "metadata": "a Lambda layer 'code'",
    "io.read_file.h5": r"calls tf\.io\.read_file",
    "io.write_file.h5": r"calls tf\.io\.write_file",
    "py_function.h5": r"calls tf\.py_function",
    "numpy_function.h5": r"calls tf\.numpy_function",
    "keras.utils.get_file.h5": r"calls tf\.keras\.utils\.get_file",
    "node.h5": "calls ReadFile",
    "lookup.h5": "class StringLookup, which requires more than the image",
    "class.h5": r"a custom layer 'maps' \(class Own\)",
    "method.h5": "class ClassMethod",
    "module.keras": "custom layer",
    "popen.keras": "names subprocess 'Popen', which is not part of Keras",
    "function.keras": "which is not part of Keras",
    "marshalled.keras": "which is not part of Keras",
    "get_file.keras": "custom layer",
}


@pytest.mark.parametrize(("name", "said"), MODELS.items())
def test_a_hostile_model_is_refused_in_one_line(name: str, said: str, outcome: dict[str, Any]) -> None:
    error = outcome["models"][name]["error"]
    assert error is not None
    assert re.search(said, error), error
    assert "\n" not in error


def test_every_model_is_judged(outcome: dict[str, Any]) -> None:
    assert set(outcome["models"]) == set(MODELS)


def test_nothing_is_written_or_run(outcome: dict[str, Any]) -> None:
    assert not outcome["canary"].exists()


def test_no_file_but_the_model_is_opened_and_no_program_or_socket(outcome: dict[str, Any]) -> None:
    for name, found in outcome["models"].items():
        for event, arguments in found["events"]:
            text = " ".join(arguments)
            if event == "open":
                assert os.fspath(outcome["secret"]) not in text, name
                assert os.fspath(outcome["canary"]) not in text, name
            else:  # HDF5 is read in a process of our own
                assert event in ("subprocess.Popen", "ctypes.dlopen"), (name, event, text)
                assert event != "subprocess.Popen" or "edgefeat_export._models.hdf5" in text, (name, text)
