"""Do the extras of edgefeat resolve to wheels alone where they should? `make check-wheels`, some minutes.

uv resolves for a platform and Python that are not this machine's, as pip would there: wheel tags and markers are the
target's. Prints a table, writes `docs/wheels.json` for the page of platforms, and fails where a promised one has none.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
OUTPUT = REPOSITORY / "docs" / "wheels.json"

EXTRAS = ("litert", "onnx", "openvino", "tflite", "serve", "watch", "export", "bench", "all")
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
#: What a reader calls it, and what uv does. Raspberry Pi OS bookworm has glibc 2.36.
PLATFORMS = {
    "Linux x86_64": "x86_64-manylinux_2_28",
    "Linux aarch64": "aarch64-manylinux_2_36",
    "macOS 14 arm64": "aarch64-apple-darwin",
    "Windows x64": "x86_64-pc-windows-msvc",
    "macOS 14 Intel": "x86_64-apple-darwin",
    "Windows arm64": "aarch64-pc-windows-msvc",
}
PROMISED_PLATFORMS = ("Linux x86_64", "Linux aarch64", "macOS 14 arm64", "Windows x64")
PROMISED_PYTHONS = ("3.11", "3.12", "3.13")
#: What the device side takes; TensorFlow has no wheels for it yet.
PROMISED_ON_DEVICES = ("3.14",)
_DEVICE_EXTRAS = ("litert", "onnx", "serve", "watch")
WHEELS, LEFT_OUT = "wheels", "left out"
#: What an extra is for. Where there is none of it, markers may leave it out.
ENGINES = {"litert": "ai-edge-litert", "onnx": "onnxruntime", "openvino": "openvino", "tflite": "tflite-runtime"}
_MISSING = re.compile(
    r"Because (?:all versions of )?([A-Za-z0-9._-]+?)(?:\{[^}]*\})?[ =<>!~].*? ha(?:s|ve) no (?:usable )?wheels"
)


def resolved(extra: str, platform: str, python: str) -> str:
    """WHEELS, LEFT_OUT, or what has none there."""
    command = [
        *(sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--only-binary", ":all:", "--extra", extra),
        *("--python-platform", PLATFORMS[platform], "--python-version", python),
        str(REPOSITORY / "pyproject.toml"),
    ]
    environment = {**os.environ, "MACOSX_DEPLOYMENT_TARGET": "14.0"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode == 0:
        return WHEELS if f"\n{ENGINES.get(extra, '')}" in f"\n{done.stdout}" else LEFT_OUT
    words = " ".join(done.stderr.split())
    missing = _MISSING.search(words)
    if missing is None:
        raise SystemExit(f"uv failed for {extra}, {platform}, Python {python}: {words}")
    return f"no wheel of {missing[1]}"


def main() -> int:
    """Exit status 1 where a promised combination is not all wheels."""
    targets = [(extra, platform, python) for extra in EXTRAS for platform in PLATFORMS for python in PYTHONS]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(lambda target: resolved(*target), targets))
    rows = [
        {"extra": extra, "platform": platform, "python": python, "result": result}
        for (extra, platform, python), result in zip(targets, results, strict=True)
    ]
    lines = ",\n".join(json.dumps(row) for row in rows)
    OUTPUT.write_text(f"[\n{lines}\n]\n")
    broken = 0
    for row in rows:
        promised = row["platform"] in PROMISED_PLATFORMS and (
            row["python"] in PROMISED_PYTHONS
            or (row["python"] in PROMISED_ON_DEVICES and row["extra"] in _DEVICE_EXTRAS)
        )
        good = row["result"] == WHEELS or (row["extra"] == "tflite" and row["result"] == LEFT_OUT)
        broken += promised and not good
        mark = "" if good else "  <- promised" if promised else "  (not promised)"
        print(f"{row['extra']:10}{row['platform']:16}{row['python']:6}{row['result']}{mark}")
    if broken:
        print(f"{broken} promised combinations are not wheels alone", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
