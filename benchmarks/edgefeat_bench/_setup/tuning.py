"""What `edgefeat tune` chooses here for a number of threads, in a cache of its own: the user's is not touched."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import edgefeat
from edgefeat import EdgefeatError
from edgefeat._bundle.atomic_files import write_file
from edgefeat._bundle.json_records import to_json
from edgefeat._engines.device.cache import tuned_file

__all__ = ["is_tuned", "tuned_cache"]


def is_tuned(bundle: edgefeat.Bundle, folder: Path) -> bool:
    """Whether `folder` is such a cache already; one whose making was interrupted is not."""
    return (folder / tuned_file(bundle.identity)).exists()


def tuned_cache(bundle: edgefeat.Bundle, folder: Path, threads: int) -> Path:
    """`folder`, a cache in which `load` finds what is fastest with at most so many threads. Raises EdgefeatError.

    Measured anew each time, in a process of its own: engines leave threads behind.
    """
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-P", "-m", "edgefeat_bench._setup.tuning", str(bundle.path), str(folder), str(threads)],
        env={**os.environ, "EDGEFEAT_CACHE": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        words = done.stderr.strip().splitlines() or ["no word"]
        raise EdgefeatError(f"edgefeat tune failed: {words[-1]}")
    return folder


def _main(path: str, folder: str, threads: int) -> int:
    bundle = edgefeat.Bundle.open(path)
    tuning = edgefeat.tune(bundle)
    file = Path(folder) / tuned_file(bundle.identity)
    kept = tuple(one for one in tuning.candidates if one.threads <= threads)
    if not any(one.status == "ok" for one in kept):
        # Else `load` would take what it takes untuned, and the run would call it tuned.
        file.unlink(missing_ok=True)
        tried = sorted({one.threads for one in tuning.candidates if one.threads})
        sys.exit(f"none of its choices has at most {threads} threads (it tried {', '.join(map(str, tried))})")
    text = json.dumps(to_json(replace(tuning, candidates=kept)), indent=1)
    write_file(file, lambda stream: stream.write(text.encode()))
    return 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
