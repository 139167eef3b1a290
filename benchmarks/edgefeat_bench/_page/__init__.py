"""Runs as one page to read: no network, no script, light and dark, phone and print."""

from edgefeat_bench._page._layout import page
from edgefeat_bench._page._pictures import pictures

__all__ = ["page", "pictures"]
