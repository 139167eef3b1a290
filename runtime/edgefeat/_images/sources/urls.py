"""URLs, which look like paths but are not read."""

from __future__ import annotations

import re

__all__ = ["URL", "url_advice"]

#: A URL, which looks like a path but is not one.
URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


def url_advice(url: str) -> str:
    """Return advice on using a URL."""
    return f"is a URL, which is not supported: download it first with: curl -LO '{url}'"
