"""docs/pictures.md names the file extensions by which images are found."""

from __future__ import annotations

import re

from tests.docs.commands import ROOT

from edgefeat._images.formats.suffixes import PICTURE_SUFFIXES


def test_the_page_has_every_extension_and_no_other() -> None:
    page = (ROOT / "docs" / "pictures.md").read_text(encoding="utf-8")
    listed = page.partition("images are found by these extensions")[2].partition("A file that you name")[0]
    assert re.findall(r"`(\.\w+)`", listed) == list(PICTURE_SUFFIXES)
