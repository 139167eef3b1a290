"""A contender in a process of its own: reads photo paths, one JSON line each, answers with the time and the feature.

Started as `python -m edgefeat_bench._worker CONTENDER BUNDLE`, CONTENDER as JSON. Its first answer is its versions.
"""

from __future__ import annotations

import base64
import importlib.metadata
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

import numpy as np

import edgefeat
from edgefeat._records import from_json
from edgefeat_bench._records import Contender

__all__ = ["main"]

#: From the path of a photo to its first tap's feature.
Extract = Callable[[str], "np.typing.NDArray[np.float32]"]


def _edgefeat(contender: Contender, bundle: str) -> tuple[Extract, tuple[str, ...]]:
    extractor = edgefeat.load(bundle, variant=contender.variant, engine=contender.engine)
    first = extractor.taps[0].name

    def extract(path: str) -> np.typing.NDArray[np.float32]:
        feature = extractor.extract(path)
        return feature[first] if isinstance(feature, dict) else feature

    distribution = {"litert": "ai-edge-litert"}.get(extractor.engine, extractor.engine)
    return extract, ("edgefeat", distribution, "numpy", "pillow")


def _keras_predict(contender: Contender, bundle: str) -> tuple[Extract, tuple[str, ...]]:
    """What a Keras user writes: load_img, preprocess_input, model.predict, and the pooling and norm in NumPy."""
    import keras

    manifest = edgefeat.Bundle.open(bundle).manifest
    tap, form = manifest.taps[0], manifest.picture
    key = manifest.backbone.name.replace("_", "")
    (name,) = [name for name in vars(keras.applications) if name.lower() == key and name[0].isupper()]
    factory = getattr(keras.applications, name)
    module = getattr(keras.applications, factory.__module__.rpartition(".")[2])
    weights = None if manifest.backbone.weights.startswith("random") else manifest.backbone.weights
    whole = factory(
        include_top=False,
        weights=weights,
        input_shape=(form.height, form.width, 3),
        **{option: float(value) for option, value in manifest.backbone.options.items()},
    )
    output = whole.get_layer(tap.layer).output
    pooling = {"avg": keras.layers.GlobalAveragePooling2D, "max": keras.layers.GlobalMaxPooling2D}
    model = keras.Model(whole.input, pooling[tap.pooling]()(output) if tap.pooling in pooling else output)

    def extract(path: str) -> np.typing.NDArray[np.float32]:
        image = keras.utils.load_img(path, target_size=(form.height, form.width), interpolation="bilinear")
        pixels = module.preprocess_input(np.expand_dims(keras.utils.img_to_array(image), 0))
        feature = model.predict(pixels, verbose=0)[0]
        return np.asarray(feature / np.linalg.norm(feature) if tap.normalization == "l2" else feature, np.float32)

    return extract, ("tensorflow", "keras", "numpy", "pillow")


_KINDS = {"edgefeat": _edgefeat, "keras-predict": _keras_predict}


def main(contender_json: str, bundle: str) -> int:
    """Answers until its input ends."""
    # Engines print on both streams; the answers go to a stream of their own.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    contender = from_json(Contender, json.loads(contender_json))
    try:
        extract, distributions = _KINDS[contender.kind](contender, bundle)
    except (ImportError, edgefeat.EdgefeatError) as error:
        _answer(answers, {"absent": str(error)})
        return 0
    _answer(answers, {"versions": {name: importlib.metadata.version(name) for name in distributions}})
    for line in sys.stdin:
        path = json.loads(line)
        started = time.perf_counter()
        feature = extract(path)
        seconds = time.perf_counter() - started
        encoded = base64.b64encode(np.ascontiguousarray(feature, np.float32).tobytes()).decode()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        _answer(answers, {"seconds": seconds, "feature": encoded, "peak": peak})
    return 0


def _answer(stream: TextIO, value: dict[str, Any]) -> None:
    stream.write(json.dumps(value) + "\n")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
