"""ncnn with the bundle's float32 ONNX file, converted by pnnx; images by Pillow, preprocessing by ncnn itself."""

from __future__ import annotations

import importlib.util
import itertools
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import ncnn
import numpy as np

import edgefeat
from edgefeat import EngineError
from edgefeat_bench._contenders.interface import Opened, Task, timed_stages

#: What ncnn does not have, at the unused ends of the graph: the cast of the bytes, and the L2 norm.
_ABSENT = re.compile(r"^(Tensor\.to|ReduceSumSquare|pnnx\.Expression)(?=\s)", re.MULTILINE)

#: The name of a Pad in pnnx's file, and its margins: those before each axis, then those behind.
_PADS = re.compile(r"^Pad +(\S+) +1 1 \S+ \S+ pads=\((\d+(?:,\d+){7})\) #", re.MULTILINE)
_PADDED = "padded_pixels"


def open_contender(task: Task) -> Opened:
    """The network from the planar image to the pooled feature, as in ncnn's guide; NumPy divides by the length."""
    facts, form = task.facts(), task.form()
    started = time.perf_counter()
    parameters = _converted(Path(task.bundle), task.folder / "ncnn", (form.height, form.width))
    making = time.perf_counter() - started
    text = parameters.read_text()
    planar, pooled = _ends(text)
    net = ncnn.Net()
    net.opt.num_threads = task.threads
    if net.load_param(str(parameters)) or net.load_model(str(parameters.with_suffix(".bin"))):
        raise EngineError(f"pnnx leaves layers that ncnn does not have: {parameters}")
    order = ncnn.Mat.PixelType.PIXEL_RGB2BGR if facts.reversed else ncnn.Mat.PixelType.PIXEL_RGB
    own, added = _own_scale(text) if set(facts.scale) == {1.0} else (1.0, 0.0)
    norms = [scale * own for scale in facts.scale]
    means = [-(shift + added) / norm for shift, norm in zip(facts.shift, norms, strict=True)]

    def infer(pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        given = ncnn.Mat.from_pixels(np.ascontiguousarray(pixels), order, form.width, form.height)
        given.substract_mean_normalize(means, norms)
        extractor = net.create_extractor()
        extractor.input(planar, given)
        feature = np.array(extractor.extract(pooled)[1]).ravel()
        return np.asarray(feature / np.linalg.norm(feature))

    size = parameters.with_suffix(".bin").stat().st_size
    return Opened(timed_stages(infer, form), ("ncnn", "pillow"), size, making_seconds=making)


def _converted(bundle: Path, folder: Path, size: tuple[int, int]) -> Path:
    """Return the `.param` file, made once; the weights are beside it in `.bin`."""
    made = folder / "model.ncnn.param"
    if made.exists():
        return made
    variant = edgefeat.Bundle.open(bundle).variant("onnx-float32")
    package = importlib.util.find_spec("pnnx")
    if package is None or not package.submodule_search_locations:
        raise EngineError("pnnx is not installed: pip install --no-deps pnnx")
    partial = folder.with_name(f"partial-{folder.name}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    shutil.copyfile(bundle / variant.file.name, partial / "model.onnx")
    converter = Path(package.submodule_search_locations[0]) / "pnnx"  # its Python module wants PyTorch
    shape = f"inputshape=[1,{size[0]},{size[1]},3]u8"
    subprocess.run([str(converter), "model.onnx", shape, "fp16=0"], cwd=partial, check=True, capture_output=True)
    written = partial / made.name
    padded = with_padding(written.read_text(), written.with_name("model.pnnx.param").read_text())
    written.write_text(_ABSENT.sub("Noop", padded))
    shutil.rmtree(folder, ignore_errors=True)  # of an earlier version, cut off
    partial.rename(folder)  # what exists is complete
    return made


def with_padding(parameters: str, pnnx: str) -> str:
    """Return ncnn's `.param` with ncnn's own layer for each Pad that pnnx leaves there; its numbers are in pnnx's.

    One that pads pixels, (N, H, W, C), comes before the permutation that makes the planar image, which is the input of
    the contender: it moves behind it. ncnn's Padding has top, bottom, left, right, and pads with zeros.
    """
    pads = {name: [int(number) for number in numbers.split(",")] for name, numbers in _PADS.findall(pnnx)}
    magic, _, *lines = parameters.splitlines()
    found: list[list[str]] = []
    pixels, planar = [0] * 8, ""
    for words in map(str.split, lines):
        kind, name, inputs = words[0], words[1], slice(4, 4 + int(words[2]))
        around = pads.get(name, []) if kind == "Pad" else []
        words[inputs] = [_PADDED if word == planar and any(pixels) else word for word in words[inputs]]
        if around and not planar and not any(around[0::4] + around[3::4]):
            words[0], pixels = "Noop", around
        elif around and planar and not any(around[0::4] + around[1::4]):
            words = ["Padding", *words[1:], *_sides(around[2], around[3], around[6], around[7])]
        found.append(words)
        if kind == "Permute" and not planar:
            planar = words[inputs.stop]
            if any(pixels):
                sides = _sides(pixels[1], pixels[2], pixels[5], pixels[6])
                found.append(["Padding", "padding_of_pixels", "1", "1", planar, _PADDED, *sides])
    blobs = sum(int(words[3]) for words in found)
    return "\n".join([magic, f"{len(found)} {blobs}", *map(" ".join, found), ""])


def _sides(top: int, left: int, bottom: int, right: int) -> list[str]:
    return [f"0={top}", f"1={bottom}", f"2={left}", f"3={right}"]


def _layers(parameters: str) -> list[list[str]]:
    """Return the words of each layer in a `.param` file: type, name, two counts, inputs, outputs, settings."""
    return [line.split() for line in parameters.splitlines()[2:]]


def _ends(parameters: str) -> tuple[str, str]:
    """Return the names of the planar image and of the pooled feature.

    The first permutation makes the image, the last reduction the feature. Raises EngineError without them.
    """
    layers = _layers(parameters)
    planar = [words[4 + int(words[2])] for words in layers if words[0] == "Permute"]
    pooled = [words[4 + int(words[2])] for words in layers if words[0] in ("Reduction", "Pooling")]
    if not planar or not pooled:
        raise EngineError("pnnx converted the network to a form without a planar image or a pooled feature")
    return planar[0], pooled[-1]


def _own_scale(parameters: str) -> tuple[float, float]:
    """Return scale and shift of a network that scales its own pixels, which it does before the first permutation."""
    scale, shift = 1.0, 0.0
    for words in itertools.takewhile(lambda words: words[0] != "Permute", _layers(parameters)):
        settings = dict(word.split("=") for word in words[4 + int(words[2]) + int(words[3]) :])
        if words[0] == "BinaryOp" and settings.get("1") == "1":  # with one number
            number = float(settings["2"])
            operation = settings.get("0", "0")
            if operation == "2":
                scale, shift = scale * number, shift * number
            elif operation in ("0", "1"):
                shift += number if operation == "0" else -number
            else:
                raise EngineError(f"the network scales its pixels by an operation that is not known: {' '.join(words)}")
    return scale, shift
