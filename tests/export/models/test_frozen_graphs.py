"""Graphs of TensorFlow 1 that are frozen in a `.pb` file."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the export extra is not installed")

import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.export.models.networks.frozen_graphs import (
    LOGITS,
    PIXELS,
    POOLED,
    SIDE,
    computed,
    frozen,
    jpegs,
    names,
    network,
    quantized,
    scaled_jpegs,
    spec,
    v1,
    without_shapes,
)
from tests.export.models.networks.keras2_models import close, outputs

import edgefeat_export
from edgefeat import ArgumentError, EdgefeatError, ExportError
from edgefeat_export._network.named_trunk import build_trunk


def test_a_frozen_graph_gives_what_tensorflow_gives(tmp_path: Path) -> None:
    session = network()
    path = frozen(session, tmp_path / "retrained_graph.pb")
    close(outputs(spec(path), PIXELS), computed(session, PIXELS, "final_result"))
    assert LOGITS in names(path)
    close(outputs(spec(path, layers=(LOGITS,)), PIXELS), computed(session, PIXELS, POOLED))
    with pytest.raises(ArgumentError, match=r"layer 'Logit' is not in retrained_graph"):
        build_trunk(spec(path, layers=("Logit",)))


def test_it_is_exported_in_both_formats_with_the_features_of_tensorflow(small_photos: Path, tmp_path: Path) -> None:
    path = frozen(network(), tmp_path / "retrained_graph.pb")
    made = edgefeat_export.export(
        path,
        tmp_path / "made.edgefeat",
        preprocess="tf",
        layers=[LOGITS],
        calibration=small_photos,
        variants=["tflite-float32", "onnx-float32"],
    )
    assert made.bundle.manifest.backbone.name == "retrained_graph"
    for variant in made.bundle.manifest.variants:
        (figures,) = variant.fidelity.values()
        assert figures.minimum_cosine > 0.9999, variant.name


def test_without_shapes_the_size_is_asked_for(tmp_path: Path) -> None:
    session = network(lambda: v1.placeholder(tf.float32, [None, SIDE, SIDE, 3], "input"))
    path = frozen(session, tmp_path / "optimized_graph.pb", without_shapes)
    close(outputs(spec(path, size=(SIDE, SIDE)), PIXELS), computed(session, PIXELS, "final_result"))


@pytest.mark.parametrize("size", [20, 2 * SIDE])
def test_images_that_do_not_fit_are_refused_with_the_option(size: int, tmp_path: Path) -> None:
    """Of twice the size, one is taken for four."""

    def flat() -> Any:
        source = v1.placeholder(tf.float32, [None, SIDE, SIDE, 3], "input")
        same = tf.constant(np.eye(3, dtype=np.float32).reshape(1, 1, 3, 3))
        rows = tf.reshape(tf.nn.conv2d(source, same, 1, "SAME"), [-1, SIDE * SIDE * 3])
        return tf.reshape(rows, [-1, SIDE, SIDE, 3])

    path = frozen(network(flat), tmp_path / "optimized_graph.pb", without_shapes)
    with pytest.raises(ArgumentError, match=r"cannot be built for images of .*: set --input-size"):
        outputs(spec(path, size=(size, size)), PIXELS)


def test_weights_stored_as_integers_are_expanded(tmp_path: Path) -> None:
    path = frozen(network(), tmp_path / "quantized_graph.pb", quantized)
    graph = tf.Graph()
    with graph.as_default():
        definition = v1.GraphDef.FromString(path.read_bytes())
        assert any(node.op == "Dequantize" for node in definition.node)
        tf.import_graph_def(definition, name="")
    close(outputs(spec(path), PIXELS), computed(v1.Session(graph=graph), PIXELS, "final_result"))


def test_a_graph_that_reads_files_takes_images(tmp_path: Path) -> None:
    session = network(jpegs)
    path = frozen(session, tmp_path / "classify_image_graph_def.pb")
    expected = computed(session, PIXELS, "final_result", "ExpandDims")
    close(outputs(spec(path), PIXELS), expected)  # of the size that it resizes them to
    close(
        outputs(spec(path, layers=("MobilenetV1/Conv2d_0",)), PIXELS),
        computed(session, PIXELS, "MobilenetV1/Conv2d_0/Relu6", "ExpandDims"),
    )


def test_channels_that_are_not_those_of_the_first_convolution_are_not_guessed(tmp_path: Path) -> None:
    def gray() -> Any:
        return tf.tile(v1.placeholder(tf.float32, [None, SIDE, SIDE, 1], "input"), [1, 1, 1, 3])

    path = frozen(network(gray), tmp_path / "model.pb", without_shapes)
    with pytest.raises(ArgumentError, match="takes a tensor of shape <unknown>"):
        build_trunk(spec(path, size=(SIDE, SIDE)))


@pytest.mark.parametrize("channels", [1, 3])
def test_what_a_graph_computes_before_it_makes_a_batch_is_kept(channels: int, tmp_path: Path) -> None:
    session = network(lambda: tf.repeat(scaled_jpegs(channels), 3 // channels, -1))
    path = frozen(session, tmp_path / "model.pb")
    pixels = PIXELS if channels == 3 else PIXELS[..., :1]
    # Keras gives gray networks one channel; here they are the same in all three.
    expected = computed(session, pixels / 255, "final_result", "ExpandDims")
    close(outputs(spec(path, size=(SIDE, SIDE)), pixels), expected)


def per_channel(graph: Any) -> None:
    """Give each channel of the weights a range, in place."""
    quantized(graph)
    for node in graph.node:
        if node.op == "Dequantize":
            node.attr["axis"].i = 3
    for node in [node for node in graph.node if node.name.endswith(("_min", "_max"))]:
        node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(np.ones(8, np.float32)))


def endless_size(graph: Any) -> None:
    """Declare weights of a terabyte, in place."""
    quantized(graph)
    weights = next(node for node in graph.node if node.name.endswith("_const"))
    weights.attr["value"].tensor.tensor_shape.dim[0].size = 2**36


@pytest.mark.parametrize("change", [per_channel, endless_size])
def test_integers_that_are_stored_in_another_way_are_refused(change: Callable[[Any], None], tmp_path: Path) -> None:
    """TensorFlow ends the process if a range is not one number."""
    path = frozen(network(), tmp_path / "model.pb", change)
    with pytest.raises(ExportError, match="uses Dequantize"):
        build_trunk(spec(path))


def test_the_description_beside_a_graph_is_not_a_graph(tmp_path: Path) -> None:
    (tmp_path / "keras_metadata.pb").write_bytes(b"\n\x05hello")
    with pytest.raises(ExportError, match="is not a frozen graph"):
        build_trunk(spec(tmp_path / "keras_metadata.pb"))


def test_a_graph_that_ends_in_the_first_row_is_cut_before_it(tmp_path: Path) -> None:
    """A program that converted models of Keras added such an output for each."""
    session = network(lambda: v1.placeholder(tf.float32, [None, SIDE, SIDE, 3], "input"))
    with session.graph.as_default():
        tf.identity(session.graph.get_tensor_by_name("final_result:0")[0], name="first")
    path = frozen(session, tmp_path / "output_graph.pb", without_shapes, output="first")
    found = outputs(spec(path, size=(SIDE, SIDE), layers=("final_result",)), PIXELS)
    close(found, computed(session, PIXELS, "final_result"))


def endless(graph: Any) -> None:
    """Let two operations take each other, in front of the kernel."""
    for name, other in (("a", "b"), ("b", "a")):
        node = graph.node.add(name=name, op="Identity", input=[other])
        node.attr["T"].type = tf.float32.as_datatype_enum
    next(node for node in graph.node if node.op == "Conv2D").input[1] = "a"


@pytest.mark.parametrize("shapes", [True, False], ids=["shapes", "no shapes"])
def test_operations_that_take_each_other_are_an_error(shapes: bool, tmp_path: Path) -> None:
    def change(graph: Any) -> None:
        endless(graph)
        if not shapes:
            without_shapes(graph)

    path = frozen(network(), tmp_path / "graph.pb", change)
    with pytest.raises(EdgefeatError):
        build_trunk(spec(path, size=(SIDE, SIDE)))


def test_files_are_not_read_by_a_graph(tmp_path: Path) -> None:
    def reads(graph: Any) -> None:
        node = graph.node.add(name="file", op="ReadFile", input=["name"])
        name = graph.node.add(name="name", op="Const")
        name.attr["dtype"].type = tf.string.as_datatype_enum
        name.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(b"/etc/passwd"))
        decoded = graph.node.add(name="decoded", op="DecodeRaw", input=[node.name])
        decoded.attr["out_type"].type = tf.float32.as_datatype_enum
        next(one for one in graph.node if one.op == "MatMul").input[1] = "decoded"

    path = frozen(network(), tmp_path / "graph.pb", reads)
    with pytest.raises(ExportError, match=r"uses DecodeRaw, ReadFile .*: save only the network, or cut before that"):
        build_trunk(spec(path))


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a frozen graph."""
    return frozen(network(), tmp_path_factory.mktemp("frozen") / "graph.pb").read_bytes()


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_change_of_the_file_is_loaded_or_one_clear_error(
    content: bytes, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    changed = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(1, len(content) - 1))] = data.draw(st.integers(0, 255))
    end = data.draw(st.sampled_from([len(content), len(content) // 2]))
    path = tmp_path_factory.mktemp("changed") / "graph.pb"
    path.write_bytes(bytes(changed[:end]))
    with suppress(EdgefeatError):
        build_trunk(spec(path))


def test_a_slice_to_the_largest_number_goes_to_the_end(tmp_path: Path) -> None:
    """Converters from other frameworks write the end as the largest number of 64 bits."""

    def sliced(x: Any) -> Any:
        most = tf.constant([2**63 - 1, 2**63 - 1], tf.int64)
        return tf.strided_slice(x, tf.constant([0, 0], tf.int64), most, tf.constant([1, 1], tf.int64)) * 1.5

    session = network(end=sliced)
    path = frozen(session, tmp_path / "converted.pb")
    close(outputs(spec(path), PIXELS), computed(session, PIXELS, "final_result"))


@pytest.mark.parametrize("is_training", [True, False])
def test_a_graph_for_training_is_refused(is_training: bool, tmp_path: Path) -> None:
    def normalized(x: Any) -> Any:
        ones, zeros = tf.ones(8), tf.zeros(8)
        mean, variance = (None, None) if is_training else (zeros + 0.25, ones * 4)
        image = tf.reshape(x, [-1, 1, 1, 8])
        options = {"mean": mean, "variance": variance, "is_training": is_training}
        return tf.reshape(v1.nn.fused_batch_norm(image, ones, zeros, name="norm", **options)[0], [-1, 8])

    session = network(end=normalized)
    path = frozen(session, tmp_path / "graph.pb")
    if is_training:
        with pytest.raises(ExportError, match="is a graph for training: 'norm' normalizes an image by the others"):
            build_trunk(spec(path))
    else:
        close(outputs(spec(path), PIXELS), computed(session, PIXELS, "final_result"))
