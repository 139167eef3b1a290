"""The kinds of contenders: what each needs, and which of them a bundle has."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import edgefeat
from edgefeat._engines.registry import ENGINES
from edgefeat._engines.selection import variants_in_order
from edgefeat_bench._contenders.interface import Opened, Task
from edgefeat_bench._contenders.model_files import KERAS_MODEL, ONNX_MODEL, SAVED_MODEL, TFLITE_MODEL, ModelFacts
from edgefeat_bench._installed import alone, distributions_of
from edgefeat_bench._records import Contender, Side


@dataclass(frozen=True, slots=True)
class Kind:
    """How a contender works: `module:function` in this package, the modules it needs, and the command for them.

    `file` is the model file it needs. `comparable` is False if its weights can never be the bundle's. `trait` says why
    its features may differ without being wrong, `least` how far their cosine may then fall. `own_features` says that
    the quality of its features is measured: those of the other kinds are Keras's, from the same pixels. `alone` says
    that it imports what else is installed, without need: it is run as if that were not there.
    """

    function: str
    side: Side
    modules: tuple[str, ...] = ()
    remedy: str = ""
    file: str = ""
    comparable: bool = True
    trait: str = ""
    least: float = 1.0
    own_features: bool = False
    alone: bool = False


#: In a checkout. TensorFlow alone is not enough: the Keras model is built by edgefeat_export.
EXPORT = "pip install '.[export]'"
_KERAS = ("tensorflow", "keras")
#: What a Keras model's layers may be of.
LAYERS = ("keras-hub",)
_TIMM = "timm's network has other weights: features cannot be compared"

#: The name, and the kind, of what `edgefeat.load` chooses after `edgefeat tune`.
TUNED_NAME, TUNED_KIND = "edgefeat tuned", "edgefeat-tuned"

KINDS: Mapping[str, Kind] = {
    "keras-predict": Kind("tensorflow:open_predict", "tensorflow", _KERAS, EXPORT, KERAS_MODEL, alone=True),
    "keras-call": Kind("tensorflow:open_call", "tensorflow", _KERAS, EXPORT, KERAS_MODEL, alone=True),
    "tf-function": Kind("tensorflow:open_function", "tensorflow", _KERAS, EXPORT, KERAS_MODEL, alone=True),
    "tf-saved-model": Kind(
        "tensorflow:open_saved_model", "tensorflow", ("tensorflow",), EXPORT, SAVED_MODEL, alone=True
    ),
    "edgefeat": Kind("edgefeat:open_contender", "edgefeat", own_features=True),
    TUNED_KIND: Kind("edgefeat:open_contender", "edgefeat"),
    "mediapipe": Kind(
        *("peers.mediapipe:open_contender", "peer", ("mediapipe",), "pip install mediapipe"),
        trait="MediaPipe resizes images without smoothing",
        least=0.75,
        own_features=True,
    ),
    "litert": Kind(
        "peers.litert:open_contender", "peer", ("ai_edge_litert",), "pip install ai-edge-litert", TFLITE_MODEL
    ),
    "onnxruntime": Kind(
        "peers.onnxruntime:open_contender", "peer", ("onnxruntime",), "pip install onnxruntime", ONNX_MODEL
    ),
    "fastembed": Kind(
        *("peers.fastembed:open_contender", "peer", ("fastembed", "onnx"), "pip install fastembed onnx", ONNX_MODEL)
    ),
    "openvino": Kind(
        *("peers.openvino:open_contender", "peer", ("openvino",), "pip install openvino", ONNX_MODEL), own_features=True
    ),
    # pnnx depends on PyTorch, but its converter runs without.
    "ncnn": Kind(
        *("peers.ncnn:open_contender", "peer", ("ncnn", "pnnx"), "pip install ncnn && pip install --no-deps pnnx"),
        file=KERAS_MODEL,  # its facts: the file that is converted is the bundle's
    ),
    "torch": Kind(
        *("peers.torch:open_contender", "peer", ("torch", "timm"), "pip install torch torchvision timm"),
        comparable=False,
        trait=_TIMM,
    ),
    "executorch": Kind(
        *("peers.executorch:open_contender", "peer", ("executorch", "torch", "timm")),
        remedy="pip install executorch torch torchvision timm",
        comparable=False,
        trait=_TIMM,
    ),
    "keras-reference": Kind("tensorflow:open_reference", "tensorflow", _KERAS, EXPORT, KERAS_MODEL),
    "edgefeat-reference": Kind("edgefeat:open_reference", "edgefeat"),
}

#: The peers that every bundle has; MediaPipe's depend on its variants.
PEERS = (
    Contender("plain litert", "litert", "peer"),
    Contender("plain onnxruntime", "onnxruntime", "peer"),
    Contender("fastembed", "fastembed", "peer"),
    Contender("openvino", "openvino", "peer"),
    Contender("ncnn", "ncnn", "peer"),
    Contender("torch timm", "torch", "peer"),
    Contender("executorch timm", "executorch", "peer", "float32", "executorch"),
    Contender("executorch timm int8", "executorch", "peer", "int8", "executorch"),
)
#: A contender that is a command of the user's, which speaks the protocol of `worker`.
COMMAND = "command"
#: What all others are compared with, if the Keras model can be built.
REFERENCE = Contender("keras float32, every pixel decoded", "keras-reference", "tensorflow")


def has_own_features(contender: Contender) -> bool:
    """Return whether the quality of a contender's features is measured."""
    kind = KINDS.get(contender.kind)
    return contender.kind == COMMAND or (kind is not None and kind.own_features)


def program_of(kind: Kind) -> list[str]:
    """Return the command that starts a contender's process, without its task."""
    program = ["-m", "edgefeat_bench._contenders.worker"]
    if not kind.alone:
        return [sys.executable, "-P", *program]
    return alone(program, ("edgefeat", *distributions_of(kind.modules), *LAYERS))


def opening_of(kind: Kind) -> Callable[[Task], Opened]:
    """Return the function that makes a contender ready. Importing its packages may raise anything."""
    module, _, function = kind.function.partition(":")
    opening: Callable[[Task], Opened] = getattr(
        importlib.import_module(f"edgefeat_bench._contenders.{module}"), function
    )
    return opening


def default_contenders(bundle: edgefeat.Bundle) -> list[Contender]:
    """Return every contender for the bundle, installed or not: TensorFlow's, edgefeat's, then the peers."""
    return [
        Contender("keras predict", "keras-predict", "tensorflow"),
        Contender("keras model(x)", "keras-call", "tensorflow"),
        Contender("tf.function", "tf-function", "tensorflow"),
        Contender("tf SavedModel", "tf-saved-model", "tensorflow"),
        Contender(TUNED_NAME, TUNED_KIND, "edgefeat"),
        *(
            Contender(f"edgefeat {variant.name} {engine.name}", "edgefeat", "edgefeat", variant.name, engine.name)
            for variant in variants_in_order(bundle)
            for engine in ENGINES
            if engine.format == variant.format
        ),
        *(
            Contender(f"mediapipe {variant.name}", "mediapipe", "peer", variant.name, "mediapipe")
            for variant in bundle.manifest.variants
            if variant.name in ("tflite-float32", "tflite-int8")
        ),
        *PEERS,
    ]


def absence(contender: Contender, facts: ModelFacts) -> tuple[str, str] | None:
    """Return why the contender cannot be started, and the command that helps; None if it can."""
    if contender.kind == COMMAND:
        return None
    kind = KINDS[contender.kind]
    if missing := [name for name in kind.modules if importlib.util.find_spec(name) is None]:
        return f"{', '.join(missing)} not installed", kind.remedy
    engine = next((one for one in ENGINES if contender.kind == "edgefeat" and one.name == contender.engine), None)
    if engine is not None and engine.version() is None:
        return f"engine {engine.name} not installed", f"pip install {engine.distribution}"
    if kind.file and facts.reason:
        return f"no Keras model: {facts.reason}", facts.remedy
    reason = (facts.missing or {}).get(kind.file)
    return (reason, "") if reason else None
