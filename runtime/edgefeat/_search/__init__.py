"""Search and duplicates in a feature database, and contact sheets to look at the result."""

from __future__ import annotations

from edgefeat._search._groups import Duplicate, duplicates
from edgefeat._search._query import extractor_for
from edgefeat._search._ranking import Neighbour, rank
from edgefeat._search._searching import search

__all__ = ["Duplicate", "Neighbour", "duplicates", "extractor_for", "rank", "search"]
