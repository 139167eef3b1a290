"""Running one variant on one engine in its own process, where a crash or a hang affects only that process."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Trial", "run_trial"]

_TIMEOUT = 120.0
_WARMING_SECONDS = 0.3
# Width and height of the frame that is resized before each inference.
_FRAME = (640, 480)


@dataclass(frozen=True, slots=True)
class Trial:
    """The result. `milliseconds` has one entry for each inference; `detail` is the reason if there are none."""

    status: Literal["ok", "crashed", "hung", "failed"]
    detail: str
    milliseconds: tuple[float, ...] = ()


def run_trial(
    bundle: str,
    *,
    variant: str,
    engine: str,
    threads: int,
    seconds: float = 0.0,
    pictures: str | None = None,
    timeout: float = _TIMEOUT,
) -> Trial:
    """Load the variant and run it for `seconds`, at least once, on the prepared images of an `.npy` file.

    Without a file, the golden images are used, or a black image if `seconds` is 0. The status `crashed` means that the
    process died, for example of an illegal instruction. Raises EngineError if no process can be started.
    """
    import subprocess  # takes 10 ms to import, and is needed once on a device

    from edgefeat._engines.device.interpreter import interpreter

    task = {"bundle": bundle, "variant": variant, "engine": engine, "threads": threads}
    arguments = json.dumps({**task, "seconds": seconds, "pictures": pictures})
    # -P: modules in the current folder must not shadow an engine or NumPy.
    command = [interpreter(), "-P", "-m", "edgefeat._engines.isolated_run", arguments]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout + seconds, check=False
        )
    except subprocess.TimeoutExpired:
        return Trial("hung", f"no answer within {timeout + seconds:.0f} s")
    if done.returncode < 0 or done.returncode >= 0x80000000:  # a signal, or an exception code on Windows
        return Trial("crashed", _cause(done.returncode))
    if done.returncode != 0:
        words = done.stderr.decode(errors="replace").strip().splitlines()
        return Trial("failed", words[-1] if words else f"exit status {done.returncode}")
    return Trial("ok", "", tuple(json.loads(done.stdout.splitlines()[-1])))


def _cause(status: int) -> str:
    import signal

    if -status == getattr(signal, "SIGILL", None):
        return "it died of an illegal instruction: it was built for another processor"
    name = signal.Signals(-status).name if status < 0 else hex(status)
    return f"it died of {name}"


def _main(task: dict[str, Any]) -> int:
    import numpy as np
    from PIL import Image

    from edgefeat._bundle.golden import read_golden
    from edgefeat._bundle.reader import Bundle
    from edgefeat._engines.engine import open_variant, resize_threads
    from edgefeat._engines.registry import engine_named
    from edgefeat._engines.selection import default_threads
    from edgefeat._errors import EdgefeatError
    from edgefeat._images.resize import resized

    try:
        bundle = Bundle.open(task["bundle"])
        variant = bundle.variant(task["variant"])
        if task["pictures"]:
            pictures = np.load(task["pictures"])
        elif task["seconds"]:
            pictures = read_golden(bundle).pictures
        else:
            pictures = np.zeros((1, *bundle.manifest.input_shape(variant)), np.uint8)
        engine, model = engine_named(task["engine"]), bundle.read(variant.file)
        session = open_variant(engine, bundle.manifest, variant, model, task["threads"])
    except EdgefeatError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    form = bundle.manifest.picture
    frame = Image.new("RGB", _FRAME)
    resizers = resize_threads(session, task["threads"], default_threads())
    samples: list[float] = []
    started = time.perf_counter()
    turn = 0
    while not samples or time.perf_counter() - started < _WARMING_SECONDS + task["seconds"]:
        if task["seconds"]:
            # In real use, an image is resized before each inference: only then does it show if threads wake up late or
            # compete.
            resized(frame, (form.width, form.height), threads=resizers)
        before = time.perf_counter()
        session.run(pictures[turn % len(pictures)][np.newaxis])
        if before - started > _WARMING_SECONDS:
            samples.append((time.perf_counter() - before) * 1e3)
        turn += 1
        if not task["seconds"]:
            break
    sys.stdout.write("\n" + json.dumps(samples) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(_main(json.loads(sys.argv[1])))
