"""Everything edgefeat raises on purpose.

    EdgefeatError
    ├── ArgumentError       what was asked for is not possible (also a ValueError); exit status 2
    ├── BundleError         the folder is not a whole, unaltered bundle of this schema
    ├── PictureError        one picture cannot be read (also a ValueError)
    ├── EngineError         no engine can run this, or the engine itself failed
    │   └── MissingExtraError   a part of edgefeat is not installed (also an ImportError)
    ├── OutputError         a result could not be written
    ├── StoreError          a feature database cannot be opened, read or written
    └── ExportError         a backbone could not be turned into a bundle

A message holds the value, what is allowed, and where there is one the command that mends it.
"""

from __future__ import annotations

__all__ = [
    "ArgumentError",
    "BundleError",
    "EdgefeatError",
    "EdgefeatWarning",
    "EngineError",
    "ExportError",
    "MissingExtraError",
    "OutputError",
    "PictureError",
    "StoreError",
]


class EdgefeatError(Exception):
    """The base of every error raised on purpose; its text is a sentence for the user."""


class ArgumentError(EdgefeatError, ValueError):
    """An argument is not one of those that are possible."""


class BundleError(EdgefeatError):
    """A folder is not a whole, unaltered bundle that this version can read."""


class PictureError(EdgefeatError, ValueError):
    """A picture cannot be read."""


class EngineError(EdgefeatError):
    """No engine can run the variant, or the engine failed."""


class MissingExtraError(EngineError, ImportError):
    """A part of edgefeat that is installed separately is missing."""


class OutputError(EdgefeatError):
    """A result could not be written."""


class StoreError(EdgefeatError):
    """A feature database is missing, damaged, in use, of another kind, or cannot be written."""


class ExportError(EdgefeatError):
    """A backbone could not be turned into a bundle."""


class EdgefeatWarning(UserWarning):
    """Something works, but should be mended; its text is a sentence for the user."""
