"""The backbones of the registry: their sizes, their tops, and weights by chance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the export extra is not installed")

import keras
from keras import layers
from tests.export.models.networks.weight_files import network, same, spec, with_alpha

from edgefeat import ArgumentError
from edgefeat_export._models.backbones import Backbone, backbone_named, backbones
from edgefeat_export._network import named_trunk as _trunk
from edgefeat_export._network.named_trunk import build_trunk


def factory(calls: list[tuple[Any, ...]], *, flat: bool = False) -> Callable[..., keras.Model]:
    """A network as `keras.applications` has them, whose weights "imagenet" are 7 everywhere."""

    def build(*, include_top: bool, weights: str | None, input_shape: tuple[int, int, int]) -> keras.Model:
        calls.append((include_top, weights, input_shape))
        source = keras.Input(input_shape)
        x = layers.Conv2D(4, 3, strides=8)(source)
        if include_top:
            x = layers.Flatten()(x) if flat else layers.GlobalAveragePooling2D(name="avg_pool")(x)
            x = layers.Dense(6, name="fc")(x)
        model = keras.Model(source, x, name="vgg16" if flat else "round")
        if weights is not None:
            if include_top and input_shape != (224, 224, 3):
                raise ValueError(f"`input_shape` should be (224, 224, 3), not {input_shape}")
            model.set_weights([np.full(array.shape, 7.0) for array in model.get_weights()])
        return model

    return build


def test_a_cut_behind_the_trunk_brings_the_top(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[Any, ...]] = []
    backbone = Backbone("round", factory(calls), lambda pixels: pixels, "none")
    monkeypatch.setattr(_trunk, "backbone_named", lambda name: backbone)
    trunk = build_trunk(spec("round", "random", "conv2d", size=(48, 40)))
    assert trunk.layers == ("conv2d",)
    assert not any(top for top, *_ in calls), "the top is not needed"
    trunk = build_trunk(spec("round", None, "fc", "conv2d", size=(48, 40)))
    assert trunk.size == (48, 40)
    assert [tuple(output.shape) for output in trunk.model.outputs] == [(None, 6), (None, 6, 5, 4)]
    assert all((array == 7).all() for array in trunk.model.get_weights())
    calls.clear()
    with pytest.raises(
        ArgumentError, match=r"layer 'fd' is not in round .similar: fc; the last are: .*conv2d, avg_pool, fc"
    ):
        build_trunk(spec("round", None, "fd"))
    assert not any(weights for _, weights, _ in calls), "nothing is fetched for a layer that is not there"


def test_a_top_that_sees_the_whole_map_keeps_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[Any, ...]] = []
    backbone = Backbone("vgg16", factory(calls, flat=True), lambda pixels: pixels, "none")
    monkeypatch.setattr(_trunk, "backbone_named", lambda name: backbone)
    for weights in ("random", "imagenet"):
        with pytest.raises(ArgumentError, match="layer 'fc' of vgg16 accepts only images of 224x224, not 320x320"):
            build_trunk(spec("vgg16", weights, "fc", size=(320, 320)))
        assert build_trunk(spec("vgg16", weights, "fc", size=None)).size == (224, 224)
    assert not any(top and shape[0] > 224 for top, _, shape in calls), "a dense layer of gigabytes"


def test_random_weights_are_the_same_whatever_was_built_before() -> None:
    asked = with_alpha(spec("mobilenet", "random"), 0.25)
    first = build_trunk(asked)
    network(5)
    again = build_trunk(asked)
    assert same(first.model, again.model)
    assert [layer.name for layer in first.model.layers] == [layer.name for layer in again.model.layers]


class SizesError(Exception):
    """Raised in place of building."""


@pytest.mark.parametrize("backbone", [entry for entry in backbones() if entry.downloads], ids=lambda entry: entry.name)
def test_sizes_are_those_of_keras(backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    def tell(*_: object, default_size: int, min_size: int, **__: object) -> None:
        raise SizesError(default_size, min_size)

    module = pytest.importorskip("keras.src.applications.imagenet_utils")
    monkeypatch.setattr(module, "obtain_input_shape", tell)
    if backbone.name.startswith("mobilenet_v3"):  # the only ones that do not ask
        assert (backbone.size, backbone.smallest) == (224, 32)
        return
    with pytest.raises(SizesError) as error:
        backbone.factory(include_top=True, weights=None, input_shape=None)
    assert error.value.args == (backbone.size, backbone.smallest)


def test_the_registry_has_more_than_keras() -> None:
    names = [backbone.name for backbone in backbones()]
    assert names == sorted(names)
    assert {"alexnet", "googlenet", "vgg16", "nasnet_large", "convnext_xlarge"} <= set(names)
    assert backbone_named("GoogLeNet").name == "googlenet"
