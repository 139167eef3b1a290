"""ncnn with the bundle's float32 ONNX file, converted by pnnx; images by Pillow, preprocessing by ncnn itself."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import ncnn
import numpy as np

import edgefeat
from edgefeat import EngineError
from edgefeat_bench._contenders.interface import Opened, Task, timed_stages

#: What ncnn does not have at the two ends of the graph: the cast of the bytes, in whose place it multiplies by one, and
#: the L2 norm, which is not used.
_CAST = re.compile(r"^Tensor\.to(\s+\S+\s+1 1 \S+ \S+).*$", re.MULTILINE)
_ABSENT = re.compile(r"^(ReduceSumSquare|pnnx\.Expression)(?=\s)", re.MULTILINE)


def open_contender(task: Task) -> Opened:
    """The network from the planar image to the pooled feature, as in ncnn's guide; NumPy divides by the length."""
    facts, form = task.facts(), task.form()
    parameters = _converted(Path(task.bundle), task.folder / "ncnn", (form.height, form.width))
    image, planar, pooled = _ends(parameters.read_text())
    net = ncnn.Net()
    net.opt.num_threads = task.threads
    if net.load_param(str(parameters)) or net.load_model(str(parameters.with_suffix(".bin"))):
        raise EngineError(f"pnnx leaves layers that ncnn does not have: {parameters}")
    order = ncnn.Mat.PixelType.PIXEL_RGB2BGR if facts.reversed else ncnn.Mat.PixelType.PIXEL_RGB
    norms = [float(scale) for scale in facts.scale]
    means = [-shift / scale for scale, shift in zip(facts.scale, facts.shift, strict=True)]
    # Where the network scales its own pixels, ncnn's faster way to do so would leave that out.
    scales_itself = set(norms) == {1.0}

    def infer(pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        extractor = net.create_extractor()
        if scales_itself:
            extractor.input(image, ncnn.Mat(pixels.astype(np.float32)).clone())  # a Mat alone does not hold the array
        else:
            given = ncnn.Mat.from_pixels(np.ascontiguousarray(pixels), order, form.width, form.height)
            given.substract_mean_normalize(means, norms)
            extractor.input(planar, given)
        feature = np.array(extractor.extract(pooled)[1]).ravel()
        return np.asarray(feature / np.linalg.norm(feature))

    return Opened(timed_stages(infer, form), ("ncnn", "pillow"), parameters.with_suffix(".bin").stat().st_size)


def _converted(bundle: Path, folder: Path, size: tuple[int, int]) -> Path:
    """Return the `.param` file, made once; the weights are beside it in `.bin`."""
    made = folder / "model.ncnn.param"
    if made.exists():
        return made
    variant = edgefeat.Bundle.open(bundle).variant("onnx-float32")
    package = importlib.util.find_spec("pnnx")
    if package is None or not package.submodule_search_locations:
        raise EngineError("pnnx is not installed: pip install --no-deps pnnx")
    folder.mkdir(exist_ok=True)
    shutil.copyfile(bundle / variant.file.name, folder / "model.onnx")
    converter = Path(package.submodule_search_locations[0]) / "pnnx"  # its Python module wants PyTorch
    shape = f"inputshape=[1,{size[0]},{size[1]},3]u8"
    subprocess.run([str(converter), "model.onnx", shape, "fp16=0"], cwd=folder, check=True, capture_output=True)
    text = made.read_text()
    made.write_text(_ABSENT.sub("Noop", _CAST.sub(r"BinaryOp\1 0=2 1=1 2=1.0", text)))
    return made


def _ends(parameters: str) -> tuple[str, str, str]:
    """Return the names of the image, of the planar image and of the pooled feature in a `.param` file.

    The first permutation makes the planar image, the last reduction the feature. Raises EngineError without them.
    """
    layers = [line.split() for line in parameters.splitlines()[2:]]
    planar = [_output(words) for words in layers if words[0] == "Permute"]
    (image,) = (_output(words) for words in layers if words[0] == "Input")
    pooled = [_output(words) for words in layers if words[0] in ("Reduction", "Pooling")]
    if not planar or not pooled:
        raise EngineError("pnnx converted the network to a form without a planar image or a pooled feature")
    return image, planar[0], pooled[-1]


def _output(words: list[str]) -> str:
    """Return the name of a layer's first output: after its type, its name, two numbers and its inputs."""
    return words[4 + int(words[2])]
