"""The Kotlin files for camera frames, compiled and run where kotlinc is: planes of Android's YUV_420_888 as NV21."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edgefeat._images.frames.form import parse_frame
from edgefeat._images.frames.pixels import frame_of

ANDROID = Path(__file__).parents[3] / "examples" / "android"

_RUN = """
import edgefeat.Plane
import edgefeat.packNv21
import java.io.DataInputStream
import java.nio.ByteBuffer

fun main() {
    val given = DataInputStream(System.`in`.buffered())
    repeat(given.readInt()) {
        val (width, height) = List(2) { given.readInt() }
        val planes = List(3) {
            val (row, pixel, length) = List(3) { given.readInt() }
            Plane(ByteBuffer.wrap(ByteArray(length).also { bytes -> given.readFully(bytes) }), row, pixel)
        }
        val frame = ByteBuffer.allocate(width * height * 3 / 2)
        packNv21(planes[0], planes[1], planes[2], width, height, frame)
        System.out.write(frame.array())
    }
    System.out.flush()
}
"""

# What CameraFrame.kt uses of CameraX and LiteRT, to check its types.
_STUBS = {
    "ImageProxy": """
package androidx.camera.core

interface ImageProxy {
    interface PlaneProxy {
        val rowStride: Int
        val pixelStride: Int
        val buffer: java.nio.ByteBuffer
    }
    val width: Int
    val height: Int
    val planes: Array<PlaneProxy>
}
""",
    "Interpreter": """
package org.tensorflow.lite

class Interpreter(model: java.nio.ByteBuffer, options: Options) {
    class Options { fun setNumThreads(threads: Int): Options = this }
    fun run(input: Any, output: Any) {}
    fun close() {}
}
""",
}


def _plane(values: NDArray[np.uint8], stride: int, step: int, other: NDArray[np.uint8] | None = None) -> bytes:
    """The memory of a plane; with a pixel stride of 2, `other` is between its pixels."""
    rows = np.full((len(values), stride), 7, np.uint8)
    rows[:, : values.shape[1] * step : step] = values
    if other is not None:
        rows[:, 1 : values.shape[1] * 2 : 2] = other
    last = values.shape[1] * step - (step - 1)  # Android's planes end with their last pixel
    return rows.tobytes()[: stride * (len(values) - 1) + last]


@pytest.mark.skipif(not (shutil.which("kotlinc") and shutil.which("java")), reason="no kotlinc: apt-get install kotlin")
def test_android_planes_become_nv21_and_the_code_for_camerax_compiles(tmp_path: Path) -> None:
    form = parse_frame("nv21-20x12")
    frame = frame_of(np.random.default_rng(3).integers(0, 256, (12, 20, 3), np.uint8), form)
    luma, pairs = frame[:12], frame[12:].reshape(6, 10, 2)
    v, u = pairs[:, :, 0], pairs[:, :, 1]
    cases = []
    for stride, chroma in ((20, 20), (32, 32), (24, 40)):
        v_bytes = _plane(v, chroma, 2, u)
        whole = np.frombuffer(v_bytes + bytes([u[-1, -1]]), np.uint8)
        cases.append([(stride, 1, _plane(luma, stride, 1)), (chroma, 2, whole[1:].tobytes()), (chroma, 2, v_bytes)])
    # Chroma in planes of their own, as I420 has it; and with pixels apart but not interleaved.
    cases.append([(20, 1, _plane(luma, 20, 1)), (16, 1, _plane(u, 16, 1)), (16, 1, _plane(v, 16, 1))])
    cases.append([(20, 1, _plane(luma, 20, 1)), (24, 2, _plane(u, 24, 2)), (24, 2, _plane(v, 24, 2))])
    given = np.array([len(cases)], ">i4").tobytes()
    for planes in cases:
        given += np.array([20, 12], ">i4").tobytes()
        for stride, step, memory in planes:
            given += np.array([stride, step, len(memory)], ">i4").tobytes() + memory
    (tmp_path / "Run.kt").write_text(_RUN)
    for name, text in _STUBS.items():
        (tmp_path / f"{name}.kt").write_text(text)
    sources = [str(ANDROID / "Frame.kt"), str(ANDROID / "CameraFrame.kt"), *map(str, sorted(tmp_path.glob("*.kt")))]
    subprocess.run(["kotlinc", *sources, "-include-runtime", "-d", str(tmp_path / "run.jar")], check=True, timeout=300)
    command = ["java", "-jar", str(tmp_path / "run.jar")]
    done = subprocess.run(command, input=given, capture_output=True, check=True, timeout=100)
    found = np.frombuffer(done.stdout, np.uint8).reshape(len(cases), *form.shape)
    for one in found:
        np.testing.assert_array_equal(one, frame)
