"""Fit the table of `edgefeat_export._quantize.cost.table` to times measured here, and show how well it predicts.

    python tests/stress/cost_table.py [--only TERM...] BUNDLE...

Each bundle holds `tflite-float32` and `onnx-float32`. For every bundle and engine, the float file, the int8 file and
int8 files with the first part of the network in float, and with every second layer in float, are run in turn on one
thread; the least processor time of each counts, because other work on the machine only adds. The coefficients are the
non-negative ones with the smallest relative error
(Lawson and Hanson: Solving Least Squares Problems, 1974, by scipy). With `--only` the other terms keep what the table
says.
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray
from scipy.optimize import nnls

from edgefeat_export._convert.graph import INPUT
from edgefeat_export._convert.onnx import int8 as onnx_int8
from edgefeat_export._convert.tflite import flatbuffer
from edgefeat_export._convert.tflite import int8 as tflite_int8
from edgefeat_export._images.synthetic import dead_leaves
from edgefeat_export._quantize.cost import operations
from edgefeat_export._quantize.cost.estimate import terms
from edgefeat_export._quantize.cost.table import TABLES, TERMS
from edgefeat_export._quantize.sections import Section, prefix, sections

#: Shares of the layers that are in float, from the first on; for the last one every second layer is.
SHARES = (0.0, 0.12, 0.3, 0.6, -1.0)
ROUNDS, SECONDS = 300, 12.0


def runner(path: Path, picture: NDArray[np.uint8]) -> Callable[[], Any]:
    """Return a call that runs one inference of `picture` (1, H, W, 3) by the file's engine, on one thread."""
    if path.suffix == ".tflite":
        interpreter = Interpreter(str(path), num_threads=1)
        interpreter.allocate_tensors()
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], np.ascontiguousarray(picture))
        return interpreter.invoke  # type: ignore[no-any-return]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {INPUT: picture})


def in_float(parts: Sequence[Section], share: float) -> Sequence[Section]:
    """Return the sections in float for one of `SHARES`."""
    return parts[1::2] if share < 0 else parts[: round(share * len(parts))]


def files(bundle: Path, folder: Path) -> Iterator[tuple[str, str, float, Path, Any]]:
    """Yield engine, precision, share in float, file and pictures."""
    tflite, ort = bundle / "tflite-float32.tflite", bundle / "onnx-float32.onnx"
    model = flatbuffer.read(tflite)
    (graph,) = model.subgraphs
    height, width = (int(side) for side in graph.tensors[graph.inputs[0]].shape[1:3])
    pictures = dead_leaves(2, height, width, seed=0)
    parts = sections(ort, tflite)
    yield "litert", "float32", 1.0, tflite, pictures
    yield "onnxruntime", "float32", 1.0, ort, pictures
    known = tflite_int8.ranges(tflite, pictures)
    whole = folder / "whole.onnx"
    onnx_int8.quantize(ort, pictures, whole)
    for share in SHARES:
        nodes, operators = prefix(in_float(parts, share))
        path = folder / f"{share}.tflite"
        tflite_int8.int8(tflite, pictures, path, kept=operators, known=known)
        yield "litert", "int8", share, path, pictures
        path = folder / f"{share}.onnx"
        onnx.save(onnx_int8.with_float(onnx.load(whole), onnx.load(ort), set(nodes)), path)
        yield "onnxruntime", "int8", share, path, pictures


def least(calls: Sequence[Callable[[], Any]]) -> list[float]:
    """Return the least nanoseconds of each call, called in turn."""
    taken: list[list[float]] = []
    started = time.perf_counter()
    while len(taken) < ROUNDS and (len(taken) < 10 or time.perf_counter() - started < SECONDS):
        row: list[float] = []
        for call in calls:
            began = time.thread_time_ns()
            call()
            row.append(time.thread_time_ns() - began)
        taken.append(row)
    return [float(value) for value in np.min(taken, axis=0)]


def measured(bundle: Path) -> list[dict[str, Any]]:
    """Return a row for each file of the bundle: engine, precision, share, nanoseconds."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        found = list(files(bundle, Path(folder)))
        for engine in ("litert", "onnxruntime"):
            own = [one for one in found if one[0] == engine]
            times = least([runner(path, pictures[:1]) for _, _, _, path, pictures in own])
            for (_, precision, share, _, _), taken in zip(own, times, strict=True):
                row = {"net": bundle.stem, "engine": engine, "precision": precision, "share": share, "ns": taken}
                rows.append(row)
    return rows


def fitted(rows: Sequence[dict[str, Any]], known: Mapping[str, float]) -> dict[str, float]:
    """Return nanoseconds by term that predict the rows of one engine best; the `known` ones stay as they are."""
    free = [term for term in TERMS if term not in known]
    times = np.array([row["ns"] for row in rows])
    fixed = np.array([sum(value * row["terms"].get(term, 0.0) for term, value in known.items()) for row in rows])
    relative = np.array([[row["terms"].get(term, 0.0) for term in free] for row in rows]) / times[:, np.newaxis]
    scale = np.maximum(np.abs(relative).max(0), 1e-30)
    found, _ = nnls(relative / scale, np.maximum(1 - fixed / times, 0))
    return {**dict(zip(free, (found / scale).tolist(), strict=True)), **known}


@functools.cache
def counted(bundle: Path) -> tuple[operations.Graph, list[Section]]:
    """Return the operations and the sections of a bundle's network."""
    tflite = bundle / "tflite-float32.tflite"
    return operations.count(tflite), sections(bundle / "onnx-float32.onnx", tflite)


def described(bundle: Path, row: dict[str, Any]) -> dict[str, Any]:
    """Return the row with the terms of its file."""
    graph, parts = counted(bundle)
    kept = prefix(in_float(parts, row["share"]))[1]
    own = None if row["precision"] == "float32" else kept
    return row | {"terms": terms(graph, row["engine"], own)}


def main(arguments: Sequence[str]) -> int:
    """Measure, fit, and print the table and its errors."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", nargs="+", type=Path)
    parser.add_argument("--measured", type=Path, help="file of measured rows; only bundles missing there are measured")
    parser.add_argument("--only", nargs="+", choices=TERMS, metavar="TERM", help="fit these, and keep the others")
    options = parser.parse_args(arguments)
    known: Path | None = options.measured
    text = known.read_text() if known is not None and known.exists() else ""
    rows: list[dict[str, Any]] = [json.loads(line) for line in text.splitlines()]
    for bundle in options.bundles:
        if bundle.stem not in {row["net"] for row in rows}:
            rows += measured(bundle)
            print(bundle.stem, "measured", file=sys.stderr, flush=True)
            if known is not None:
                known.write_text("".join(json.dumps(row) + "\n" for row in rows))
    bundles = {bundle.stem: bundle for bundle in options.bundles}
    rows = [described(bundles[row["net"]], row) for row in rows if row["net"] in bundles]
    for engine in ("litert", "onnxruntime"):
        own = [row for row in rows if row["engine"] == engine]
        only = set(options.only or TERMS)
        found = fitted(own, {term: value for term, value in TABLES[engine].items() if term not in only})
        print(f"{engine}: {[float(f'{found[term]:.3g}') for term in TERMS]}")
        for term, value in found.items():
            print(f"    {term:24} {value:.3g}")
        for row in own:
            predicted = sum(found[term] * amount for term, amount in row["terms"].items())
            name = row["precision"] if row["precision"] == "float32" else f"int8 {row['share']:.2f} float"
            figures = f"{row['ns'] / 1e6:8.3f} ms  model {predicted / 1e6:8.3f}  {predicted / row['ns']:.2f}"
            print(f"  {row['net']:14} {name:16} {figures}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
