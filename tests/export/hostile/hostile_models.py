"""Makes saved models that would run code, read files or follow links."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import pytest

pytest.importorskip("tensorflow", reason="the export extra is not installed")

import tensorflow as tf
import tf_keras
from tf_keras import layers

SIDE = 16


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
