"""Where features can be written: the formats of feature files, and whether a path will do."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

from edgefeat._bundle.atomic_files import led_to
from edgefeat._errors import ArgumentError, MissingExtraError

__all__ = ["OUTPUT_SUFFIXES", "check_output", "pyarrow_modules"]

#: The file extensions of feature files.
OUTPUT_SUFFIXES = (".npz", ".npy", ".csv", ".jsonl", ".parquet")


def check_output(path: str | os.PathLike[str], taps: Collection[str]) -> None:
    """Raise ArgumentError or MissingExtraError early, rather than after an hour of work."""
    target = Path(path)
    file = led_to(target)
    folder = file.absolute().parent
    if target.suffix.lower() not in OUTPUT_SUFFIXES:
        raise ArgumentError(
            f"output {str(path)!r} has an unknown file extension (allowed: {', '.join(OUTPUT_SUFFIXES)})"
        )
    if (os.path.lexists(file) and not file.is_file()) or not folder.is_dir():
        raise ArgumentError(
            f"output {str(path)!r} cannot be written: its folder does not exist, or it is no plain file but a "
            "folder, a device or a pipe"
        )
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ArgumentError(f"output {str(path)!r} cannot be written: {folder} is not writable")
    if target.suffix.lower() == ".npy" and len(taps) > 1:
        raise ArgumentError(f"a .npy file holds one tap, the bundle has {', '.join(taps)}: use .npz")
    if target.suffix.lower() == ".parquet":
        pyarrow_modules()


def pyarrow_modules() -> tuple[Any, Any]:
    """Return the modules pyarrow and pyarrow.parquet. Raises MissingExtraError if they are not installed."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingExtraError("Parquet requires another package: pip install pyarrow") from None
    return pyarrow, pyarrow.parquet
