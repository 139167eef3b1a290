"""Write models as the TensorFlow.js converter does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np


def converted(model: Any, folder: Path, *, quantized: str | None = None, shards: int = 1) -> Path:
    """Write `model` as the TensorFlow.js converter does: from an HDF5 file, weights sorted by name."""
    folder.mkdir()
    model.save(folder / "net.h5")
    arrays: dict[str, Any] = {}
    with h5py.File(folder / "net.h5", "r") as file:
        version = str(file.attrs["keras_version"])
        config = json.loads(file.attrs["model_config"])
        for group in map(file["model_weights"].__getitem__, texts(file["model_weights"].attrs["layer_names"])):
            names = texts(group.attrs["weight_names"])
            arrays |= {name.removesuffix(":0"): group[name][()] for name in names}
    (folder / "net.h5").unlink()
    entries, data = [], b""
    for name in sorted(arrays):
        array = arrays[name]
        entry: dict[str, Any] = {"name": name, "shape": list(array.shape), "dtype": str(array.dtype)}
        if quantized == "float16":
            array = array.astype(np.float16)
            entry["quantization"] = {"dtype": "float16", "original_dtype": "float32"}
        elif quantized is not None:
            steps = np.iinfo(quantized).max
            least, scale = float(array.min()), float(np.ptp(array)) / steps or 1.0
            array = np.rint((array - least) / scale).astype(quantized)
            entry["quantization"] = {"dtype": quantized, "min": least, "scale": scale, "original_dtype": "float32"}
        entries.append(entry)
        data += array.tobytes()
    length = -(-len(data) // shards)
    paths = [f"group1-shard{index + 1}of{shards}.bin" for index in range(shards)]
    for index, path in enumerate(paths):
        (folder / path).write_bytes(data[index * length : (index + 1) * length])
    topology = {"keras_version": version, "backend": "tensorflow", "model_config": config, "training_config": {}}
    written = {
        "format": "layers-model",
        "generatedBy": f"keras v{version}",
        "convertedBy": "TensorFlow.js Converter v4.22.0",
        "modelTopology": topology,
        "weightsManifest": [{"paths": paths, "weights": entries}],
    }
    (folder / "model.json").write_text(json.dumps(written))
    return folder / "model.json"


def texts(values: Any) -> list[str]:
    return [value.decode() if isinstance(value, bytes) else str(value) for value in values]
