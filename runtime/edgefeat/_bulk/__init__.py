"""Features of very many photos: worker processes that may die, one SQLite file that may not lose a row."""

from __future__ import annotations

from edgefeat._bulk._run import BulkOptions, BulkResult, extract_into

__all__ = ["BulkOptions", "BulkResult", "extract_into"]
