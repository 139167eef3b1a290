"""The supported image formats, and the endings of their files, for finding images in folders and archives."""

__all__ = ["PICTURE_SUFFIXES", "SUFFIXES"]

#: By the name of the format.
SUFFIXES = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "PNG": (".png",),
    "WebP": (".webp",),
    "AVIF": (".avif",),
    "HEIC": (".heic", ".heif", ".hif"),
    "TIFF": (".tif", ".tiff"),
    "JPEG 2000": (".jp2", ".j2k", ".j2c", ".jpx", ".jpf"),
    "JPEG XL": (".jxl",),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "PNM": (".pnm", ".ppm", ".pgm", ".pbm"),
}

#: The endings by which images are found in folders. A file named directly is tried whatever its ending.
PICTURE_SUFFIXES = tuple(suffix for suffixes in SUFFIXES.values() for suffix in suffixes)
