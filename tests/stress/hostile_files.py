"""Pictures to be spoilt, of every format and mode, and small files that take long or much to read."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image, features

__all__ = ["RANDOM", "bombs", "made"]

#: What all choices are drawn from, so that a run can be repeated.
RANDOM = np.random.default_rng(0)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def made() -> Iterator[tuple[str, bytes]]:
    """Sound pictures of every format and mode, to be spoilt."""
    noise = Image.fromarray(RANDOM.integers(0, 256, (12, 16, 3), np.uint8)).resize((413, 311))
    alpha = noise.copy()
    alpha.putalpha(noise.convert("L"))
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "camera"
    thumbnail = encoded(noise.resize((80, 60)), "JPEG", progressive=True)
    for progressive in (False, True):
        for sampling in (0, 2):
            yield "jpg", encoded(noise, "JPEG", progressive=progressive, subsampling=sampling, exif=exif)
        yield "jpg", encoded(noise.convert("CMYK"), "JPEG", progressive=progressive)
        yield "jpg", encoded(noise.convert("L"), "JPEG", progressive=progressive, restart_marker_blocks=4)
    plain = encoded(noise, "JPEG")
    yield "jpg", plain[:2] + segment(0xE1, b"Exif\0\0" + thumbnail) + plain[2:]
    yield "jpg", encoded(noise, "MPO", save_all=True, append_images=[alpha.convert("RGB")])
    for image in (noise, alpha, noise.convert("L"), noise.convert("1"), noise.quantize(64), alpha.convert("LA")):
        yield "png", encoded(image, "PNG", exif=exif)
        yield "gif", encoded(image.convert("RGB"), "GIF")
    yield "png", encoded(Image.fromarray(RANDOM.integers(0, 65536, (90, 70), np.uint16)), "PNG")
    yield "png", encoded(noise.quantize(16), "PNG", transparency=3, bits=4)
    yield "png", encoded(noise, "PNG", save_all=True, append_images=[noise.rotate(90), noise.rotate(180)])
    yield "gif", encoded(noise, "GIF", save_all=True, append_images=[noise.rotate(90)] * 5, comment=b"x" * 900)
    for lossless in (False, True):
        yield "webp", encoded(alpha, "WEBP", lossless=lossless, exif=exif)
        yield "webp", encoded(noise, "WEBP", lossless=lossless, save_all=True, append_images=[noise.rotate(90)] * 3)
    for image in (noise, noise.convert("L"), noise.convert("1"), noise.quantize(64)):
        yield "bmp", encoded(image, "BMP")
    yield "bmp", run_length_bmp(300, 200)
    yield from made_of_later_formats(noise, alpha, exif)


def made_of_later_formats(noise: Image.Image, alpha: Image.Image, exif: Image.Exif) -> Iterator[tuple[str, bytes]]:
    """TIFF of every compression and mode, JPEG 2000, PNM, and AVIF where Pillow writes it."""
    for compression in (None, "tiff_lzw", "tiff_adobe_deflate", "packbits", "tiff_jpeg", "jpeg"):
        for image in (noise, noise.convert("L")):
            yield "tif", encoded(image, "TIFF", compression=compression, exif=exif)
    for compression in ("group3", "group4"):
        yield "tif", encoded(noise.convert("1"), "TIFF", compression=compression)
    deep = Image.fromarray(RANDOM.integers(0, 65536, (90, 70), np.uint16))
    for image in (alpha, alpha.convert("LA"), noise.quantize(64), noise.convert("CMYK"), noise.convert("LAB"), deep):
        yield "tif", encoded(image, "TIFF", compression="tiff_lzw")
        yield "tif", encoded(image, "TIFF")
    yield "tif", encoded(Image.fromarray(RANDOM.random((90, 70), np.float32)), "TIFF")
    yield "tif", encoded(noise, "TIFF", save_all=True, append_images=[alpha, deep])
    yield "tif", encoded(noise, "TIFF", big_tiff=True)
    for image in (noise, alpha, noise.convert("L"), deep):
        yield "jp2", encoded(image, "JPEG2000", tile_size=(128, 128))
        yield "j2k", encoded(image, "JPEG2000", no_jp2=True)
    for image in (noise, noise.convert("L"), noise.convert("1"), deep):
        yield "ppm", encoded(image, "PPM")
    yield "ppm", b"P3 # comment\n20 10 255\n" + b"1 2 3 " * 200
    if features.check("avif"):
        for image in (noise, alpha, noise.convert("L")):
            yield "avif", encoded(image, "AVIF", exif=exif)


def tiff_of(tags: list[tuple[int, int, int, int]], *, order: str = "<", after: bytes = b"") -> bytes:
    """A TIFF of one directory: its entries are tag, type, count and value or place."""
    entries = b"".join(struct.pack(f"{order}HHII", *tag) for tag in tags)
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, len(tags))
    return head + entries + bytes(4) + after


def later_bombs() -> Iterator[tuple[str, bytes]]:
    """What small TIFF, JPEG 2000, PNM and AVIF can claim."""
    plain = [(256, 4, 1, 8_000), (257, 4, 1, 8_000), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (277, 3, 1, 1)]
    strip = [(273, 4, 1, 200), (278, 4, 1, 8_000), (279, 4, 1, 64_000_000)]
    yield "tif", tiff_of(plain + strip)
    for compression in (5, 8, 7, 6, 32773, 32946, 34925, 50000, 50001, 34712):
        yield "tif", tiff_of([*plain[:3], (259, 3, 1, compression), *plain[4:], *strip], after=bytes(3000))
    yield "tif", tiff_of([(256, 4, 1, 60_000), (257, 4, 1, 60_000), *plain[2:], *strip])
    yield "tif", tiff_of([*plain[:2], (258, 3, 1, 32), *plain[3:], *strip])
    yield "tif", tiff_of([*plain, (322, 4, 1, 2**31), (323, 4, 1, 2**31), (324, 4, 1, 200), (325, 4, 1, 200)])
    yield "tif", tiff_of([*plain, (322, 4, 1, 16), (323, 4, 1, 16), (324, 4, 250_000, 200), (325, 4, 250_000, 200)])
    yield (
        "tif",
        tiff_of([*plain, (273, 4, 2_000_000, 200), (278, 4, 1, 1), (279, 4, 2_000_000, 200)], after=bytes(8_000_000)),
    )
    many = [(40_000 + number, 7, 20_000_000, 200) for number in range(20_000)]
    yield "tif", tiff_of([*plain, *strip, *many], after=bytes(20_000_000))
    yield "tif", tiff_of([*plain, *strip, *many[:900]], after=bytes(20_000_000))
    yield "tif", tiff_of([*plain, *strip, (34665, 4, 1, 8), (34853, 4, 1, 8), (330, 4, 1, 8)])
    one = tiff_of([(256, 4, 1, 1), (257, 4, 1, 1), *plain[2:], (273, 4, 1, 8), (278, 4, 1, 1), (279, 4, 1, 1)])
    pages = b"".join(one[8:-4] + struct.pack("<I", 8 + (number + 1) * (len(one) - 8)) for number in range(100_000))
    yield "tif", one[:8] + pages
    size = encoded(Image.new("L", (16, 16)), "JPEG2000", no_jp2=True)
    for claim in ((16_000, 16_000, 0, 0, 16_000, 16_000), (2**31, 2**31, 2**31 - 9, 2**31 - 9, 2**31, 2**31)):
        yield "j2k", size[:8] + struct.pack(">6I", *claim) + size[32:]
    yield "j2k", size[:8] + struct.pack(">6I", 4_000, 4_000, 0, 0, 1, 1) + size[32:]
    yield "j2k", size[:8] + struct.pack(">6I", 4_000, 4_000, 0, 0, 4_000, 4_000) + size[32:]
    yield "j2k", size[:40] + struct.pack(">H", 16_384) + b"\7\1\1" * 16_384 + size[45:]
    jp2 = encoded(Image.new("L", (16, 16)), "JPEG2000")
    yield "jp2", jp2[:32] + struct.pack(">I4s", 8, b"free") * 1_000_000 + jp2[32:]
    for words in (b"P3 8000 8000 255 ", b"P5 8000 8000 77 ", b"P1 2000 2000 ", b"P6 2000 2000 12 ", b"P4 8000 8000 "):
        yield "ppm", words + b"1 " * 1_000_000
    for junk in (b" ", b"#", b"#\n", b"1"):
        yield "ppm", b"P6 " + junk * 20_000_000
    yield "ppm", b"P2 3 3 255 " + b"#x" * 20_000_000
    if features.check("avif"):
        yield "avif", encoded(Image.new("RGB", (5_600, 5_600)), "AVIF", speed=10)
        small = encoded(Image.new("RGB", (64, 64)), "AVIF")
        at = small.index(b"ispe") + 8
        for side in (8_000, 16_384, 2**31):
            yield "avif", small[:at] + struct.pack(">II", side, side) + small[at + 8 :]
    for magic in (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"):
        for _ in range(20):
            yield "jxl", magic + RANDOM.bytes(300)


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def run_length_bmp(width: int, height: int) -> bytes:
    pixels = b"\xff\x07\x00\x00" * height + b"\0\1"
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(pixels), 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", 14 + 40 + 1024 + len(pixels), 0, 0, 1078) + header + bytes(1024) + pixels


def png(width: int, height: int, depth: int, colour: int, *, between: bytes = b"", interlaced: int = 0) -> bytes:
    """A black PNG of any size, however small the file."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    packer = zlib.compressobj(9)
    row = bytes(1 + (width * channels * depth + 7) // 8)
    body = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced))
    palette = chunk(b"PLTE", bytes(range(48))) if colour == 3 else b""
    return b"\x89PNG\r\n\x1a\n" + header + palette + between + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def bombs() -> Iterator[tuple[str, bytes]]:
    """Small files that would take long or much to read, and files that are not what they are called."""
    plain = encoded(Image.new("RGB", (400, 300), (9, 80, 200)), "JPEG")
    yield from png_bombs()
    yield from jpeg_bombs(plain)
    yield from gif_and_webp_bombs()
    yield from misnamed(plain)
    yield from later_bombs()


def png_bombs() -> Iterator[tuple[str, bytes]]:
    """Large pictures and large chunks of few bytes."""
    for depth, colour in ((8, 6), (16, 6), (16, 0), (8, 4), (1, 3), (8, 3), (16, 4), (1, 0)):
        for interlaced in (0, 1):
            yield "png", png(8000, 8000, depth, colour, interlaced=interlaced)
            yield "png", png(60_000, 1_000, depth, colour, interlaced=interlaced)
    yield "png", png(8000, 8000, 8, 3, between=chunk(b"tRNS", b"\0\x80"))
    yield "png", png(40, 30, 8, 2).replace(struct.pack(">II", 40, 30), struct.pack(">II", 2**31 - 1, 1))
    profile = zlib.compress(bytes(60_000_000), 9)
    for content in (
        chunk(b"iCCP", b"x\0\0" + profile),
        chunk(b"zTXt", b"x\0\0" + profile) * 70,
        chunk(b"iTXt", b"x\0\1\0\0\0" + profile) * 70,
        chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(900_000), 9)) * 20_000,
        chunk(b"tEXt", b"k\0v") * 400_000,
        chunk(b"IDAT", b"") * 2_000_000,
        chunk(b"eXIf", looping_exif()),
    ):
        yield "png", png(40, 30, 8, 2, between=content)


def jpeg_bombs(plain: bytes) -> Iterator[tuple[str, bytes]]:
    """Long segments, many scans, and frames that claim another size."""
    progressive = encoded(Image.new("RGB", (64, 48), (9, 80, 200)), "JPEG", progressive=True)
    for content in (
        segment(0xE1, b"Exif\0\0" + looping_exif()),
        segment(0xFE, b"") * 3_000_000,
        segment(0xE1, b"Exif\0\0" + bytes(65_000)) * 800,
        segment(0xE2, b"ICC_PROFILE\0\1\xff" + bytes(60_000)) * 255,
        b"\xff" * 20_000_000,
        bytes(20_000_000),
        segment(0xED, b"Photoshop 3.0\0" + b"8BIM\0\0\0\0\0\0\0\0" * 5_000) * 20,
        segment(0xE2, b"MPF\0MM\0*\0\0\0\x08" + b"\xff" * 200),
    ):
        yield "jpg", plain[:2] + content + plain[2:]
    scan = progressive.index(b"\xff\xda")
    for data in (
        huge_jpeg(plain, 65_500, 65_500),
        huge_jpeg(plain, 8_000, 8_000),
        huge_jpeg(progressive, 8_000, 8_000),
    ):
        yield "jpg", data
    last = progressive.rindex(b"\xff\xda")
    for size in ((64, 48), (8_000, 8_000)):
        large = huge_jpeg(progressive, *size)
        yield "jpg", large[:-2] + large[last:-2] * 5_000 + b"\xff\xd9"
        yield "jpg", large[:scan] + large[scan:last] * 90 + b"\xff\xd9"
        sequential = separate_scans(huge_jpeg(plain, *size), 3_000)
        yield "jpg", sequential


def gif_and_webp_bombs() -> Iterator[tuple[str, bytes]]:
    """Long comments, many frames, large claims; BMP too."""
    gif = encoded(Image.new("P", (64, 48), 3), "GIF")
    header = 13 + (3 << ((gif[10] & 7) + 1) if gif[10] & 0x80 else 0)
    for content in (b"!\xfe" + (b"\xff" + bytes(255)) * 60_000 + b"\0", b"!\xfe\1x\0" * 1_000_000, bytes(5_000_000)):
        yield "gif", gif[:header] + content + gif[header:]
    yield "gif", gif[:6] + struct.pack("<HH", 65_535, 65_535) + gif[10:]
    yield "gif", gif[:6] + struct.pack("<HH", 8_000, 8_000) + gif[10:]
    yield "gif", encoded(Image.new("P", (8_000, 8_000), 3), "GIF")
    yield "gif", gif[:-1] + gif[header:-1] * 100_000 + b";"
    for size in ((16_383, 16_383), (16_000, 4_000), (7_900, 4_000)):
        yield "webp", webp_header(*size)
    yield "webp", encoded(Image.new("RGBA", (7_900, 4_000), (1, 2, 3, 4)), "WEBP", lossless=True, method=0, quality=0)
    yield "bmp", run_length_bmp(8_000, 8_000)
    yield "bmp", run_length_bmp(2_000, 2_000)
    yield "bmp", run_length_bmp(-5, -(2**31))
    yield (
        "bmp",
        b"BM" + struct.pack("<IHHI", 0, 0, 0, 54) + struct.pack("<IiiHHIIiiII", 40, 8_000, 8_000, 1, 24, *[0] * 6),
    )


def misnamed(plain: bytes) -> Iterator[tuple[str, bytes]]:
    """Other formats under a picture's name, and beginnings of files."""
    small = Image.new("RGB", (40, 30), "red")
    for kind in ("TIFF", "PPM", "ICO", "EPS", "PDF", "TGA", "PCX", "SGI", "JPEG2000", "DDS", "ICNS", "IM", "XBM"):
        image = small.convert("1") if kind == "XBM" else small
        yield "jpg", encoded(image, kind)
    for text in (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"<svg xmlns='http://www.w3.org/2000/svg'/>"):
        yield "jpg", text + bytes(100)
    yield "jpg", b"8BPS\0\1" + bytes(100)
    yield "jpg", b"\xff\xd8\xff" + b"%PDF-1.4" + plain[3:]
    yield "png", plain + png(40, 30, 8, 2)
    yield "png", b""
    for count in range(1, 40):
        yield "jpg", plain[:count]
        yield "heic", (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + RANDOM.bytes(400))[: count * 10]
        yield "avif", (b"\0\0\0\x18ftypavif\0\0\0\0mif1avif" + RANDOM.bytes(400))[: count * 10]


def looping_exif() -> bytes:
    """A directory whose sub-directories, and whose next one, are itself."""
    entries = b"".join(struct.pack(">HHII", tag, 4, 1, 8) for tag in (0x8769, 0x8825, 0xA005, 0x014A))
    lies = struct.pack(">HHII", 0x0112, 3, 2**32 - 1, 2**32 - 8) + struct.pack(">HHII", 0x010F, 2, 2**31, 8)
    return b"MM\0*\0\0\0\x08" + struct.pack(">H", 6) + entries + lies + struct.pack(">I", 8)


def huge_jpeg(data: bytes, width: int, height: int) -> bytes:
    """The same scans under a frame that claims another size."""
    start = min(place for marker in (b"\xff\xc0", b"\xff\xc2") if (place := data.find(marker)) > 0)
    return data[: start + 5] + struct.pack(">HH", height, width) + data[start + 9 :]


def separate_scans(data: bytes, count: int) -> bytes:
    """The first component's scan again and again, in a frame that is not progressive."""
    scan = data.index(b"\xff\xda")
    one = segment(0xDA, b"\1\1\0\0\x3f\0") + bytes(40)
    return data[:scan] + one * count + b"\xff\xd9"


def webp_header(width: int, height: int) -> bytes:
    body = b"VP8X" + struct.pack("<I", 10) + b"\2\0\0\0" + (width - 1).to_bytes(3, "little")
    body += (height - 1).to_bytes(3, "little") + b"ANIM" + struct.pack("<I", 6) + bytes(6)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body
