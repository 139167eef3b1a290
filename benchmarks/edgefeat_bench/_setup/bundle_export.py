"""A bundle for those who have none at hand: a backbone by name, exported once and kept."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from edgefeat import ExportError, MissingExtraError
from edgefeat_bench._processes import child_environment

__all__ = ["is_backbone_name", "own_bundle"]


def is_backbone_name(text: str) -> bool:
    """Whether `text` can only be a backbone's name, such as `mobilenet_v2`: no folder, and no ending of a file."""
    return not Path(text).exists() and text.replace("_", "").replace("-", "").isalnum()


def own_bundle(backbone: str, folder: Path, tell: Callable[[str], None]) -> Path:
    """The bundle of `backbone` below `folder`: ImageNet weights where they can be had, else random ones, as it tells.

    Calibrated on generated pictures. Raises MissingExtraError without the extra `export`, ExportError where both fail.
    """
    for weights in ("imagenet", "random"):
        path = folder / f"{backbone}-{weights}.edgefeat"
        if path.is_dir():
            tell(f"{path} is there from before" + (_RANDOM if weights == "random" else ""))
            return path
    try:
        import edgefeat_export  # noqa: F401  only to hear what is missing
    except MissingExtraError as error:
        raise MissingExtraError(f"no bundle was given, and to make one {error}") from error
    folder.mkdir(parents=True, exist_ok=True)
    said = ""
    for weights in ("imagenet", "random"):
        path = folder / f"{backbone}-{weights}.edgefeat"
        tell(f"exporting {backbone} with {weights} weights")
        command = [sys.executable, "-P", "-m", "edgefeat", "export", backbone, "--weights", weights, "-o", str(path)]
        done = subprocess.run(
            command, capture_output=True, text=True, env=child_environment(), stdin=subprocess.DEVNULL, check=False
        )
        if done.returncode == 0:
            if weights == "random":
                tell(f"imagenet weights cannot be had{_RANDOM}")
            return path
        said = (done.stderr.strip().splitlines() or ["no word"])[-1]
        if done.returncode == 2:
            break  # an unknown backbone is none with other weights either
    raise ExportError(f"no bundle of {backbone} could be made: {said.removeprefix('edgefeat: ')}")


_RANDOM = ": its weights are random, times are as with others, features mean nothing"
