"""The extractor that made a database, for query images."""

from __future__ import annotations

import os

from edgefeat._bundle.reader import Bundle
from edgefeat._errors import ArgumentError, BundleError, EngineError, checked_type
from edgefeat._extractor import Extractor, load
from edgefeat._images.limits import MAX_PIXELS
from edgefeat._store.reader import FeatureStore

__all__ = ["extractor_for"]


def extractor_for(
    store: FeatureStore,
    *,
    bundle: str | os.PathLike[str] | None = None,
    threads: int | None = None,
    max_pixels: int = MAX_PIXELS,
    least_share: float = 1.0,
) -> Extractor:
    """Load an extractor whose features match those in `store`: same bundle, variant, engine and decoding.

    The bundle is taken from `bundle`, or from its folder at the time the database was written. Raises BundleError if it
    is not there, ArgumentError if it is a different bundle, MissingExtraError if the engine is not installed.
    """
    checked_type("store", store, (FeatureStore,), "a FeatureStore, such as FeatureStore.open('features.db')")
    identity = store.identity
    if bundle is None and not os.path.isdir(identity.place):
        raise BundleError(
            f"{store.path} holds features of bundle {identity.bundle}, which is no longer at {identity.place!r}: "
            "give its folder with --bundle"
        )
    opened = Bundle.open(bundle if bundle is not None else identity.place)
    if opened.identity != identity.manifest_sha256:
        where = "give that bundle with --bundle, or extract again" if bundle is None else "give the one that made them"
        raise ArgumentError(
            f"bundle {os.fspath(opened.path)!r} is not the one that made {store.path} (SHA-256 of the manifest "
            f"{opened.identity[:12]}, expected {identity.manifest_sha256[:12]}): their features cannot be compared; "
            + where
        )
    try:
        return load(
            opened,
            variant=identity.variant,
            engine=identity.engine,
            threads=threads,
            decoding=identity.decoding,
            max_pixels=max_pixels,
            least_share=least_share,
        )
    except EngineError as error:
        raise type(error)(
            f"{store.path} holds features of {identity.variant} on {identity.engine}, which cannot be "
            f"compared with another engine's: {error}"
        ) from error
