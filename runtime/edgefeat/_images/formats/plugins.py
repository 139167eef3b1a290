"""Opening a file with one of Pillow's plugins. `Image.open` would import all plugins and try each."""

from __future__ import annotations

from typing import BinaryIO

import PIL
from PIL import Image
from PIL.ImageFile import ImageFile

from edgefeat._errors import PictureError

__all__ = [
    "open_avif",
    "open_bmp",
    "open_gif",
    "open_heif",
    "open_jpeg",
    "open_jpeg2000",
    "open_jxl",
    "open_png",
    "open_pnm",
    "open_tiff",
    "open_webp",
]


def open_jpeg(stream: BinaryIO) -> ImageFile:
    """Open a JPEG; of several images in one file (MPO), the first."""
    from PIL.JpegImagePlugin import jpeg_factory

    return jpeg_factory(stream)


def open_png(stream: BinaryIO) -> ImageFile:
    """Open a PNG."""
    from PIL.PngImagePlugin import PngImageFile

    return PngImageFile(stream)


def open_webp(stream: BinaryIO) -> ImageFile:
    """Open a WebP."""
    from PIL import WebPImagePlugin

    if not getattr(WebPImagePlugin, "SUPPORTED", True):
        raise _lacking("WebP")
    return WebPImagePlugin.WebPImageFile(stream)


def open_gif(stream: BinaryIO) -> ImageFile:
    """Open a GIF."""
    from PIL.GifImagePlugin import GifImageFile

    return GifImageFile(stream)


def open_bmp(stream: BinaryIO) -> ImageFile:
    """Open a BMP."""
    from PIL.BmpImagePlugin import BmpImageFile

    return BmpImageFile(stream)


def open_tiff(stream: BinaryIO) -> ImageFile:
    """Open a TIFF."""
    from PIL.TiffImagePlugin import TiffImageFile

    return TiffImageFile(stream)


def open_pnm(stream: BinaryIO) -> ImageFile:
    """Open a PBM, PGM or PPM."""
    from PIL.PpmImagePlugin import PpmImageFile

    return PpmImageFile(stream)


def open_jpeg2000(stream: BinaryIO) -> ImageFile:
    """Open a JPEG 2000."""
    from PIL import features
    from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile

    if not features.check_codec("jpg_2000"):
        raise _lacking("JPEG 2000")
    return Jpeg2KImageFile(stream)


def open_avif(stream: BinaryIO) -> ImageFile:
    """Open an AVIF with Pillow or, if it lacks support, with `pillow-avif-plugin`."""
    try:
        from PIL import AvifImagePlugin
    except ImportError:
        return _by_plugin(
            stream,
            "pillow_avif",
            "AVIF",
            f"AVIF requires Pillow 11.3 or newer (installed: {PIL.__version__}): pip install -U pillow",
        )
    if not AvifImagePlugin.SUPPORTED:
        raise _lacking("AVIF")
    return AvifImagePlugin.AvifImageFile(stream)


def open_heif(stream: BinaryIO) -> ImageFile:
    """Open a HEIC with `pillow-heif`."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        raise PictureError("HEIC requires another package: pip install pillow-heif") from None
    register_heif_opener()
    return _registered("HEIF", stream)


def open_jxl(stream: BinaryIO) -> ImageFile:
    """Open a JPEG XL with `pillow-jxl-plugin`."""
    try:
        return _by_plugin(
            stream, "pillow_jxl", "JXL", "JPEG XL requires another package: pip install pillow-jxl-plugin"
        )
    except (PictureError, MemoryError):
        raise
    except Exception as error:
        raise PictureError("cannot be decoded: the JPEG XL is damaged") from error


def _by_plugin(stream: BinaryIO, module: str, kind: str, missing: str) -> ImageFile:
    import importlib

    try:
        importlib.import_module(module)
    except ImportError:
        raise PictureError(missing) from None
    return _registered(kind, stream)


def _registered(kind: str, stream: BinaryIO) -> ImageFile:
    factory, _ = Image.OPEN[kind]
    return factory(stream, "")


def _lacking(kind: str) -> PictureError:
    return PictureError(
        f"this Pillow ({PIL.__version__}) was built without {kind}: "
        "pip install --force-reinstall --only-binary pillow pillow"
    )
