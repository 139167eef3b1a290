"""The Keras model of a bundle, built again as the export builds it, and the stock converters' files of it.

Run as a process of its own, `python -m edgefeat_bench._setup.keras_model BUNDLE FOLDER MODEL CALIBRATION FILE...`: it
needs TensorFlow, and is the one part of the benchmark that uses `edgefeat_export`. MODEL is a saved model, a weights
file or the folder of a preset of KerasHub, or empty; each FILE a name of `model_files`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import edgefeat
from edgefeat import ArgumentError, EdgefeatError, Manifest
from edgefeat._bundle.fidelity import cosines
from edgefeat._bundle.golden import KERAS, read_golden
from edgefeat._bundle.manifest import Backbone
from edgefeat_bench._contenders.model_files import KERAS_MODEL, ONNX_MODEL, SAVED_MODEL, TFLITE_MODEL, ModelFacts
from edgefeat_bench._setup.stock_onnx import mended
from edgefeat_export._images.calibration import gather
from edgefeat_export._models.backbones import backbone_named
from edgefeat_export._models.saved.embedded import is_embedded
from edgefeat_export._network.layers import costs
from edgefeat_export._network.named_trunk import build_trunk
from edgefeat_export._network.network import build
from edgefeat_export._network.random_weights import condition
from edgefeat_export._network.trunk import Trunk
from edgefeat_export._spec import HUB, NetworkSpec, Pooling, is_model_file

#: The beginnings of a bundle's options: an argument of a KerasHub class, a fixed input, a layer that was skipped.
_CONFIG, _INPUT, _LAYER = "config ", "input ", "layer "


def network_spec(manifest: Manifest, model: str, calibration: str) -> NetworkSpec:
    """Return what the bundle was exported from; `model` is the file it was made from, if any."""
    backbone, tap = manifest.backbone, manifest.taps[0]
    by_file, preset = backbone.weights.startswith("file "), backbone.weights.startswith("preset ")
    config, inputs, skipped = (_options(backbone, begin) for begin in (_CONFIG, _INPUT, _LAYER))
    hub = preset or bool(config) or not (by_file or _known(backbone.name))
    saved = by_file and not hub and is_model_file(model) and not _known(backbone.name)
    own = backbone_named(backbone.name).preprocessing if not (saved or hub) else None
    alpha = backbone.options.get("alpha")
    return NetworkSpec(
        backbone=_hub(backbone, model) if hub else model if saved else backbone.name,
        alpha=None if alpha is None else float(alpha),
        weights=None if saved or preset else model if by_file else backbone.weights.partition(",")[0],
        seed=int(backbone.weights.rpartition(" ")[2]) if backbone.weights.startswith("random") else 0,
        size=(manifest.picture.height, manifest.picture.width),
        preprocess=None
        if backbone.preprocessing == own or _is_formula(backbone.preprocessing)
        else backbone.preprocessing,
        inputs={name: tuple(map(float, values.split(","))) for name, values in inputs.items()},
        skipped=tuple(skipped),
        config=config,
        layers=tuple(one.layer for one in manifest.taps),
        pooling=_pooling(manifest),
        normalization=tap.normalization,
        project=None if tap.projection is None else tap.projection.dimensions,
        whiten=tap.projection is not None and tap.projection.whiten,
        calibration=calibration,
        fit=manifest.picture.fit,
    )


def _options(backbone: Backbone, begin: str) -> dict[str, str]:
    """Return the options whose names have this beginning, without it."""
    return {name.removeprefix(begin): text for name, text in backbone.options.items() if name.startswith(begin)}


def _hub(backbone: Backbone, model: str) -> str:
    """Return the backbone as `edgefeat export` takes it; `model` is the folder of its preset, if it was one."""
    if model and Path(model).is_dir():
        return f"{HUB}{model}"
    return HUB + (backbone.weights.removeprefix("preset ") if backbone.weights.startswith("preset ") else backbone.name)


def _is_formula(preprocessing: str) -> bool:
    """Return whether only the preset's image converter knows this preprocessing."""
    return preprocessing.startswith("RGB *")


def _pooling(manifest: Manifest) -> Pooling | None:
    """Return the one pooling that all taps have or can have; None if each has the one of its kind."""
    kinds = {"avg" if one.pooling == "mean" else one.pooling for one in manifest.taps if one.pooling != "none"}
    if len(kinds) > 1:
        return None
    return next((one.pooling for one in manifest.taps if one.pooling != "none"), "none")


def _known(name: str) -> bool:
    try:
        backbone_named(name)
    except ArgumentError:
        return False
    return True


def _built(manifest: Manifest, spec: NetworkSpec) -> tuple[Trunk, keras.Model]:
    """Return the trunk, and the model from preprocessed images to finished features."""
    trunk = build_trunk(spec, opened=False)
    random = spec.weights == "random"
    if random or spec.project is not None:
        pictures = gather(spec.calibration, None, manifest.picture, seed=spec.seed, tell=lambda _: None).calibrating
    else:
        pictures = np.zeros((1, *trunk.size, 3), np.uint8)
    if random:
        condition(trunk, pictures)
    prepared = np.asarray(trunk.preprocess(pictures.astype(np.float32)))
    outside = replace(trunk, preprocess=lambda pixels: pixels)
    return trunk, build(outside, spec, prepared).model  # these are preprocessed already


def _figures(trunk: Trunk) -> tuple[tuple[float, ...], tuple[float, ...], bool]:
    """Return preprocessing as a scale and a shift for each channel, and whether it reverses RGB."""
    pixels = np.array([[[[0, 0, 0], [255, 0, 0], [255, 255, 255]]]], np.float32)
    black, red, white = np.asarray(trunk.preprocess(pixels))[0, 0]
    scale = (white - black) / 255
    return tuple(map(float, scale)), tuple(map(float, black)), bool(abs(red[2] - black[2]) > abs(red[0] - black[0]))


def _golden_cosine(bundle: edgefeat.Bundle, trunk: Trunk, model: keras.Model) -> float:
    golden = read_golden(bundle)
    outputs = model.predict_on_batch(np.asarray(trunk.preprocess(golden.pictures.astype(np.float32))))
    taps = outputs if isinstance(outputs, list | tuple) else [outputs]
    return min(
        float(cosines(np.asarray(rows), golden.features[KERAS][tap.name]).min())
        for tap, rows in zip(bundle.manifest.taps, taps, strict=True)
    )


def _write_saved_model(trunk: Trunk, model: keras.Model, folder: Path) -> None:
    """Decode, resize with smoothing (without it the features of large photos differ) and preprocess in the graph."""

    def features(pixels: Any) -> dict[str, Any]:
        scaled = tf.image.resize(pixels, trunk.size, "bilinear", antialias=True)
        outputs = model(trunk.preprocess(scaled[tf.newaxis]), training=False)
        taps = outputs if isinstance(outputs, list | tuple) else [outputs]
        return {f"tap{index}": tap for index, tap in enumerate(taps)}

    def from_file(path: Any) -> dict[str, Any]:
        return features(tf.io.decode_jpeg(tf.io.read_file(path), channels=3))

    module: Any = tf.Module()
    module.model = model
    module.file = tf.function(from_file, input_signature=[tf.TensorSpec([], tf.string)])
    module.array = tf.function(features, input_signature=[tf.TensorSpec([None, None, 3], tf.uint8)])
    tf.saved_model.save(module, str(folder), {"file": module.file, "array": module.array})


def _write(name: str, trunk: Trunk, model: keras.Model, path: Path) -> str:
    """Write under another name until the file is complete: what exists counts as made, also after an interruption.

    Return what had to be mended in it.
    """
    remark = ""
    partial = path.with_name(f"partial-{path.name}")
    if name == SAVED_MODEL:
        _write_saved_model(trunk, model, partial)
    elif name == TFLITE_MODEL:
        partial.write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
    elif name == ONNX_MODEL:
        model.export(str(partial), format="onnx", verbose=False)
        remark = mended(partial)
    if partial.exists():
        partial.rename(path)
    return remark


def _prepare(bundle: edgefeat.Bundle, folder: Path, model_file: str, calibration: str, files: Sequence[str]) -> None:
    spec = network_spec(bundle.manifest, model_file, calibration)
    trunk, model = _built(bundle.manifest, spec)
    if is_embedded(trunk.model) or trunk.color == "gray":
        raise EdgefeatError(
            f"{bundle.manifest.backbone.name} is compared with its own Keras by the export only: the benchmark "
            "times TensorFlow for networks of Keras 3 that take one RGB image"
        )
    model.save(folder / KERAS_MODEL)
    scale, shift, turned = _figures(trunk)
    text = bundle.manifest.backbone.preprocessing
    facts = ModelFacts(
        identity=bundle.identity,
        golden_cosine=_golden_cosine(bundle, trunk, model),
        preprocess=text if text.startswith("keras.") else "",
        scale=scale,
        shift=shift,
        reversed=turned,
        operations=2 * max(layer.cumulative_macs for layer in costs(trunk.model)),
    )
    missing: dict[str, str] = {}
    remarks: dict[str, str] = {}
    facts.write(folder)
    for name in files:
        try:
            if remark := _write(name, trunk, model, folder / name):
                remarks[name] = remark
        except Exception as error:  # noqa: BLE001  converters raise anything; only the contender that needs the file is lost
            missing[name] = f"the stock converter failed: {' '.join(str(error).split())[:200]}"
        replace(facts, missing=missing, mended=remarks).write(folder)


def main(bundle: str, folder: str, model: str, calibration: str, *files: str) -> int:
    """Fill `folder`, with the reason if the model cannot be built."""
    opened = edgefeat.Bundle.open(bundle)
    try:
        _prepare(opened, Path(folder), model, calibration, files)
    except ArgumentError as error:
        ModelFacts(opened.identity, str(error), "edgefeat-bench run --model FILE").write(Path(folder))
    except EdgefeatError as error:
        ModelFacts(opened.identity, str(error)).write(Path(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
