"""Features of many photos in one SQLite file: what `edgefeat extract --into` fills and everything else reads."""

from __future__ import annotations

from edgefeat._store._precision import PRECISIONS, Precision
from edgefeat._store._reader import FeatureStore
from edgefeat._store._records import Photo, Run, StoreIdentity, StoreTap

__all__ = ["PRECISIONS", "FeatureStore", "Photo", "Precision", "Run", "StoreIdentity", "StoreTap"]
