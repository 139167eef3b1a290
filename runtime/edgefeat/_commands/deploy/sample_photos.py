"""Photos to measure a board with: the bundle's golden images, enlarged to the size of a small camera's."""

from __future__ import annotations

import io

from PIL import Image

from edgefeat._bundle.golden import read_golden
from edgefeat._bundle.reader import Bundle

__all__ = ["SAMPLE_SIZE", "sample_photos"]

#: Width and height of the samples, in pixels: 2 megapixels.
SAMPLE_SIZE = (1600, 1200)
_COUNT = 4


def sample_photos(bundle: Bundle) -> list[tuple[str, bytes]]:
    """Return the names and JPEG bytes of up to four photos."""
    found = []
    for index, picture in enumerate(read_golden(bundle).pictures[:_COUNT]):
        stream = io.BytesIO()
        Image.fromarray(picture).resize(SAMPLE_SIZE, Image.Resampling.BICUBIC).save(stream, "JPEG", quality=90)
        found.append((f"sample-{index + 1}.jpg", stream.getvalue()))
    return found
