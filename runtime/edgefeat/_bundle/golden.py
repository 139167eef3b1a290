"""The golden vectors of a bundle: prepared images, their Keras features, and each variant's own features.

`golden.npz` holds `pictures` uint8 (G, H, W, 3), `keras/<tap>` and `<variant>/<tap>` float32 (G, *tap.shape). Variants
that take camera frames have the features of the frames that `frame_of` makes from the images.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgefeat._bundle.manifest import Manifest
from edgefeat._bundle.reader import Bundle
from edgefeat._errors import BundleError

__all__ = ["GOLDEN_NAME", "GOLDEN_PICTURES", "KERAS", "Golden", "read_golden", "write_golden"]

GOLDEN_NAME = "golden.npz"
KERAS = "keras"
#: The largest number of images that an export writes.
GOLDEN_PICTURES = 8
_MAX_BYTES = 256_000_000
_MAX_PICTURES = 64


@dataclass(frozen=True, slots=True)
class Golden:
    """`pictures` is uint8 (G, H, W, 3). `features` has float32 (G, *tap.shape) by tap, for `keras` and each variant."""

    pictures: NDArray[np.uint8]
    features: dict[str, dict[str, NDArray[np.float32]]]


def write_golden(golden: Golden) -> bytes:
    """Return the bytes of `golden.npz`. The arrays may have any memory layout."""
    arrays: dict[str, NDArray[np.generic]] = {"pictures": np.ascontiguousarray(golden.pictures)}
    for origin, by_tap in golden.features.items():
        arrays.update({f"{origin}/{tap}": np.ascontiguousarray(feature) for tap, feature in by_tap.items()})
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]  # NumPy's stub takes them for its allow_pickle
    return stream.getvalue()


def read_golden(bundle: Bundle) -> Golden:
    """Return the bundle's golden vectors. Raises BundleError if an array is missing or has an unexpected shape."""
    data = bundle.read(bundle.manifest.golden)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _golden(archive, bundle.manifest)
    except Exception as error:  # for a malformed file, zipfile, zlib and NumPy raise a dozen exception types
        reason = str(error).partition("\n")[0] or type(error).__name__  # without the advice that NumPy adds
        raise BundleError(f"bundle {bundle.path}: {bundle.manifest.golden.name}: {reason}") from error


def _golden(archive: zipfile.ZipFile, manifest: Manifest) -> Golden:
    total = sum(entry.file_size for entry in archive.infolist())
    if total > _MAX_BYTES:
        raise ValueError(f"unpacks to {total} bytes (allowed: {_MAX_BYTES})")
    if any(entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for entry in archive.infolist()):
        # zipfile unpacks bzip2 and LZMA without a size limit.
        raise ValueError("is compressed with a method that NumPy does not use")
    form = manifest.picture
    pictures = _array(archive, "pictures", np.dtype(np.uint8), (form.height, form.width, 3))
    features = {
        origin: {
            tap.name: _array(archive, f"{origin}/{tap.name}", np.dtype(np.float32), tap.shape) for tap in manifest.taps
        }
        for origin in (KERAS, *(variant.name for variant in manifest.variants))
    }
    if any(len(array) != len(pictures) for by_tap in features.values() for array in by_tap.values()):
        raise ValueError(f"an array does not have one row for each of the {len(pictures)} images")
    return Golden(pictures, features)


def _array(archive: zipfile.ZipFile, name: str, dtype: np.dtype[np.generic], shape: tuple[int, ...]) -> NDArray:  # type: ignore[type-arg]  # dtype is the caller's
    """Return the array `name`. Its header is checked before memory is allocated."""
    entry = archive.getinfo(f"{name}.npy")
    with archive.open(entry) as stream:
        if np.lib.format.read_magic(stream) != (1, 0):
            raise ValueError(f"{name} does not have format version 1.0")
        found, fortran, found_dtype = np.lib.format.read_array_header_1_0(stream)
        if found_dtype != dtype or tuple(found[1:]) != shape or fortran or not 1 <= found[0] <= _MAX_PICTURES:
            raise ValueError(f"{name} is {found_dtype} {found} (expected: {dtype} (G, {', '.join(map(str, shape))}))")
        size = dtype.itemsize * int(np.prod(found, dtype=object))
        if size > entry.file_size:
            raise ValueError(f"{name} claims {size} bytes and has {entry.file_size}")
        return np.frombuffer(stream.read(size), dtype).reshape(found)
