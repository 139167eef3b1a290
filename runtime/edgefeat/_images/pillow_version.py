"""A Pillow with known holes is warned of and used all the same: 32-bit Raspberry Pi OS has 9.4 and no newer one."""

from __future__ import annotations

import warnings

import PIL

from edgefeat._errors import EdgefeatWarning

__all__ = ["old_pillow", "warn_of_old_pillow"]

# The first without a published flaw by which a picture could run code (libwebp's CVE-2023-4863, CVE-2024-28219).
_SOUND = (10, 3)


def old_pillow() -> str | None:
    """What to say of this Pillow; None where nothing is known against it."""
    numbers = tuple(int(part) for part in PIL.__version__.split(".")[:2] if part.isdigit())
    if numbers >= _SOUND:
        return None
    return (
        f"Pillow {PIL.__version__} has known flaws that a hostile picture can use (sound: 10.3 or newer): "
        "pip install -U pillow; Debian mends its own: apt-get install --only-upgrade python3-pil"
    )


def warn_of_old_pillow() -> None:
    """Says so once to whoever called the caller."""
    if sentence := old_pillow():
        warnings.warn(sentence, EdgefeatWarning, stacklevel=3)
