"""What has to be installed for a program, in bytes on this disk."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

__all__ = ["edgefeat_bytes", "installed_bytes"]

# One wheel brings all three.
_OWN = ("edgefeat", "edgefeat_export", "edgefeat_bench")


def installed_bytes(names: Sequence[str]) -> int:
    """What these distributions and all that they require take, extras left out."""
    found: dict[str, Distribution] = {}
    waiting = list(names)
    while waiting:
        name = re.split(r"[\s;<>=!~\[(]", waiting.pop(), maxsplit=1)[0].lower().replace("_", "-")
        if name in found:
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            continue  # required under a marker that does not hold here
        waiting += [need for need in found[name].requires or () if "extra ==" not in need]
    return sum(_size(Path(str(file.locate()))) for one in found.values() for file in one.files or ())


def edgefeat_bytes() -> int:
    """What edgefeat's own wheel takes."""
    specs = [importlib.util.find_spec(name) for name in _OWN]
    folders = [folder for spec in specs if spec is not None for folder in spec.submodule_search_locations or ()]
    return sum(_size(path) for folder in folders for path in Path(folder).rglob("*"))


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
