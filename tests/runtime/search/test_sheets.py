"""Contact sheets: what is on them, read back from the files."""

from __future__ import annotations

import base64
import html
import io
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFont

import edgefeat
from edgefeat._commands.neighbours.sheets.sheet import Sheet, SheetRow, Tile
from edgefeat._commands.neighbours.sheets.sheet_file import check_sheet, write_sheet

CHROMIUM = os.environ.get("EDGEFEAT_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


class _Page(HTMLParser):
    """The elements of a page with their attributes, and its text; fails where they do not nest."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self._open: list[str] = []
        self.feed(source)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def tall(tmp_path: Path) -> str:
    """A photo stored lying, which EXIF turns upright: red above blue."""
    pixels = np.zeros((300, 600, 3), np.uint8)
    pixels[:, :300], pixels[:, 300:] = (255, 0, 0), (0, 0, 255)
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / 'a "tall" <photo> & more.jpg'
    Image.fromarray(pixels).save(path, exif=exif, quality=95)
    return str(path)


def sheet_of(tall: str, photos: list[str], tmp_path: Path) -> Sheet:
    (tmp_path / "cut.jpg").write_bytes(b"\xff\xd8\xff")
    tiles = [Tile(photos[0], "0.900 one"), Tile(str(tmp_path / "cut.jpg"), "0.800 cut"), Tile("/gone.jpg", "0.700")]
    return Sheet("Photos <of> mine", "Three & more.", [SheetRow(tall, Tile(tall, "query"), tiles)])


def test_a_page_holds_all_it_shows(tall: str, photos: list[str], tmp_path: Path) -> None:
    write_sheet(sheet_of(tall, photos, tmp_path), tmp_path / "sheet.html")
    source = (tmp_path / "sheet.html").read_text(encoding="utf-8")
    page = _Page(source)
    assert page.all("html") == [{"lang": "en"}]
    assert "Photos <of> mine" in page.text
    assert [len(page.all(tag)) for tag in ("title", "h1", "h2", "main", "figure", "img")] == [1, 1, 1, 1, 4, 2]
    assert not page.all("script") + page.all("link")
    assert not re.findall(r"https?:", source)
    viewports = [meta for meta in page.all("meta") if meta.get("name") == "viewport"]
    assert viewports == [{"name": "viewport", "content": "width=device-width, initial-scale=1"}]
    assert "prefers-color-scheme: dark" in source
    first, second = page.all("img")
    assert first["alt"] == os.path.basename(tall)
    assert second["alt"] == os.path.basename(photos[0])
    data = base64.b64decode(str(first["src"]).removeprefix("data:image/jpeg;base64,"))
    with Image.open(io.BytesIO(data)) as image:
        assert image.size == (160, 320) == (int(str(first["width"])), int(str(first["height"])))
        assert image.getpixel((80, 60))[0] > 200  # type: ignore[index]  # of an RGB picture
        assert image.getpixel((80, 260))[2] > 200  # type: ignore[index]
    gone = [attributes["aria-label"] for attributes in page.all("div")]
    assert gone == ["cut.jpg", "gone.jpg"]
    said = " ".join(page.text)
    assert "cut.jpg: cannot be decoded" in said
    assert "gone.jpg: no such file" in said
    assert tall in said
    captions = re.findall(r"<figcaption>(.*?)<span>(.*?)</span></figcaption>", source)
    assert captions[1:] == [("0.900 one", os.path.basename(photos[0])), ("0.800 cut", "cut.jpg"), ("0.700", "gone.jpg")]


def test_a_name_that_is_not_utf8_can_be_shown_and_opened(tmp_path: Path) -> None:
    name = os.path.join(os.fspath(tmp_path), os.fsdecode(b"caf\xe9.png"))
    try:
        Image.new("RGB", (30, 20), "green").save(name)
    except (OSError, UnicodeEncodeError):
        pytest.skip("the file system allows no such name")
    for ending in ("html", "png"):
        sheet = Sheet("One", "", [SheetRow(name, Tile(name, name), [])])
        write_sheet(sheet, tmp_path / f"sheet.{ending}")
    (link,) = _Page((tmp_path / "sheet.html").read_text(encoding="utf-8")).all("a")
    assert str(link["href"]).endswith("/caf%E9.png")


def check_upright_and_whole(pixels: NDArray[np.int_], height: float) -> None:
    """The tall photo, red above blue, is in the picture with all it shows."""
    red = np.argwhere((pixels[..., 0] > 200) & (pixels[..., 1] < 60) & (pixels[..., 2] < 60))
    blue = np.argwhere((pixels[..., 2] > 200) & (pixels[..., 1] < 60) & (pixels[..., 0] < 60))
    assert red[:, 0].max() < blue[:, 0].min()
    assert blue[:, 0].max() - red[:, 0].min() + 1 == pytest.approx(height, abs=3)
    for half in (red, blue):
        assert np.ptp(half, axis=0) + 1 == pytest.approx((height / 2, height / 2), abs=3)


def test_a_png_shows_photos_upright_and_whole(tall: str, photos: list[str], tmp_path: Path) -> None:
    write_sheet(sheet_of(tall, photos, tmp_path), tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as image:
        pixels = np.asarray(image).astype(int)
    check_upright_and_whole(pixels[:, :170], 150)
    assert (pixels == 0xE6).all(-1).sum() > 2 * 100 * 100  # the places of the two that cannot be shown


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is absent: apt-get install chromium")
def test_a_page_shows_photos_upright_and_whole(tall: str, tmp_path: Path) -> None:
    row = SheetRow("Twice the same", Tile(tall, "query"), [Tile(tall, "1.000")])
    write_sheet(Sheet("A sheet", "Of photos.", [row]), tmp_path / "sheet.html")
    shot = tmp_path / "shot.png"
    command = [
        str(CHROMIUM),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--force-device-scale-factor=1",
    ]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1100,500", f"--screenshot={shot}"]
    subprocess.run([*command, (tmp_path / "sheet.html").as_uri()], check=True, capture_output=True, timeout=120)
    with Image.open(shot) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    check_upright_and_whole(pixels[:, :185], 160)
    check_upright_and_whole(pixels[:, 185:], 136)


@pytest.mark.parametrize("ending", ["html", "png"])
def test_many_rows_are_cut_and_said_to_be(photos: list[str], tmp_path: Path, ending: str) -> None:
    rows = [SheetRow(f"row {number}", Tile(photos[0], "first"), [Tile(photos[1], "x")] * 9) for number in range(400)]
    write_sheet(Sheet("Many", "All of them.", rows), tmp_path / f"sheet.{ending}")
    if ending == "html":
        source = (tmp_path / "sheet.html").read_text(encoding="utf-8")
        assert "All of them. The first 300 of 400 are shown." in source
        assert source.count("<figure") == 3000
    else:
        with Image.open(tmp_path / "sheet.png") as image:
            assert image.height < 30_000


@pytest.mark.parametrize("ending", ["html", "png"])
def test_a_sheet_of_nothing_is_a_sheet(tmp_path: Path, ending: str) -> None:
    write_sheet(Sheet("Nothing", "No groups.", []), tmp_path / f"sheet.{ending}")
    assert (tmp_path / f"sheet.{ending}").stat().st_size > 300


def test_where_no_sheet_can_be_is_said(tmp_path: Path) -> None:
    for name, said in (("a.gif", "allowed: .html, .png"), ("no/a.png", "its folder does not exist")):
        with pytest.raises(edgefeat.ArgumentError, match=said):
            check_sheet(tmp_path / name)
    if os.name == "posix" and os.geteuid() != 0:
        (tmp_path / "closed").mkdir(mode=0o555)
        with pytest.raises(edgefeat.ArgumentError, match="cannot be written"):
            check_sheet(tmp_path / "closed" / "a.png")


@pytest.mark.skipif(os.name != "posix", reason="needs names with control characters")
def test_a_name_of_two_lines_is_shown_in_one(photos: list[str], tmp_path: Path) -> None:
    """A second line would be drawn over the photo below."""
    sheets = []
    for name in ("a\nb.jpg", "a\\x0ab.jpg", "another.jpg"):
        shutil.copy(photos[1], tmp_path / name)
        row = SheetRow("a heading", Tile(photos[0], "query"), [Tile(str(tmp_path / name), "0.5")])
        write_sheet(Sheet("A sheet", "Of photos.", [row]), tmp_path / "sheet.png")
        sheets.append((tmp_path / "sheet.png").read_bytes())
    assert sheets[0] == sheets[1] != sheets[2]


def test_tiles_that_are_left_out_are_told_of(photos: list[str], tmp_path: Path) -> None:
    rows = [SheetRow(heading, Tile(photos[0], "first"), [Tile("/gone.jpg", "x")] * 3500) for heading in ("one", "two")]
    write_sheet(Sheet("Many", "All of them.", rows), tmp_path / "sheet.html")
    source = html.unescape((tmp_path / "sheet.html").read_text(encoding="utf-8"))
    assert "All of them. The first 1 of 2 are shown. Of 'one' the first 3000 of 3501 photos are shown." in source
    assert source.count("<figure") == 3000


def test_letters_that_the_font_lacks_are_drawn_plain(photos: list[str], tmp_path: Path) -> None:
    font: Any = ImageFont.load_default()
    try:
        missing = font.getmask("\uffff")
    except UnicodeEncodeError:  # the font of an old Pillow has the letters of Latin-1, and refuses all others
        missing = None
    if missing is None or bytes(font.getmask("\u00fc")) != bytes(missing):
        pytest.skip("this Pillow's font has these letters")
    sheets = []
    for name in ("\u00fcn\u00efc\u00f6d\u00e9 \u05d0.jpg", "unicode ?.jpg"):
        shutil.copy(photos[1], tmp_path / name)
        row = SheetRow("a heading", Tile(photos[0], "query"), [Tile(str(tmp_path / name), "0.5")])
        write_sheet(Sheet("A sheet", "Of photos.", [row]), tmp_path / "sheet.png")
        sheets.append((tmp_path / "sheet.png").read_bytes())
    assert sheets[0] == sheets[1]
