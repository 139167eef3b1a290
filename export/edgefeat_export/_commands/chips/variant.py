"""The variant that the commands for chips read, as a file of its own."""

from __future__ import annotations

from edgefeat import ArgumentError, Bundle
from edgefeat._bundle.manifest import INTEGER, Variant

__all__ = ["integer_variant"]


def integer_variant(bundle: Bundle) -> Variant:
    """Return the bundle's variant without floats. Raises ArgumentError with the command that makes one."""
    names = {one.name for one in bundle.manifest.variants} | {one.name for one in bundle.manifest.refusals}
    if INTEGER not in names:
        raise ArgumentError(
            f"bundle {bundle.path} has no {INTEGER}, which this needs: export it again with --variants {INTEGER}, "
            "or with other variants as well, separated by commas"
        )
    return bundle.variant(INTEGER)
