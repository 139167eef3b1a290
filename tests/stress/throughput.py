"""`edgefeat extract --into` beside other bulk paths, in turn, on the same photos and cores.

    python tests/stress/throughput.py BUNDLE PHOTOS --rounds 3 [--copies N] [--keras ALPHA] [--mediapipe PYTHON]

The contenders: edgefeat into a database; as many independent processes as cores, each with one thread and no database;
onnxruntime with Pillow, in batches of 16, in one process and in one a core (as fastembed does it); Keras's
`image_dataset_from_directory` and `predict`; MediaPipe's image embedder in a loop. PHOTOS holds JPEG and PNG files that
all of them can read, all different: only edgefeat computes equal ones once. `--copies` makes more of them.
For each: photos a second once it is loaded, and from start to end, best and median round, and the processor's time that
a photo took, start included.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from edgefeat_bench._installed import alone, distributions_of

_READY = "ready"

_INDEPENDENT = """
import sys
import edgefeat
bundle, variant, engine, *paths = sys.argv[1:]
extractor = edgefeat.load(bundle, variant=variant, engine=engine, threads=1)
print("ready", flush=True)
features = [extractor.extract(path) for path in sys.stdin.read().splitlines()]
assert len(features) > 0
"""

_ONNXRUNTIME = """
import sys
import numpy as np
import onnxruntime
from PIL import Image
model, threads, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = threads
session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
name = session.get_inputs()[0].name
print("ready", flush=True)
paths = sys.stdin.read().splitlines()
features = []
for start in range(0, len(paths), 16):
    batch = []
    for path in paths[start : start + 16]:
        with Image.open(path) as image:
            batch.append(np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR)))
    features.append(session.run(None, {name: np.stack(batch)})[0])
assert sum(map(len, features)) == len(paths)
"""

_KERAS = """
import sys
import keras
folder, alpha, size = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
backbone = keras.applications.MobileNetV2(
    alpha=alpha, include_top=False, pooling="avg", weights=None, input_shape=(size, size, 3)
)
model = keras.Sequential([keras.layers.Rescaling(1 / 127.5, offset=-1), backbone])
model(keras.ops.zeros((1, size, size, 3)))
photos = keras.utils.image_dataset_from_directory(folder, labels=None, image_size=(size, size), shuffle=False)
print("ready", flush=True)
model.predict(photos, verbose=0)
"""

_MEDIAPIPE = """
import sys
import mediapipe
from mediapipe.tasks.python import BaseOptions, vision
options = vision.ImageEmbedderOptions(base_options=BaseOptions(model_asset_path=sys.argv[1]))
with vision.ImageEmbedder.create_from_options(options) as embedder:
    print("ready", flush=True)
    paths = sys.stdin.read().splitlines()
    features = [embedder.embed(mediapipe.Image.create_from_file(path)) for path in paths]
assert len(features) == len(paths)
"""


class Contender:
    """A number of processes that share the photos out among them and run at once."""

    def __init__(self, name: str, command: Callable[[], list[str]], photos: list[str], processes: int) -> None:
        self.name = name
        self.loaded: list[float] = []
        self.total: list[float] = []
        self.used: list[float] = []
        self._command = command
        self._shares = [photos[start::processes] for start in range(processes)]
        self.count = len(photos)

    def run(self) -> None:
        """One round."""
        begun, used = time.monotonic(), _processor_seconds()
        running = [
            subprocess.Popen(
                self._command(),
                stdin=_spooled("\n".join(share)),  # not a pipe: one that is not read holds 64 KB
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
            )
            for share in self._shares
        ]
        ready = begun
        for process in running:
            assert process.stdout is not None
            for line in process.stdout:
                if _READY in line or '"start"' in line:
                    ready = max(ready, time.monotonic())
                    break
        for process in running:
            process.communicate()
            if process.returncode:
                raise SystemExit(f"{self.name} failed: {' '.join(process.args)[:2000]}")  # type: ignore[arg-type]
        done = time.monotonic()
        self.loaded.append(self.count / (done - ready))
        self.total.append(self.count / (done - begun))
        self.used.append(1e3 * (_processor_seconds() - used) / self.count)


def _spooled(text: str) -> IO[str]:
    stream = tempfile.TemporaryFile("w+")  # noqa: SIM115 - its reader outlives this function
    stream.write(text)
    stream.seek(0)
    return stream


def _processor_seconds() -> float:
    """What all processes that have ended took: on a busy machine it tells more than the clock."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _copied(photos: Path, copies: int, folder: Path) -> Path:
    """Return a folder with so many files of each photo: the same image, but a few bytes after its end differ."""
    for path in sorted(path for path in photos.rglob("*") if path.is_file()):
        data = path.read_bytes()
        for copy in range(copies):
            made = folder / str(copy) / path.relative_to(photos)
            made.parent.mkdir(parents=True, exist_ok=True)
            made.write_bytes(data + b"copy %d" % copy)
    return folder


def _contenders(given: argparse.Namespace, folder: Path, work: Path) -> list[Contender]:
    photos = sorted(str(path) for path in folder.rglob("*") if path.is_file())
    cores, size = given.cores, str(given.size)
    model = str(given.bundle / f"{given.variant}.{given.variant.partition('-')[0]}")
    onnx = str(given.bundle / f"onnx-{given.variant.partition('-')[2]}.onnx")
    chosen = ["--variant", given.variant, "--engine", given.engine]

    def ours() -> list[str]:
        (work / "features.db").unlink(missing_ok=True)
        into = ["--into", str(work / "features.db"), "--json", "--workers", str(cores)]
        return [sys.executable, "-m", "edgefeat", "extract", str(given.bundle), str(folder), *into, *chosen]

    def script(text: str, *arguments: str, python: str = sys.executable) -> Callable[[], list[str]]:
        return lambda: [python, "-c", text, *arguments]

    independent = script(_INDEPENDENT, str(given.bundle), given.variant, given.engine)
    contenders = [
        Contender("edgefeat --into", ours, photos, 1),
        Contender(f"{cores} independent processes", independent, photos, cores),
        Contender("onnxruntime + Pillow, 1 process", script(_ONNXRUNTIME, onnx, str(cores), size), photos, 1),
        Contender(f"onnxruntime + Pillow, {cores} processes", script(_ONNXRUNTIME, onnx, "1", size), photos, cores),
    ]
    if given.keras:
        # Without what Keras imports only where it is installed: pandas, scikit-learn and others.
        (work / "keras_features.py").write_text(_KERAS)
        keras = [str(work / "keras_features.py"), str(folder), given.keras, size]
        command = alone(keras, distributions_of(["tensorflow"]))
        contenders.append(Contender("keras", lambda: command, photos, 1))
    if given.mediapipe:
        contenders.append(Contender("mediapipe", script(_MEDIAPIPE, model, python=given.mediapipe), photos, 1))
    return contenders


def _measure(contenders: list[Contender], rounds: int) -> None:
    for turn in range(rounds):
        for contender in contenders[turn % 2 :] + contenders[: turn % 2]:
            contender.run()
            print(
                json.dumps({"round": turn, "contender": contender.name, "photos_s": contender.loaded[-1]}), flush=True
            )
    head = f"photos a second, {contenders[0].count} photos"
    print(f"{head:36} {'median':>8} {'best':>8} {'with start':>11} {'CPU ms':>7}")
    for contender in contenders:
        loaded, total = statistics.median(contender.loaded), statistics.median(contender.total)
        used = statistics.median(contender.used)
        print(f"{contender.name:36} {loaded:8.1f} {max(contender.loaded):8.1f} {total:11.1f} {used:7.2f}")


def main() -> int:
    """Every contender in turn, round after round."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--copies", type=int, default=1, help="give each photo so many times, as files that differ")
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--variant", default="tflite-float32")
    parser.add_argument("--engine", default="litert")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--keras", metavar="ALPHA", help="also Keras, with MobileNetV2 of that width")
    parser.add_argument("--mediapipe", metavar="PYTHON", help="also MediaPipe, run by a Python that has it")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        photos = given.photos if given.copies == 1 else _copied(given.photos, given.copies, work / "photos")
        _measure(_contenders(given, photos, work), given.rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
