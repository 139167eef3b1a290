"""Image features as a step of a scikit-learn pipeline.

    from edgefeat.sklearn import ImageFeatures

    model = make_pipeline(ImageFeatures("mobilenet_v2.edgefeat"), SVC())
    model.fit(paths, labels)

Requires scikit-learn: the extra `sklearn`.
"""

from __future__ import annotations

import os
import warnings
import weakref
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgefeat._bundle.manifest import Tap
from edgefeat._bundle.reader import Bundle
from edgefeat._errors import ArgumentError, BundleError, EdgefeatError, MissingExtraError, PictureError
from edgefeat._extractor import Extraction, Extractor, load
from edgefeat._images.form import Decoding
from edgefeat._images.limits import MAX_PIXELS
from edgefeat._images.picture import Channels
from edgefeat._version import install_command

try:
    from sklearn.base import BaseEstimator, TransformerMixin
except ImportError:
    raise MissingExtraError(
        f"edgefeat.sklearn needs scikit-learn; install it with: {install_command('sklearn')}"
    ) from None

__all__ = ["ImageFeatures"]

#: The parameters that are passed on to `load`.
_LOADED_WITH = ("variant", "engine", "threads", "decoding", "max_pixels", "least_share")


class ImageFeatures(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A transformer from images to the features of a bundle.

    The parameters are those of `edgefeat.load`, and

    tap: the tap to use. None uses all taps, concatenated.
    channels: the channel order of arrays, "rgb" or "bgr".
    unreadable: for an image that cannot be read, "raise" raises PictureError, "nan" gives a row of NaN and a warning.

    `fit` learns nothing from the images and is cheap. It records the bundle (`identity_`): a model trained on one
    bundle's features rejects those of another, even after pickling and on another machine. The engine is loaded when
    first needed, by each copy and in each process, and is never pickled. Threads may share a transformer.
    """

    def __init__(
        self,
        bundle: str | os.PathLike[str],
        *,
        tap: str | None = None,
        variant: str | None = None,
        engine: str | None = None,
        threads: int | None = None,
        decoding: Decoding = "fast",
        max_pixels: int = MAX_PIXELS,
        least_share: float = 1.0,
        channels: Channels = "rgb",
        unreadable: Literal["raise", "nan"] = "raise",
    ) -> None:
        self.bundle = bundle
        self.tap = tap
        self.variant = variant
        self.engine = engine
        self.threads = threads
        self.decoding = decoding
        self.max_pixels = max_pixels
        self.least_share = least_share
        self.channels = channels
        self.unreadable = unreadable

    def fit(self, X: object = None, y: object = None) -> ImageFeatures:  # noqa: N803  scikit-learn's names
        """Read the bundle's manifest; `X` and `y` are ignored. Raises BundleError, ArgumentError."""
        bundle = Bundle.open(self.bundle)
        self._check()
        self._taps(bundle)
        if (held := _open.get(self)) is not None and held[1].bundle.identity != bundle.identity:
            del _open[self]  # the bundle was exported again
        self.identity_ = bundle.identity
        return self

    def transform(self, X: object) -> NDArray[np.float32]:  # noqa: N803
        """Return the features of the images, float32 (N, D).

        X is a sequence of anything that `Extractor.extract` takes, a column of a table, or a uint8 array (N, H, W, 3).
        Unpooled features are flattened. Raises PictureError with the image's name, unless `unreadable` is "nan";
        ArgumentError for a value that is not an image; BundleError if the bundle is not the one used in `fit`.
        """
        pictures = _pictures(X)
        extractor = self._extractor()
        names = [tap.name for tap in self._taps(extractor.bundle)]
        features = np.empty((len(pictures), self._width(extractor.bundle)), np.float32)
        unread: list[str] = []
        for row, extraction in enumerate(extractor.stream(pictures, channels=self.channels)):
            if extraction.feature is None:
                unread.append(self._unread(row, extraction))
                features[row] = np.nan
            elif isinstance(extraction.feature, dict):
                features[row] = np.concatenate([extraction.feature[name].ravel() for name in names])
            else:
                features[row] = extraction.feature.ravel()
        if unread:
            more = f", and {len(unread) - 1} more" if len(unread) > 1 else ""
            warnings.warn(f"rows of NaN for images that cannot be read: {unread[0]}{more}", stacklevel=2)
        return features

    def get_feature_names_out(self, input_features: object = None) -> NDArray[np.object_]:
        """Return the names of the columns: `<tap>_<number>`. `input_features` is ignored."""
        taps = self._taps(Bundle.open(self.bundle))
        return np.array([f"{tap.name}_{i}" for tap in taps for i in range(int(np.prod(tap.shape)))], dtype=object)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.no_validation = True
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.transformer_tags.preserves_dtype = []
        return tags

    def _check(self) -> None:
        if self.unreadable not in ("raise", "nan"):
            raise ArgumentError(f"unreadable {self.unreadable!r} is unknown (allowed: 'raise', 'nan')")
        if self.channels not in ("rgb", "bgr"):
            raise ArgumentError(f"channels {self.channels!r} is unknown (allowed: 'rgb', 'bgr')")

    def _taps(self, bundle: Bundle) -> Sequence[Tap]:
        taps = [tap for tap in bundle.manifest.taps if self.tap in (None, tap.name)]
        if not taps:
            present = ", ".join(tap.name for tap in bundle.manifest.taps)
            raise ArgumentError(f"tap {self.tap!r} is not in bundle {bundle.path} (it has: {present})")
        return taps

    def _width(self, bundle: Bundle) -> int:
        return sum(int(np.prod(tap.shape)) for tap in self._taps(bundle))

    def _extractor(self) -> Extractor:
        """Return the open extractor for these parameters, loading it if needed."""
        self._check()
        options = {name: getattr(self, name) for name in _LOADED_WITH}
        wanted = os.fspath(self.bundle), options
        held = _open.get(self)
        if held is None or held[0] != wanted:
            extractor = load(self.bundle, **options)
            held = _open[self] = wanted, extractor  # two threads may load at once: one result is discarded
        identity = getattr(self, "identity_", None)
        if identity not in (None, held[1].bundle.identity):
            raise BundleError(
                f"bundle {os.fspath(self.bundle)!r} is not the one that fit was called with "
                f"(SHA-256 {held[1].bundle.identity[:12]}, expected {identity[:12]}): its features differ. "
                "Name a copy of that bundle with set_params(bundle=...), or call fit again"
            )
        return held[1]

    def _unread(self, row: int, extraction: Extraction[Any]) -> str:
        """Return the image's name and why it cannot be read, or raise that error, as `unreadable` says."""
        source, error = extraction.source, extraction.error
        assert isinstance(error, EdgefeatError)
        if _is_missing(source):
            error = PictureError("is missing")
        name = repr(os.fspath(source)) if isinstance(source, str | os.PathLike) else f"number {row}"
        if self.unreadable == "nan" and isinstance(error, PictureError):
            return f"{name}: {error}"
        raise type(error)(f"image {name}: {error}") from error


# Open extractors are kept beside the transformers, so that they are not pickled, cloned or hashed.
_open: weakref.WeakKeyDictionary[ImageFeatures, tuple[object, Extractor]] = weakref.WeakKeyDictionary()


def _is_missing(source: object) -> bool:
    """Return whether a table had no value in place of an image: None, NaN, or pandas' NA."""
    return source is None or (isinstance(source, float) and np.isnan(source)) or type(source).__name__ == "NAType"


def _pictures(given: object) -> list[Any]:
    """Return the images as a list. Raises ArgumentError if they are not a sequence of images."""
    if isinstance(given, str | bytes | bytearray | memoryview | os.PathLike) or hasattr(given, "read"):
        raise ArgumentError(f"X is one {type(given).__name__} (allowed: a sequence of images): write [X]")
    if hasattr(given, "to_numpy"):  # a column or table of pandas or polars
        given = given.to_numpy()
    if not isinstance(given, np.ndarray):
        if not isinstance(given, Iterable):
            raise ArgumentError(f"X is {type(given).__name__} (allowed: a sequence of images)")
        return list(given)
    if given.dtype.kind in "OUT" and given.ndim == 2 and given.shape[1] == 1:
        given = given[:, 0]
    if given.dtype.kind in "OUT" and given.ndim == 1:
        pictures: list[Any] = given.tolist()
        return pictures
    if given.ndim == 4 or given.shape == (0,):
        return list(given)
    raise ArgumentError(
        f"X is an array of {given.dtype} {given.shape} (allowed: uint8 (N, H, W, 3); paths, or an object array of "
        "images, of shape (N,) or (N, 1))"
    )
