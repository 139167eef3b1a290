"""The contenders: what is timed beside what. One small module a kind; this one knows them all and imports none.

A kind's function takes a `Task` and gives what goes from a picture to its feature. Each runs in a worker of its own.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import edgefeat
from edgefeat._engines.engine import ENGINES
from edgefeat._engines.selection import variants_in_order
from edgefeat_bench._contenders.interface import Opened, Task
from edgefeat_bench._contenders.model_files import KERAS_MODEL, ONNX_MODEL, SAVED_MODEL, TFLITE_MODEL, Prepared
from edgefeat_bench._records import Contender, Side

__all__ = ["COMMAND", "KINDS", "REFERENCE", "TUNED", "Kind", "absence", "default_contenders", "opening_of"]


@dataclass(frozen=True, slots=True)
class Kind:
    """How a contender works: `module:function` in this package, the modules it needs, and what brings them.

    `file` is what it needs of the prepared folder. `comparable` is False where its weights can never be the bundle's.
    `trait` says why its features may differ although all is well, and so have a cosine of only `least`.
    """

    function: str
    side: Side
    modules: tuple[str, ...] = ()
    remedy: str = ""
    file: str = ""
    comparable: bool = True
    trait: str = ""
    least: float = 1.0


_EXPORT = "pip install 'edgefeat[export]'"
_PEERS = "pip install 'edgefeat[peers]'"

KINDS: Mapping[str, Kind] = {
    "keras-predict": Kind("keras:open_predict", "tensorflow", ("tensorflow", "keras"), _EXPORT, KERAS_MODEL),
    "keras-call": Kind("keras:open_call", "tensorflow", ("tensorflow", "keras"), _EXPORT, KERAS_MODEL),
    "tf-function": Kind("tensorflow:open_function", "tensorflow", ("tensorflow", "keras"), _EXPORT, KERAS_MODEL),
    "tf-saved-model": Kind("tensorflow:open_saved_model", "tensorflow", ("tensorflow",), _EXPORT, SAVED_MODEL),
    "edgefeat": Kind("edgefeat:open_contender", "edgefeat"),
    "edgefeat-tuned": Kind("edgefeat:open_contender", "edgefeat"),
    "mediapipe": Kind(
        *("mediapipe:open_contender", "peer", ("mediapipe",), _PEERS),
        trait="MediaPipe makes pictures smaller without smoothing them",
        least=0.75,
    ),
    "litert": Kind(
        "litert:open_contender", "peer", ("ai_edge_litert",), "pip install 'edgefeat[litert]'", TFLITE_MODEL
    ),
    "onnxruntime": Kind(
        "onnxruntime:open_contender", "peer", ("onnxruntime",), "pip install 'edgefeat[onnx]'", ONNX_MODEL
    ),
    "openvino": Kind("openvino:open_contender", "peer", ("openvino",), _PEERS, ONNX_MODEL),
    "torch": Kind(
        *("torch:open_contender", "peer", ("torch", "timm"), "pip install torch torchvision timm"),
        comparable=False,
        trait="timm's network has weights of its own: features cannot be compared",
    ),
    "keras-reference": Kind("keras:open_reference", "tensorflow", ("tensorflow", "keras"), _EXPORT, KERAS_MODEL),
    "edgefeat-reference": Kind("edgefeat:open_reference", "edgefeat"),
}

#: A contender that is a command of the user's own, speaking the lines of `_worker`.
COMMAND = "command"
#: The name of what `edgefeat.load` takes after `edgefeat tune`.
TUNED = "edgefeat tuned"
#: What all are held against where the Keras model can be had.
REFERENCE = Contender("keras float32, every pixel decoded", "keras-reference", "tensorflow")


def opening_of(kind: Kind) -> Callable[[Task], Opened]:
    """What makes a contender of the kind ready. Its packages are imported: they raise what they like."""
    module, _, function = kind.function.partition(":")
    opening: Callable[[Task], Opened] = getattr(
        importlib.import_module(f"edgefeat_bench._contenders.{module}"), function
    )
    return opening


def default_contenders(bundle: edgefeat.Bundle) -> list[Contender]:
    """Every contender there is for the bundle, installed or not: TensorFlow's, then edgefeat's, then the peers."""
    named = {
        "keras predict": "keras-predict",
        "keras model(x)": "keras-call",
        "tf.function": "tf-function",
        "tf SavedModel": "tf-saved-model",
    }
    found = [Contender(name, kind, "tensorflow") for name, kind in named.items()]
    found.append(Contender(TUNED, "edgefeat-tuned", "edgefeat"))
    found += [
        Contender(f"edgefeat {variant.name} {engine.name}", "edgefeat", "edgefeat", variant.name, engine.name)
        for variant in variants_in_order(bundle)
        for engine in ENGINES
        if engine.format == variant.format
    ]
    found += [
        Contender(f"mediapipe {variant.name}", "mediapipe", "peer", variant.name, "mediapipe")
        for variant in bundle.manifest.variants
        if variant.name in ("tflite-float32", "tflite-int8")
    ]
    peers = {
        "plain litert": "litert",
        "plain onnxruntime": "onnxruntime",
        "openvino": "openvino",
        "torch timm": "torch",
    }
    return found + [Contender(name, kind, "peer") for name, kind in peers.items()]


def absence(contender: Contender, facts: Prepared) -> tuple[str, str] | None:
    """Why the contender cannot be started here, and the command that helps; None where it can."""
    if contender.kind == COMMAND:
        return None
    kind = KINDS[contender.kind]
    missing = [name for name in kind.modules if importlib.util.find_spec(name) is None]
    if missing:
        return f"{', '.join(missing)} not installed", kind.remedy
    engine = next((one for one in ENGINES if contender.kind == "edgefeat" and one.name == contender.engine), None)
    if engine is not None and engine.version() is None:
        return f"engine {engine.name} not installed", f"pip install 'edgefeat[{engine.extra}]'"
    if kind.file and facts.reason:
        return f"no Keras model: {facts.reason}", facts.remedy
    if kind.file in facts.missing:
        return facts.missing[kind.file], ""
    return None
