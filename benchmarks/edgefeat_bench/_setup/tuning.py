"""What `edgefeat tune` chooses for a number of threads, in a cache of its own: the user's cache is not changed."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import edgefeat
from edgefeat import EdgefeatError
from edgefeat._bundle.atomic_files import write_file
from edgefeat._bundle.json_records import to_json
from edgefeat._engines.device.cache import tuned_file
from edgefeat_bench._processes import run_module


def is_tuned(bundle: edgefeat.Bundle, folder: Path) -> bool:
    """Return whether `folder` is such a cache, complete."""
    return (folder / tuned_file(bundle.identity)).exists()


def tune(bundle: edgefeat.Bundle, folder: Path, threads: int) -> None:
    """Make `folder` a cache in which `load` finds the fastest choice of at most so many threads.

    It is measured again each time, in a process of its own: engines leave threads behind. Raises EdgefeatError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    arguments = (str(bundle.path), str(folder), str(threads))
    try:
        run_module("edgefeat_bench._setup.tuning", *arguments, environment={"EDGEFEAT_CACHE": str(folder)})
    except EdgefeatError as error:
        raise EdgefeatError(f"edgefeat tune failed: {error}") from error


def _main(path: str, folder: str, threads: int) -> int:
    bundle = edgefeat.Bundle.open(path)
    tuning = edgefeat.tune(bundle)
    file = Path(folder) / tuned_file(bundle.identity)
    kept = tuple(one for one in tuning.candidates if one.threads <= threads)
    if not any(one.status == "ok" for one in kept):
        # Otherwise `load` would use its untuned choice, and the run would call it tuned.
        file.unlink(missing_ok=True)
        tried = sorted({one.threads for one in tuning.candidates if one.threads})
        sys.exit(f"no choice has at most {threads} threads (tried: {', '.join(map(str, tried))})")
    text = json.dumps(to_json(replace(tuning, candidates=kept)), indent=1)
    write_file(file, lambda stream: stream.write(text.encode()))
    return 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
