"""AlexNet and GoogLeNet against PyTorch: the same state dict, read from a file, gives the same maps at every depth."""

# ruff: noqa: E402  the imports come after the question whether they are there

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the export extra is not installed")
torch = pytest.importorskip("torch", reason="torch is what the networks are compared with")

from safetensors.numpy import load_file, save_file

from edgefeat import ArgumentError, ExportError
from edgefeat_export._models.backbones import backbone_named
from edgefeat_export._network.named_trunk import build_trunk
from edgefeat_export._network.trunk import Trunk
from edgefeat_export._spec import NetworkSpec

F = torch.nn.functional

State = dict[str, Any]
Maps = dict[str, Any]


def torch_alexnet(state: State, x: Any) -> Maps:
    """torchvision.models.alexnet in eval mode, as functions."""
    maps = {}
    strides_and_paddings = {0: (4, 2), 3: (1, 2), 6: (1, 1), 8: (1, 1), 10: (1, 1)}
    for index, (stride, padding) in strides_and_paddings.items():
        weight, bias = state[f"features.{index}.weight"], state[f"features.{index}.bias"]
        x = maps[f"features.{index}"] = F.conv2d(x, weight, bias, stride=stride, padding=padding)
        x = maps[f"features.{index + 1}"] = F.relu(x)
        if index in (0, 3, 10):
            x = maps[f"features.{index + 2}"] = F.max_pool2d(x, kernel_size=3, stride=2)
    x = maps["avgpool"] = F.adaptive_avg_pool2d(x, (6, 6))
    x = torch.flatten(x, 1)
    for index in (1, 4, 6):
        x = F.linear(x, state[f"classifier.{index}.weight"], state[f"classifier.{index}.bias"])
        maps[f"classifier.{index}"] = x
        x = maps[f"classifier.{index + 1}"] = F.relu(x)
    return maps


def torch_googlenet(state: State, x: Any) -> Maps:
    """torchvision.models.googlenet in eval mode, `transform_input=False`, as functions."""
    maps = {}

    def basic(x: Any, name: str, stride: int = 1, padding: int = 0) -> Any:
        x = F.conv2d(x, state[f"{name}.conv.weight"], None, stride=stride, padding=padding)
        norm = {key: state[f"{name}.bn.{key}"] for key in ("running_mean", "running_var", "weight", "bias")}
        return F.relu(F.batch_norm(x, **norm, training=False, eps=0.001))

    def inception(x: Any, name: str) -> Any:
        parts = [
            basic(x, f"{name}.branch1"),
            basic(basic(x, f"{name}.branch2.0"), f"{name}.branch2.1", padding=1),
            basic(basic(x, f"{name}.branch3.0"), f"{name}.branch3.1", padding=1),
            basic(F.max_pool2d(x, 3, stride=1, padding=1, ceil_mode=True), f"{name}.branch4.1"),
        ]
        maps[f"{name}.branch2.1"] = parts[1]
        return torch.cat(parts, 1)

    x = maps["conv1"] = basic(x, "conv1", stride=2, padding=3)
    x = maps["maxpool1"] = F.max_pool2d(x, 3, stride=2, ceil_mode=True)
    x = basic(basic(x, "conv2"), "conv3", padding=1)
    x = maps["maxpool2"] = F.max_pool2d(x, 3, stride=2, ceil_mode=True)
    for name in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"):
        x = maps[f"inception{name}"] = inception(x, f"inception{name}")
        if name == "3b":
            x = maps["maxpool3"] = F.max_pool2d(x, 3, stride=2, ceil_mode=True)
        if name == "4e":
            x = maps["maxpool4"] = F.max_pool2d(x, 2, stride=2, ceil_mode=True)
    x = maps["avgpool"] = F.adaptive_avg_pool2d(x, (1, 1)).flatten(1)
    maps["fc"] = F.linear(x, state["fc.weight"], state["fc.bias"])
    return maps


class Arrays:
    """Random arrays of such size that maps neither vanish nor explode."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.state: dict[str, np.ndarray[Any, Any]] = {}

    def weight(self, name: str, *shape: int, bias: bool = True) -> None:
        values = self.random.standard_normal(shape, np.float32)
        self.state[f"{name}.weight"] = values * np.float32(np.sqrt(2 / np.prod(shape[1:])))
        if bias:
            self.state[f"{name}.bias"] = self.random.normal(0, 0.1, shape[0]).astype(np.float32)

    def basic(self, name: str, outputs: int, inputs: int, kernel: int) -> None:
        self.weight(f"{name}.conv", outputs, inputs, kernel, kernel, bias=False)
        norm = {"weight": (0.8, 1.2), "bias": (-0.2, 0.2), "running_mean": (-0.2, 0.2), "running_var": (0.8, 1.2)}
        for key, (low, high) in norm.items():
            self.state[f"{name}.bn.{key}"] = self.random.uniform(low, high, outputs).astype(np.float32)
        self.state[f"{name}.bn.num_batches_tracked"] = np.array(7, np.int64)


def alexnet_state() -> dict[str, Any]:
    arrays = Arrays(1)
    for index, shape in {
        0: (64, 3, 11),
        3: (192, 64, 5),
        6: (384, 192, 3),
        8: (256, 384, 3),
        10: (256, 256, 3),
    }.items():
        arrays.weight(f"features.{index}", *shape, shape[-1])
    for index, (outputs, inputs) in {1: (4096, 256 * 6 * 6), 4: (4096, 4096), 6: (1000, 4096)}.items():
        arrays.weight(f"classifier.{index}", outputs, inputs)
    return arrays.state


def googlenet_state() -> dict[str, Any]:
    """With the auxiliary classifiers, as the file that torchvision offers has them."""
    arrays = Arrays(2)
    arrays.basic("conv1", 64, 3, 7)
    arrays.basic("conv2", 64, 64, 1)
    arrays.basic("conv3", 192, 64, 3)
    blocks = {  # inputs, 1x1, 3x3 reduced, 3x3, 5x5 reduced, 5x5, pool
        "3a": (192, 64, 96, 128, 16, 32, 32),
        "3b": (256, 128, 128, 192, 32, 96, 64),
        "4a": (480, 192, 96, 208, 16, 48, 64),
        "4b": (512, 160, 112, 224, 24, 64, 64),
        "4c": (512, 128, 128, 256, 24, 64, 64),
        "4d": (512, 112, 144, 288, 32, 64, 64),
        "4e": (528, 256, 160, 320, 32, 128, 128),
        "5a": (832, 256, 160, 320, 32, 128, 128),
        "5b": (832, 384, 192, 384, 48, 128, 128),
    }
    for block, (inputs, ones, reduced3, threes, reduced5, fives, pooled) in blocks.items():
        arrays.basic(f"inception{block}.branch1", ones, inputs, 1)
        arrays.basic(f"inception{block}.branch2.0", reduced3, inputs, 1)
        arrays.basic(f"inception{block}.branch2.1", threes, reduced3, 3)
        arrays.basic(f"inception{block}.branch3.0", reduced5, inputs, 1)
        arrays.basic(f"inception{block}.branch3.1", fives, reduced5, 3)
        arrays.basic(f"inception{block}.branch4.1", pooled, inputs, 1)
    for name, inputs in (("aux1", 512), ("aux2", 528)):
        arrays.basic(f"{name}.conv", 128, inputs, 1)
        arrays.weight(f"{name}.fc1", 1024, 2048)
        arrays.weight(f"{name}.fc2", 1000, 1024)
    arrays.weight("fc", 1000, 1024)
    return arrays.state


class Case:
    """A network's state dict, in memory and in a file, and PyTorch's way through it."""

    def __init__(self, name: str, state: dict[str, Any], maps: Callable[[State, Any], Maps], folder: Path) -> None:
        self.name, self.file = name, folder / f"{name}.safetensors"
        save_file(state, self.file)
        self._state = {key: torch.from_numpy(array) for key, array in state.items()}
        self._maps = maps

    def trunk(self, size: tuple[int, int] | None = None, layers: tuple[str, ...] = (), weights: str = "") -> Trunk:
        return build_trunk(
            NetworkSpec(
                backbone=self.name,
                weights=weights or str(self.file),
                size=size,
                layers=layers,
            )
        )

    def expected(self, pictures: Any) -> Maps:
        with torch.no_grad():
            maps = self._maps(self._state, torch.from_numpy(pictures.transpose(0, 3, 1, 2).copy()))
        return {name: (map_.permute(0, 2, 3, 1) if map_.ndim == 4 else map_).numpy() for name, map_ in maps.items()}


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    folder = tmp_path_factory.mktemp("nets")
    return {
        "alexnet": Case("alexnet", alexnet_state(), torch_alexnet, folder),
        "googlenet": Case("googlenet", googlenet_state(), torch_googlenet, folder),
    }


TAPS = {
    "alexnet": ("features.0", "features.2", "features.5", "features.12", "avgpool", "classifier.2", "classifier.6"),
    "googlenet": (
        *("conv1", "maxpool1", "maxpool2", "inception3a", "inception4b.branch2.1", "maxpool3", "inception4e"),
        *("maxpool4", "inception5b", "avgpool", "fc"),
    ),
}


def compare(case: Case, trunk: Trunk, layers: tuple[str, ...]) -> None:
    pictures = np.random.default_rng(3).standard_normal((2, *trunk.size, 3), np.float32)
    found = trunk.model([pictures], training=False)
    expected = case.expected(pictures)
    for layer, ours in zip(layers, found if isinstance(found, list) else [found], strict=True):
        theirs = expected[layer]
        assert ours.shape == theirs.shape, layer
        assert np.abs(theirs).max() > 0.1, f"{layer} has vanished"
        np.testing.assert_allclose(ours, theirs, atol=1e-4, rtol=0, err_msg=layer)


@pytest.mark.parametrize("size", [(224, 224), (231, 197), (320, 256)], ids=str)
@pytest.mark.parametrize("name", ["alexnet", "googlenet"])
def test_every_depth_gives_what_torch_gives(cases: dict[str, Case], name: str, size: tuple[int, int]) -> None:
    compare(cases[name], cases[name].trunk(size, TAPS[name]), TAPS[name])


@pytest.mark.parametrize(("name", "last"), [("alexnet", "features.12"), ("googlenet", "inception5b")])
def test_without_a_cut_it_ends_with_the_last_map(cases: dict[str, Case], name: str, last: str) -> None:
    smallest = backbone_named(name).smallest
    trunk = cases[name].trunk((smallest, smallest + 1))
    assert trunk.layers == (last,)
    compare(cases[name], trunk, trunk.layers)


@pytest.mark.parametrize("name", ["alexnet", "googlenet"])
def test_smaller_pictures_are_refused(cases: dict[str, Case], name: str) -> None:
    smallest = backbone_named(name).smallest
    with pytest.raises(
        ArgumentError, match=f"does not accept images of {smallest - 1}x300 .allowed: {smallest}x{smallest}"
    ):
        cases[name].trunk((smallest - 1, 300), weights="random")


def test_pictures_of_any_size_round_up_as_torch_does(cases: dict[str, Case]) -> None:
    fixed = cases["googlenet"].trunk((61, 86)).model
    model = backbone_named("googlenet").factory(include_top=False, weights=None)
    model.set_weights(fixed.get_weights())
    pictures = np.random.default_rng(4).standard_normal((1, 61, 86, 3), np.float32)
    np.testing.assert_allclose(model(pictures), fixed(pictures), atol=1e-5)


def test_preprocessing_is_that_of_torchvision() -> None:
    """GoogLeNet's includes `transform_input`, which torchvision applies to what its normalization gives."""
    pixels = np.random.default_rng(5).uniform(0, 255, (1, 4, 4, 3)).astype(np.float32)
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    normalized = (pixels / 255 - mean) / deviation
    np.testing.assert_allclose(backbone_named("AlexNet").preprocess(pixels.copy()), normalized, atol=1e-5)
    transformed = normalized * (deviation / 0.5) + (mean - 0.5) / 0.5
    np.testing.assert_allclose(backbone_named("GoogLeNet").preprocess(pixels.copy()), transformed, atol=1e-5)


@pytest.mark.parametrize("name", ["alexnet", "googlenet"])
def test_weights_that_cannot_be_downloaded_are_refused(cases: dict[str, Case], name: str) -> None:
    with pytest.raises(ExportError, match=rf"no imagenet weights of {name} .* --weights {name}.safetensors"):
        cases[name].trunk(weights="imagenet")
    with pytest.raises(ValueError, match="cannot be downloaded"):
        backbone_named(name).factory(weights="imagenet")


def test_every_name_and_shape_is_checked(cases: dict[str, Case], tmp_path: Path) -> None:
    whole = load_file(cases["googlenet"].file)
    key = "inception3b.branch2.1.conv.weight"
    wrong = {
        rf"the file has no '{key}' of shape \(192, 128, 3, 3\)": {name: whole[name] for name in whole if name != key},
        rf"the network's '{key}' has \(192, 128, 3, 3\), the file's \(192, 128, 5, 5\)": {
            **whole,
            key: np.zeros((192, 128, 5, 5), np.float32),
        },
        r"the file has 'inception3c.conv.weight', \(2,\), but the network": {
            **whole,
            "inception3c.conv.weight": np.zeros(2, np.float32),
        },
    }
    case = cases["googlenet"]
    for message, state in wrong.items():
        save_file(state, tmp_path / "wrong.safetensors")
        with pytest.raises(ArgumentError, match=f"do not fit googlenet: {message}"):
            case.trunk((32, 32), weights=str(tmp_path / "wrong.safetensors"))
    with pytest.raises(
        ArgumentError, match=r"do not fit alexnet: the file has no 'features.0.weight' of shape \(64, 3, 11, 11\)"
    ):
        cases["alexnet"].trunk(weights=str(case.file))
    save_file({**whole, key: np.full((192, 128, 3, 3), np.nan, np.float32)}, tmp_path / "nan.safetensors")
    with pytest.raises(ExportError, match=f"'{key}' contains values that are not finite"):
        case.trunk((32, 32), weights=str(tmp_path / "nan.safetensors"))
    save_file({**whole, key: whole[key].astype(np.int32)}, tmp_path / "int.safetensors")
    with pytest.raises(ExportError, match=f"'{key}' is I32 .allowed: F64, F32, F16"):
        case.trunk((32, 32), weights=str(tmp_path / "int.safetensors"))
