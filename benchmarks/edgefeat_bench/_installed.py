"""What is installed: the distributions that a program needs, and the command that runs it without all others."""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution, packages_distributions
from pathlib import Path

__all__ = ["alone", "distributions_of", "installed_bytes", "required"]

_ALONE = Path(__file__).parent / "_scripts" / "alone.py"


def alone(program: Sequence[str], names: Iterable[str]) -> list[str]:
    """Return the command that runs `program` with the distributions `names` and what they require, and no others.

    `program` are a script or `-m` and a module, and arguments.
    """
    needed = {_normal(name) for name in required(names)}
    others = [package for package, providers in _packages().items() if needed.isdisjoint(map(_normal, providers))]
    return [sys.executable, "-P", str(_ALONE), ",".join(sorted(others)), *program]


def distributions_of(modules: Iterable[str]) -> list[str]:
    """Return the names of the installed distributions that have these top-level modules."""
    return [name for module in modules for name in _packages().get(module, ())]


def required(names: Iterable[str]) -> dict[str, Distribution]:
    """Return the installed ones of these distributions and all that they require, without extras, by name."""
    found: dict[str, Distribution] = {}
    waiting = list(names)
    while waiting:
        name = _normal(re.split(r"[\s;<>=!~\[(]", waiting.pop(), maxsplit=1)[0])
        if name in found:
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            continue  # required under a marker that does not apply here
        waiting += [need for need in found[name].requires or () if "extra ==" not in need]
    return found


def installed_bytes(names: Iterable[str]) -> int:
    """Return the size of these distributions and all that they require, without extras."""
    paths = [Path(str(file.locate())) for one in required(names).values() for file in one.files or ()]
    return sum(path.stat().st_size for path in paths if path.is_file())


@functools.cache
def _packages() -> Mapping[str, Sequence[str]]:
    return packages_distributions()


def _normal(name: str) -> str:
    """Return the name as installers compare names (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()
