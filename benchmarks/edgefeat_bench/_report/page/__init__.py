"""Runs as one page to read: no network, no script, light and dark, phone and print."""

from edgefeat_bench._report.page.layout import page
from edgefeat_bench._report.page.pictures import pictures

__all__ = ["page", "pictures"]
