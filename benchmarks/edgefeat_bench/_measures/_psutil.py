"""psutil, or the command that brings it."""

from __future__ import annotations

from edgefeat import MissingExtraError

try:
    import psutil
except ImportError:
    raise MissingExtraError(
        "measuring needs psutil, not installed here; install it with: pip install 'edgefeat[bench]'"
    ) from None

__all__ = ["psutil"]
