"""edgefeat: image features from a Keras backbone, without TensorFlow.

    import edgefeat

    extractor = edgefeat.load("mobilenet_v2_0.35_224.edgefeat")
    feature = extractor.extract("photo.jpg")  # float32, (D,)

Importing edgefeat is cheap: the module behind each name is loaded when the name is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from edgefeat._version import __version__

if TYPE_CHECKING:
    from edgefeat._bundle.manifest import VARIANTS, Manifest
    from edgefeat._bundle.reader import Bundle
    from edgefeat._engines.tuning import tune
    from edgefeat._engines.tuning_record import Candidate, Tuning
    from edgefeat._engines.verification import Check, verify
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
    from edgefeat._search.duplicates import Duplicate, duplicates
    from edgefeat._search.query_extractor import extractor_for
    from edgefeat._search.ranking import Neighbour
    from edgefeat._search.search import search
    from edgefeat._store.reader import FeatureStore

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
    "Bundle": "_bundle.reader",
    "BundleError": "_errors",
    "Candidate": "_engines.tuning_record",
    "Check": "_engines.verification",
    "Duplicate": "_search.duplicates",
    "EdgefeatError": "_errors",
    "EngineError": "_errors",
    "ExportError": "_errors",
    "Extraction": "_extractor",
    "Extractor": "_extractor",
    "FeatureStore": "_store.reader",
    "Manifest": "_bundle.manifest",
    "MissingExtraError": "_errors",
    "Neighbour": "_search.ranking",
    "OutputError": "_errors",
    "PictureError": "_errors",
    "StoreError": "_errors",
    "Tuning": "_engines.tuning_record",
    "VARIANTS": "_bundle.manifest",
    "duplicates": "_search.duplicates",
    "extractor_for": "_search.query_extractor",
    "load": "_extractor",
    "search": "_search.search",
    "tune": "_engines.tuning",
    "verify": "_engines.verification",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'edgefeat' has no attribute {name!r}")
    value: object = getattr(import_module(f"edgefeat.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
