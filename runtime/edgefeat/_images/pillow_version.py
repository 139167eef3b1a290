"""A warning for Pillow versions with known vulnerabilities. They still work: 32-bit Raspberry Pi OS has only 9.4."""

from __future__ import annotations

import warnings

import PIL

from edgefeat._errors import EdgefeatWarning

__all__ = ["old_pillow", "warn_of_old_pillow"]

# The first version without a known vulnerability that lets an image run code (CVE-2023-4863 in libwebp,
# CVE-2024-28219).
_SOUND = (10, 3)


def old_pillow() -> str | None:
    """Return the warning for the installed Pillow, or None if there is no known vulnerability."""
    numbers = tuple(int(part) for part in PIL.__version__.split(".")[:2] if part.isdigit())
    if numbers >= _SOUND:
        return None
    return (
        f"Pillow {PIL.__version__} has known vulnerabilities that a malicious image can exploit (fixed in 10.3): "
        "pip install -U pillow; on Debian: apt-get install --only-upgrade python3-pil"
    )


def warn_of_old_pillow() -> None:
    """Warn about an old Pillow. The warning names the caller of the calling function."""
    if sentence := old_pillow():
        warnings.warn(sentence, EdgefeatWarning, stacklevel=3)
