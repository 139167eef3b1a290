"""Bundles for users who have none: a backbone by name, exported once and kept."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

from edgefeat import ArgumentError, EdgefeatError, ExportError, MissingExtraError
from edgefeat_bench._processes import run_module

_HUB = "hub:"
# The reason of an export that failed is told whole: it names what to do.
_LONGEST = 1000
_RANDOM = "its weights are random: times are valid, features mean nothing"


def is_backbone_name(text: str) -> bool:
    """Return whether `text` can only be the name of a backbone: `hub:PRESET`, or as `mobilenet_v2` without a suffix."""
    return text.startswith(_HUB) or (not Path(text).exists() and text.replace("_", "").replace("-", "").isalnum())


def export(path: Path, *options: str) -> Path:
    """Export a bundle to `path` unless it exists. Raises ExportError."""
    if not path.is_dir():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            run_module("edgefeat", "export", *options, "-o", str(path), longest=_LONGEST)
        except EdgefeatError as error:
            raise ExportError(f"{path.name} could not be exported: {_reason(error)}") from error
    return path


def exported_bundle(backbone: str, folder: Path, tell: Callable[[str], None], *, weights: str = "") -> Path:
    """Return the bundle of `backbone` below `folder`, with its trained weights if available, or else random ones.

    `weights` is a file that has them, other than a preset's folder. The bundle is calibrated on generated photos.
    Raises MissingExtraError without the extra `export`, ArgumentError for an unknown name, ExportError if the export
    fails.
    """
    if Path(weights).is_file() and not backbone.startswith(_HUB):
        with open(weights, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()[:12]
        given = folder / f"{backbone}-{digest}.edgefeat"
        if not given.is_dir():
            tell(f"exporting {backbone} with the weights of {weights}")
        return export(given, backbone, "--weights", weights)
    # A preset has weights of its own.
    words, own = ("its own", []) if backbone.startswith(_HUB) else ("ImageNet", ["--weights", "imagenet"])
    name = re.sub(r"\W+", "-", backbone.removeprefix(_HUB))
    trained, random = (folder / f"{name}-{weights}.edgefeat" for weights in (own[-1] if own else "own", "random"))
    if trained.is_dir():
        return trained
    if not random.is_dir():
        try:
            import edgefeat_export  # noqa: F401  to learn what is missing
        except MissingExtraError as error:
            raise MissingExtraError(f"no bundle was given, and to export one {error}") from error
        try:
            tell(f"exporting {backbone} with {words} weights")
            return export(trained, backbone, *own)
        except ExportError as error:
            if isinstance(error.__cause__, ArgumentError):  # with random weights, too
                raise ArgumentError(_reason(error.__cause__)) from None
            tell(f"{error}; exporting it with random weights")
    tell(f"{backbone}: {_RANDOM}")
    return export(random, backbone, "--weights", "random")


def _reason(error: EdgefeatError) -> str:
    return str(error).removeprefix("edgefeat: ")
