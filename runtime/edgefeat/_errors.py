"""The exceptions of edgefeat, and checks that raise them.

    EdgefeatError
    ├── ArgumentError       an argument is not valid (also a ValueError); exit status 2
    ├── BundleError         the folder is not a complete, unmodified bundle of this schema
    ├── PictureError        an image cannot be read (also a ValueError)
    ├── EngineError         no engine can run this, or the engine failed
    │   └── MissingExtraError   a part of edgefeat is not installed (also an ImportError)
    ├── OutputError         a result cannot be written
    ├── StoreError          a feature database cannot be opened, read or written
    └── ExportError         a backbone cannot be exported

A message names the value, what is allowed and, where there is one, the command that fixes it.
"""

from __future__ import annotations

import operator
from typing import Any, ClassVar

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
    "checked_type",
    "checked_whole",
]


class EdgefeatError(Exception):
    """The base class of all exceptions raised by edgefeat. The text is written for the user."""

    #: The page of the documentation that helps; commands name it after the text.
    page: ClassVar[str] = "reference/errors"


class ArgumentError(EdgefeatError, ValueError):
    """An argument is not valid."""


class BundleError(EdgefeatError):
    """A folder is not a complete, unmodified bundle that this version can read."""

    page = "bundle"


class PictureError(EdgefeatError, ValueError):
    """An image cannot be read."""

    page = "pictures"


class EngineError(EdgefeatError):
    """No engine can run the variant, or the engine failed."""

    page = "engines"


class MissingExtraError(EngineError, ImportError):
    """A part of edgefeat that is installed separately is missing."""

    page = "install"


class OutputError(EdgefeatError):
    """A result cannot be written."""


class StoreError(EdgefeatError):
    """A feature database is missing, damaged, in use, of another kind, or cannot be written."""

    page = "reference/database"


class ExportError(EdgefeatError):
    """A backbone cannot be exported."""

    page = "your-model"


class EdgefeatWarning(UserWarning):
    """Something works but should be fixed. The text is written for the user."""


def checked_whole(name: str, value: Any, least: int = 1, most: int | None = None) -> int:
    """Return `value` as a whole number, of any type. Raises ArgumentError unless it is one, and within the limits.

    The message has `name`, the argument's.
    """
    allowed = f"{least} to {most}" if most is not None else f"{least} or more"
    try:
        whole = int(value) if isinstance(value, float) and value.is_integer() else operator.index(value)
    except TypeError:
        raise ArgumentError(f"{name} is {value!r} (allowed: a whole number, {allowed})") from None
    if whole < least or (most is not None and whole > most):
        raise ArgumentError(f"{name} is {whole} (allowed: {allowed})")
    return whole


def checked_type(name: str, value: Any, kinds: tuple[type, ...], allowed: str) -> None:
    """Raise ArgumentError if `value` is of none of these types; `allowed` says what it may be."""
    if not isinstance(value, kinds):
        said = repr(value)
        shown = said if len(said) <= 60 else f"a {type(value).__name__}"
        raise ArgumentError(f"{name} is {shown} (allowed: {allowed})")
