"""The one definition of a picture: decode -> orientation -> RGB -> resize -> uint8.

Calibration, fidelity, golden vectors, benchmarks and devices all come through here. Of the file, only its content
decides which decoder reads it, and no decoder but those in `_FORMATS` is ever reached.
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.ImageFile import ImageFile

from edgefeat._errors import ArgumentError, PictureError
from edgefeat._manifest import PictureForm

__all__ = [
    "MAX_PIXELS",
    "PICTURE_SUFFIXES",
    "Channels",
    "Decoding",
    "PictureSource",
    "decoded",
    "fitted",
    "read_picture",
]

#: What a picture can be given as: a path, an encoded file as bytes or file object, a PIL image, or a uint8 array of
#: shape (H, W), (H, W, 1), (H, W, 3) RGB or (H, W, 4) RGBA.
PictureSource: TypeAlias = (
    "str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO | Image.Image | NDArray[np.uint8]"
)

#: `exact` decodes every pixel, then resizes; `fast` lets libjpeg scale while it decodes, never below twice the size.
Decoding = Literal["fast", "exact"]

#: The order of an array's channels. One of two dimensions is gray in either.
Channels = Literal["rgb", "bgr"]

#: Larger pictures are refused before their pixels are allocated. Pillow takes 4 bytes a pixel, so this is 256 MB: what
#: a Raspberry Pi with 1 GB can spare.
MAX_PIXELS = 64_000_000

#: The endings by which a folder's pictures are known. A file named by itself is tried whatever its ending.
PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".heic", ".heif")

# libjpeg-turbo's own fuzzers stop at 100 scans: a small file of a thousand takes minutes to decode.
_MAX_SCANS = 100
# Pillow decodes these in Python with several copies in memory: a 2 KB file of 64 million pixels takes 1.3 GB and 6 s.
_MAX_RLE_PIXELS = 4_000_000
_ORIENTATION_TAG = 0x0112
_TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Pillow brings the pixels of a PNG to eight bits, but leaves its transparent colour in the depth of the file.
_TRANSPARENT_SCALES = {"L;2": 85.0, "L;4": 17.0, "I;16B": 1 / 256, "RGB;16B": 1 / 256}
# Which stored axes an orientation turns round on the way upright.
_MIRRORED_ACROSS, _MIRRORED_DOWN = (2, 3, 7, 8), (3, 4, 6, 7)
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")


def read_picture(
    source: PictureSource, form: PictureForm, decoding: Decoding = "fast", channels: Channels = "rgb"
) -> NDArray[np.uint8]:
    """The picture as the model takes it: uint8, RGB, shape (form.height, form.width, 3), C-contiguous.

    With `decoding="exact"` it equals `keras.utils.load_img(path, target_size=..., interpolation="bilinear")` bit for
    bit on upright RGB files. `channels` is the order in an array (OpenCV's is "bgr"). Raises PictureError for anything
    that is not a whole, readable picture of at most `MAX_PIXELS`, and ArgumentError for an array of another type or
    shape.
    """
    if channels not in ("rgb", "bgr"):
        raise ArgumentError(f"channels {channels!r} is unknown (allowed: 'rgb', 'bgr')")
    if isinstance(source, np.ndarray):
        array = _checked_array(source)
        if channels == "bgr" and array.ndim == 3:
            array = array[:, :, (2, 1, 0, 3)[: array.shape[2]]]
        if array.shape == (form.height, form.width, 3):
            return np.ascontiguousarray(array)
        return fitted(Image.fromarray(np.ascontiguousarray(array)), form)
    with decoded(source, form, decoding) as image, _as_picture_errors():
        return fitted(image, form)


@contextmanager
def decoded(source: PictureSource, form: PictureForm, decoding: Decoding) -> Iterator[Image.Image]:
    """The decoded image, as it is stored: `fitted` makes the picture of it. Raises as `read_picture` does."""
    if decoding not in ("fast", "exact"):
        raise ArgumentError(f"decoding {decoding!r} is unknown (allowed: 'fast', 'exact')")
    if isinstance(source, Image.Image):
        _check_size(source)
        yield source
        return
    with _as_picture_errors(), _opened(source) as stream, _decoder(stream) as image:
        _check_size(image)
        _check_compression(image, stream)
        if decoding == "fast" and image.format in ("JPEG", "MPO"):
            width, height = _target_size(form, _orientation(image, form))
            image.draft(None, (2 * width, 2 * height))
        _mend_transparency(image)
        image.load()
        yield image


@contextmanager
def _as_picture_errors() -> Iterator[None]:
    """Turns whatever a decoder raises into PictureError. Pillow promises no particular exception on malformed data."""
    try:
        yield
    except (PictureError, ArgumentError):
        raise
    except FileNotFoundError:
        raise PictureError("no such file") from None
    except PermissionError:
        raise PictureError("may not be read (permission denied)") from None
    except MemoryError:
        raise PictureError("does not fit into memory") from None
    except Image.DecompressionBombError:  # Pillow's own limit, far above ours
        raise PictureError(f"the header claims too many pixels (allowed: {MAX_PIXELS:,})") from None
    except UnidentifiedImageError:  # its text has only the address of a Python object
        raise PictureError("cannot be decoded: the header is damaged or of an unknown kind") from None
    except Exception as error:
        raise PictureError(f"cannot be decoded: {str(error) or type(error).__name__}") from error


@contextmanager
def _opened(source: object) -> Iterator[BinaryIO]:
    if isinstance(source, bytes | bytearray | memoryview):
        yield io.BytesIO(bytes(source))  # bytes() also takes a memoryview with gaps
    elif isinstance(source, str | os.PathLike):
        if not stat.S_ISREG(mode := os.stat(source).st_mode):  # asked before: opening a pipe waits for its other end
            raise PictureError(
                "is a folder, not a picture" if stat.S_ISDIR(mode) else "is a pipe or device, not a file"
            )
        with open(source, "rb") as stream:
            yield stream
    elif hasattr(source, "read"):
        data = source.read()
        if not isinstance(data, bytes):
            raise ArgumentError(f"the file object gives {type(data).__name__}, expected bytes: open it with mode 'rb'")
        yield io.BytesIO(data)
    else:
        raise ArgumentError(
            f"a picture cannot be read from {type(source).__name__} "
            "(allowed: a path, bytes, a binary file object, a PIL image, a uint8 array)"
        )


def _decoder(stream: BinaryIO) -> ImageFile:
    """The opened but not yet decoded image, read by the one decoder its first bytes ask for."""
    head = stream.read(16)
    stream.seek(0)
    if not head:
        raise PictureError("the file is empty")
    if head.startswith(b"\xff\xd8\xff"):
        name = "JPEG"
    elif head.startswith(b"\x89PNG\r\n\x1a\n"):
        name = "PNG"
    elif head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        from PIL import WebPImagePlugin  # noqa: F401  registers the decoder

        name = "WEBP"
    elif head[:6] in (b"GIF87a", b"GIF89a"):
        name = "GIF"
    elif head.startswith(b"BM"):
        name = "BMP"
    elif head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS:
        _register_heif()
        name = "HEIF"
    else:
        raise PictureError("not a JPEG, PNG, WebP, BMP, GIF or HEIC picture, by its content")
    return Image.open(stream, formats=(name,))


def _register_heif() -> None:
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        raise PictureError("HEIC needs one more package: pip install pillow-heif") from None
    register_heif_opener()


def _check_size(image: Image.Image) -> None:
    width, height = image.size
    if not width or not height:
        raise PictureError(f"{width}x{height} pixels are no picture")
    if width * height > MAX_PIXELS:
        raise PictureError(f"{width}x{height} pixels are too many (allowed: {MAX_PIXELS:,})")


def _check_compression(image: ImageFile, stream: BinaryIO) -> None:
    """Raises PictureError for a small file that would take long to decode."""
    if image.format == "BMP" and image.tile[0][0] == "bmp_rle" and image.width * image.height > _MAX_RLE_PIXELS:
        raise PictureError(f"a run-length BMP of {image.width}x{image.height} pixels (allowed: {_MAX_RLE_PIXELS:,})")
    if not image.info.get("progressive"):
        return
    position = stream.tell()
    stream.seek(0)
    data = stream.read()
    stream.seek(position)
    if data.count(b"\xff\xda") > _MAX_SCANS and (scans := _scan_count(data)) > _MAX_SCANS:
        raise PictureError(f"a progressive JPEG of {scans} scans (allowed: {_MAX_SCANS})")


def _scan_count(jpeg: bytes) -> int:
    """The scans up to the end of the picture. What only looks like one, in a thumbnail or an appended film, is none."""
    scans = 0
    position = jpeg.find(b"\xff", 2)
    while 0 <= position < len(jpeg) - 3 and (marker := jpeg[position + 1]) != 0xD9:
        scans += marker == 0xDA
        if marker == 0xFF:
            position += 1
        elif marker <= 0x01 or 0xD0 <= marker <= 0xD8:  # these stand alone: stuffing, restarts
            position += 2
        else:
            position += 2 + int.from_bytes(jpeg[position + 2 : position + 4], "big")
        position = jpeg.find(b"\xff", position)
    return scans


def _orientation(image: Image.Image, form: PictureForm) -> int:
    """The EXIF orientation, 1 to 8; 1 (upright) where there is none that can be read."""
    if form.orientation == "ignore":
        return 1
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # noqa: BLE001  a broken EXIF block must not lose a good picture; Pillow raises many kinds here
        return 1
    return value if value in _TRANSPOSES else 1


def _target_size(form: PictureForm, orientation: int) -> tuple[int, int]:
    """Width and height before the picture is turned upright."""
    return (form.height, form.width) if orientation >= 5 else (form.width, form.height)


def fitted(image: Image.Image, form: PictureForm) -> NDArray[np.uint8]:
    """Resized first and turned after, so that only the small picture is ever held twice."""
    orientation = _orientation(image, form)
    mirrored = (orientation in _MIRRORED_ACROSS, orientation in _MIRRORED_DOWN)
    resized = _fitted(_rgb(image, form), _target_size(form, orientation), form.fit, mirrored)
    if orientation != 1:
        resized = resized.transpose(_TRANSPOSES[orientation])
    return np.asarray(resized)


def _mend_transparency(image: ImageFile) -> None:
    """Brings the transparent colour of an opened, not yet decoded PNG to the eight bits its pixels will have."""
    if image.format != "PNG" or "transparency" not in image.info or not image.tile:
        return
    scale, colour = _TRANSPARENT_SCALES.get(str(image.tile[0][3])), image.info["transparency"]
    if scale is not None:
        image.info["transparency"] = (
            tuple(int(sample * scale) for sample in colour) if isinstance(colour, tuple) else int(colour * scale)
        )


def _rgb(image: Image.Image, form: PictureForm) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits a sample: the upper eight, not clipped as Pillow's own conversion does
        upper = Image.fromarray((np.asarray(image).clip(0, 0xFFFF) >> 8).astype(np.uint8))
        upper.info = image.info
        image = upper
    if image.mode in ("RGBA", "LA", "PA", "RGBa") or "transparency" in image.info:
        rgba = image if image.mode == "RGBA" else image.convert("RGBA")
        ground = Image.new("RGB", rgba.size, form.transparency)
        ground.paste(rgba, mask=rgba)
        return ground
    return image if image.mode == "RGB" else image.convert("RGB")


def _fitted(image: Image.Image, size: tuple[int, int], fit: str, mirrored: tuple[bool, bool]) -> Image.Image:
    """`mirrored` says which axes will be turned round: there an odd pixel to spare belongs to the other side."""
    width, height = image.size
    if fit == "stretch":
        return image if image.size == size else image.resize(size, Image.Resampling.BILINEAR)
    if fit == "crop":  # the box of keras.utils.load_img(keep_aspect_ratio=True)
        cropped_width = min(width, max(1, height * size[0] // size[1]))
        cropped_height = min(height, max(1, width * size[1] // size[0]))
        left, top = _start(width - cropped_width, mirrored[0]), _start(height - cropped_height, mirrored[1])
        box = (left, top, left + cropped_width, top + cropped_height)
        return image.resize(size, Image.Resampling.BILINEAR, box=box)
    scale = min(size[0] / width, size[1] / height)
    inner = (min(size[0], max(1, round(width * scale))), min(size[1], max(1, round(height * scale))))
    place = (_start(size[0] - inner[0], mirrored[0]), _start(size[1] - inner[1], mirrored[1]))
    padded = Image.new("RGB", size)
    padded.paste(image.resize(inner, Image.Resampling.BILINEAR), place)
    return padded


def _start(spare: int, mirrored: bool) -> int:
    return (spare + 1) // 2 if mirrored else spare // 2


def _checked_array(array: NDArray[np.generic]) -> NDArray[np.uint8]:
    if array.dtype != np.uint8:
        raise ArgumentError(
            f"an array of {array.dtype} is not a picture (allowed: uint8, 0 to 255; preprocessing is in the model): "
            "use array.astype('uint8') once its values are 0 to 255"
        )
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)) or 0 in array.shape:
        raise ArgumentError(f"an array of shape {array.shape} is not a picture (allowed: (H, W), (H, W, 1 | 3 | 4))")
    return np.asarray(array, np.uint8)
