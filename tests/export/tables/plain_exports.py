"""A transformer's files beside plain exports of the same network, for docs/transformers.md: `make transformer-speed`.

`python -m tests.export.tables.plain_exports --photos FOLDER [--name PRESET]` exports a preset of KerasHub with random
weights by edgefeat, and by what else a user of Keras has: Keras's own ONNX export and ONNX Runtime's dynamic int8,
TensorFlow's converter and its dynamic int8. Each pair is called in turn, on one image.
"""

from __future__ import annotations

import argparse
import functools
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tests.export.tables.runs.exports import export
from tests.export.tables.runs.rows import write_between

import edgefeat
from edgefeat_export._measure.timing import medians

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "transformers.md"
BEGIN, END = "<!-- plain: begin -->", "<!-- plain: end -->"
NAME = "vit_base_patch16_224_imagenet"
THREADS = (1, 2)
#: edgefeat's variant, the plain file, and who makes it.
PAIRS = (
    ("onnx-float32", "float32.onnx", "Keras"),
    ("onnx-int8", "dynamic.onnx", "ONNX Runtime, dynamic int8"),
    ("tflite-float32", "float32.tflite", "TensorFlow"),
    ("tflite-dynamic", "dynamic.tflite", "TensorFlow, dynamic int8"),
)


def make_plain(name: str, folder: Path) -> int:
    """Write the plain files, whose feature is the class token, and return the side of the images."""
    import keras
    import tensorflow as tf
    from onnxruntime.quantization import quantize_dynamic

    from edgefeat_export._models.hub.source import load_hub
    from edgefeat_export._spec import NetworkSpec

    backbone = load_hub(NetworkSpec(f"hub:{name}", weights="random")).model
    source = keras.Input(tuple(backbone.inputs[0].shape)[1:])
    model = keras.Model(source, backbone(source)[:, 0])
    model(np.zeros((1, *source.shape[1:]), np.float32))  # Keras exports only what was called
    model.export(str(folder / "float32.onnx"), format="onnx", verbose=False)
    make_loadable(folder / "float32.onnx")
    quantize_dynamic(folder / "float32.onnx", folder / "dynamic.onnx", per_channel=True)
    model.export(str(folder / "saved"), verbose=False)
    for kind in ("float32", "dynamic"):
        converter = tf.lite.TFLiteConverter.from_saved_model(str(folder / "saved"))
        if kind == "dynamic":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        (folder / f"{kind}.tflite").write_bytes(converter.convert())
    return int(source.shape[1])


def make_loadable(path: Path) -> None:
    """Write `Erfc`, which ONNX does not have, as 1 - erf: without this, Keras's file of a ViT cannot be loaded."""
    import onnx

    model = onnx.load(path)
    nodes = []
    for node in model.graph.node:
        if node.op_type == "Erfc":
            (output,) = node.output
            nodes.append(onnx.helper.make_node("Erf", node.input, [f"{output}/erf"]))
            nodes.append(onnx.helper.make_node("Sub", ["edgefeat/one", f"{output}/erf"], [output]))
        else:
            nodes.append(node)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(1, np.float32), "edgefeat/one"))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, path)


def plain_call(path: Path, pixels: Any, threads: int) -> Callable[[], object]:
    """Return what runs a plain file on scaled pixels."""
    if path.suffix == ".onnx":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        # Keras's export makes an input of a constant 0.
        given = {one.name: np.zeros(_sizes(one.shape), np.int32) for one in session.get_inputs()}
        given = {name: pixels if zero.ndim == 4 else zero for name, zero in given.items()}
        return lambda: session.run(None, given)
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=threads)
    interpreter.allocate_tensors()
    place = interpreter.get_input_details()[0]["index"]

    def call() -> None:
        interpreter.set_tensor(place, pixels)
        interpreter.invoke()

    return call


def _sizes(shape: Sequence[Any]) -> list[int]:
    """Return a shape of ONNX Runtime with 1 in place of what has only a name."""
    return [size if isinstance(size, int) else 1 for size in shape]


def table(name: str, photos: str, folder: Path) -> str:
    """Export, time, and return the table as Markdown."""
    options = ["--weights", "random", "--effort", "quick", "--calibration", photos]
    bundle = export([f"hub:{name}", *options], folder / "network.edgefeat")
    side = make_plain(name, folder)
    pictures = np.random.default_rng(0).integers(0, 256, (1, side, side, 3), np.uint8)
    pixels = pictures.astype(np.float32) / np.float32(127.5) - 1
    lines = ["| edgefeat's file | beside that of | one thread | two threads |", "|---|---|---:|---:|"]
    for variant, file, maker in PAIRS:
        cells = []
        for threads in THREADS:
            extractor = edgefeat.load(bundle, variant=variant, threads=threads)
            plain = plain_call(folder / file, pixels, threads)
            theirs, ours = medians([plain, functools.partial(extractor.run, pictures)])
            cells.append(f"{theirs / ours:.2f}x")
        lines.append(f"| `{variant}` | {maker} | {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    return "\n".join(lines)


def main() -> int:
    """Write the table into the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--photos", required=True, help="folder of photos to calibrate on")
    parser.add_argument("--name", default=NAME, help=f"preset of a ViT, DeiT or DINOv2; default: {NAME}")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="edgefeat-") as folder:
        write_between(PAGE, BEGIN, END, table(given.name, given.photos, Path(folder)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
