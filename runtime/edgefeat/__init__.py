"""edgefeat: image features of a Keras backbone, without TensorFlow.

    import edgefeat

    extractor = edgefeat.load("mobilenet_v2_0.35_224.edgefeat")
    feature = extractor.extract("photo.jpg")  # float32, (D,)

Importing this costs next to nothing: each name brings its module when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from edgefeat._version import __version__

if TYPE_CHECKING:
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
        StoreError,
    )
    from edgefeat._extractor import Extraction, Extractor, load
    from edgefeat._manifest import VARIANTS, Manifest
    from edgefeat._search import Duplicate, Neighbour, duplicates, extractor_for, search
    from edgefeat._store import FeatureStore
    from edgefeat._tuned import Candidate, Tuning
    from edgefeat._tuning import tune
    from edgefeat._verification import Check, verify

__all__ = [
    "VARIANTS",
    "ArgumentError",
    "Bundle",
    "BundleError",
    "Candidate",
    "Check",
    "Duplicate",
    "EdgefeatError",
    "EngineError",
    "ExportError",
    "Extraction",
    "Extractor",
    "FeatureStore",
    "Manifest",
    "MissingExtraError",
    "Neighbour",
    "OutputError",
    "PictureError",
    "StoreError",
    "Tuning",
    "__version__",
    "duplicates",
    "extractor_for",
    "load",
    "search",
    "tune",
    "verify",
]

_HOMES = {
    "ArgumentError": "_errors",
    "Bundle": "_bundle",
    "BundleError": "_errors",
    "Candidate": "_tuned",
    "Check": "_verification",
    "Duplicate": "_search",
    "EdgefeatError": "_errors",
    "EngineError": "_errors",
    "ExportError": "_errors",
    "Extraction": "_extractor",
    "Extractor": "_extractor",
    "FeatureStore": "_store",
    "Manifest": "_manifest",
    "MissingExtraError": "_errors",
    "Neighbour": "_search",
    "OutputError": "_errors",
    "PictureError": "_errors",
    "StoreError": "_errors",
    "Tuning": "_tuned",
    "VARIANTS": "_manifest",
    "duplicates": "_search",
    "extractor_for": "_search",
    "load": "_extractor",
    "search": "_search",
    "tune": "_tuning",
    "verify": "_verification",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'edgefeat' has no attribute {name!r}")
    value: object = getattr(import_module(f"edgefeat.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
