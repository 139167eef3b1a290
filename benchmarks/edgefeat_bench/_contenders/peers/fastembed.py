"""fastembed's runtime with the file of Keras's own ONNX export in place of a model of its own, which is downloaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from fastembed import ImageEmbedding
from PIL import Image

from edgefeat import EngineError
from edgefeat._images.form import PictureForm
from edgefeat_bench._contenders.interface import Answer, Opened, Picture, Task
from edgefeat_bench._contenders.model_files import ONNX_MODEL, ModelFacts

#: A model of fastembed's list that is one file, `model.onnx`, from a planar image to a feature.
_PLACE = "Qdrant/resnet50-onnx"


def open_contender(task: Task) -> Opened:
    """`ImageEmbedding` as in its guide; it decodes, resizes and normalizes by itself."""
    facts = task.facts()
    folder = _folder(task.folder, facts, task.form())
    model = ImageEmbedding(
        _PLACE, threads=task.threads, providers=["CPUExecutionProvider"], specific_model_path=str(folder)
    )

    def extract(picture: Picture) -> Answer:
        image = picture if isinstance(picture, str) else Image.fromarray(picture)
        (feature,) = model.embed([image])
        return Answer(np.asarray(feature, np.float32))

    size = (folder / "model.onnx").stat().st_size
    return Opened(extract, ("fastembed", "onnxruntime", "pillow"), size, facts.remark(ONNX_MODEL))


def _folder(prepared: Path, facts: ModelFacts, form: PictureForm) -> Path:
    """Return a folder as fastembed downloads it, made once."""
    if form.fit != "stretch":
        raise EngineError(f"fastembed does not resize by {form.fit}")
    folder = prepared / "fastembed"
    if not (folder / "preprocessor_config.json").exists():
        folder.mkdir(exist_ok=True)
        onnx.save(_planar(onnx.load(prepared / ONNX_MODEL), form, reverse=facts.reversed), folder / "model.onnx")
        # x * scale + shift as (x / 255 - mean) / std, of RGB.
        order = slice(None, None, -1 if facts.reversed else 1)
        deviation = 1 / (255 * np.asarray(facts.scale[order]))
        settings: dict[str, Any] = {
            "image_processor_type": "CLIPImageProcessor",
            **{"do_resize": True, "resample": int(Image.Resampling.BILINEAR), "do_normalize": True},
            "size": {"height": form.height, "width": form.width},
            "image_mean": (-np.asarray(facts.shift[order]) * deviation).tolist(),
            "image_std": deviation.tolist(),
        }
        (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return folder


def _planar(model: onnx.ModelProto, form: PictureForm, *, reverse: bool) -> onnx.ModelProto:
    """Return the model with a planar image as its input, of RGB also where the network takes BGR."""
    graph, kinds = model.graph, onnx.TensorProto
    inside = graph.input[0].name
    nodes = [onnx.helper.make_node("Transpose", ["ordered" if reverse else "planar"], [inside], perm=[0, 2, 3, 1])]
    if reverse:
        graph.initializer.append(onnx.helper.make_tensor("backwards", kinds.INT64, [3], [2, 1, 0]))
        nodes.insert(0, onnx.helper.make_node("Gather", ["planar", "backwards"], ["ordered"], axis=1))
    del graph.input[:]
    shape: list[str | int | None] = ["batch", 3, form.height, form.width]
    graph.input.append(onnx.helper.make_tensor_value_info("planar", kinds.FLOAT, shape))
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *rest])
    return model
