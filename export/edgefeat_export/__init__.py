"""Convert a Keras backbone into a bundle that edgefeat runs without TensorFlow.

    import edgefeat_export

    extractor = edgefeat_export.export("mobilenet_v2", "out.edgefeat", alpha=0.35, calibration="photos/")

The workstation part of edgefeat. Requires the extra `export`.
"""

from importlib.util import find_spec

from edgefeat import MissingExtraError
from edgefeat._version import install_command

_NEEDED = (
    "tensorflow",
    "keras",
    "tf2onnx",
    "onnx",
    "onnxruntime",
    "ai_edge_litert",
    "ai_edge_quantizer",
    "h5py",
    "safetensors",
    "sklearn",
)
_MISSING = [name for name in _NEEDED if find_spec(name) is None]
if _MISSING:
    raise MissingExtraError(f"exporting requires {', '.join(_MISSING)}; install with: {install_command('export')}")

from edgefeat_export._export import export  # noqa: E402  after the check for missing packages
from edgefeat_export._pipeline.worker_pool import StepCost  # noqa: E402

__all__ = ["StepCost", "export"]
