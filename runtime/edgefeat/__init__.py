"""edgefeat: image features of a Keras backbone, without TensorFlow.

import edgefeat

extractor = edgefeat.load("mobilenet_v2_0.35_224.edgefeat")
feature = extractor.extract("photo.jpg")  # float32, (D,)
"""

from edgefeat._bundle import Bundle
from edgefeat._errors import (
    ArgumentError,
    BundleError,
    EdgefeatError,
    EngineError,
    ExportError,
    MissingExtraError,
    OutputError,
    PictureError,
)
from edgefeat._extractor import Extraction, Extractor, load
from edgefeat._manifest import VARIANTS, Manifest
from edgefeat._tuning import Candidate, Tuning, tune
from edgefeat._verification import Check, verify
from edgefeat._version import __version__

__all__ = [
    "VARIANTS",
    "ArgumentError",
    "Bundle",
    "BundleError",
    "Candidate",
    "Check",
    "EdgefeatError",
    "EngineError",
    "ExportError",
    "Extraction",
    "Extractor",
    "Manifest",
    "MissingExtraError",
    "OutputError",
    "PictureError",
    "Tuning",
    "__version__",
    "load",
    "tune",
    "verify",
]
