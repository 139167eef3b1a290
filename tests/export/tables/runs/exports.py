"""Exports by the command line, as a user runs them, and the fidelity of their int8 files."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from edgefeat._commands.cli.terminal import reason

__all__ = ["export", "fidelity", "int8_fidelity", "photos_in"]

_PHOTOS = (".jpg", ".jpeg", ".png")


def export(arguments: Sequence[str], bundle: Path) -> Path:
    """Export and return the bundle. Raises SystemExit with the reason if it was not written."""
    command = [sys.executable, "-m", "edgefeat", "export", *arguments, "-o", str(bundle)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if not (bundle / "manifest.json").exists():
        raise SystemExit(f"edgefeat export {' '.join(arguments)}: {reason(done.stderr)}")
    return bundle


def int8_fidelity(bundle: Path) -> dict[str, tuple[float, float, float]]:
    """Return mean cosine, minimum and overlap@10 of the first tap, by int8 variant."""
    return fidelity(bundle, ("tflite-int8", "onnx-int8"))


def fidelity(bundle: Path, variants: Sequence[str]) -> dict[str, tuple[float, float, float]]:
    """Return mean cosine, minimum and overlap@10 of the first tap, by variant, of those that are in the bundle."""
    manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    return {
        one["name"]: next(
            (tap["mean_cosine"], tap["minimum_cosine"], tap["overlap"]) for tap in one["fidelity"].values()
        )
        for one in manifest["variants"]
        if one["name"] in variants
    }


def photos_in(*folders: Path) -> list[Path]:
    """Return the photos of folders and their subfolders."""
    found = [one for folder in folders for one in sorted(folder.rglob("*")) if one.is_file()]
    return [one for one in found if one.suffix.lower() in _PHOTOS]
