"""Frozen graphs with branches for training, dropouts and other inputs than one image."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the export extra is not installed")

import tensorflow as tf
from tests.export.models.networks.frozen_graphs import (
    LOGITS,
    PIXELS,
    POOLED,
    SIDE,
    computed,
    frozen,
    images,
    names,
    network,
    spec,
    v1,
    without_shapes,
)
from tests.export.models.networks.keras2_models import close, outputs

from edgefeat import ArgumentError, EdgefeatError
from edgefeat_export._network.named_trunk import build_trunk


def dropout(x: Any) -> Any:
    """Drop as in training, by a rate that is another input."""
    rate = v1.placeholder(tf.float32, [], "rate")
    with v1.name_scope("dropout/"):
        noise = v1.random_uniform(tf.shape(x))
        return x * tf.floor(1 - rate + noise) / (1 - rate)


def double_if(condition: Any, x: Any) -> Any:
    return v1.cond(condition, lambda: x * 2.0, lambda: tf.identity(x))


def trained(x: Any) -> Any:
    """Double it in training, as Keras and TFLearn choose what a normalization does."""
    x = double_if(v1.placeholder_with_default(False, [], "is_training"), x)
    for name in ("batch_normalization_1/keras_learning_phase", "phase_train"):
        x = double_if(v1.placeholder(tf.bool, name=name), x)
    return x


def decided(x: Any) -> Any:
    """Double what is dark."""
    return double_if(tf.reduce_mean(x) < 0.1, x)


@pytest.fixture
def switches() -> Iterator[None]:
    """Conditions are written as in TensorFlow 1."""
    v1.disable_control_flow_v2()
    yield
    v1.enable_control_flow_v2()


@pytest.mark.usefixtures("switches")
def test_branches_of_training_are_left_out(tmp_path: Path) -> None:
    session = network(end=trained)
    path = frozen(session, tmp_path / "frozen_model.pb")
    assert b"Switch" in path.read_bytes()
    untrained = {"batch_normalization_1/keras_learning_phase:0": False, "phase_train:0": False}
    expected = computed(session, PIXELS, "final_result", more=untrained)
    close(outputs(spec(path), PIXELS), expected)


@pytest.mark.usefixtures("switches")
@pytest.mark.parametrize(
    ("end", "said"),
    [
        (dropout, "takes 2 inputs, input, rate (allowed: one image), or cut before that: edgefeat"),
        (decided, "decides or repeats what it computes, by Merge, Switch (allowed: graphs without control flow)"),
    ],
)
def test_a_graph_is_cut_before_what_is_not_computed_from_the_image(
    end: Callable[[Any], Any], said: str, tmp_path: Path
) -> None:
    session = network(end=end)
    path = frozen(session, tmp_path / "frozen_model.pb")
    with pytest.raises(EdgefeatError, match=re.escape(said)):
        build_trunk(spec(path))
    listed = names(path)
    assert not any("dropout" in name or "final" in name for name in listed)
    (layer,) = {POOLED, LOGITS}.intersection(listed[-2:])
    close(outputs(spec(path, layers=(layer,)), PIXELS), computed(session, PIXELS, POOLED))


@pytest.mark.usefixtures("switches")
def test_only_inputs_that_tell_of_training_are_false(tmp_path: Path) -> None:
    """A default of such an input is for training; any other input may be for anything."""
    session = network(end=lambda x: double_if(v1.placeholder_with_default(True, [], "bn/is_training"), x))
    path = frozen(session, tmp_path / "model.pb")
    close(outputs(spec(path), PIXELS), computed(session, PIXELS, "final_result", more={"bn/is_training:0": False}))
    path = frozen(network(end=lambda x: double_if(v1.placeholder(tf.bool, [], "training/is_test"), x)), path)
    with pytest.raises(ArgumentError, match="takes 2 inputs, input, training/is_test"):
        build_trunk(spec(path))


@pytest.mark.usefixtures("switches")
def test_branches_of_constants_and_conditions_within_conditions_are_resolved(tmp_path: Path) -> None:
    def end(x: Any) -> Any:
        training = v1.placeholder_with_default(False, [], "is_training")
        x = x * v1.cond(training, lambda: tf.constant(0.5), lambda: tf.constant(2.0))
        return v1.cond(training, lambda: x * 3.0, lambda: v1.cond(training, lambda: x * 5.0, lambda: x * 7.0))

    session = network(end=end)
    path = frozen(session, tmp_path / "model.pb")
    close(outputs(spec(path), PIXELS), computed(session, PIXELS, "final_result"))


def test_the_image_is_found_among_inputs_and_ends_in_any_order(tmp_path: Path) -> None:
    """A label map comes first, a weight that nothing takes is no output, and operations may be in any order."""

    def made() -> Any:
        tf.identity(v1.Variable(np.ones(3, np.float32), name="unused"), name="unused/read")
        return images()

    def end(x: Any) -> Any:
        rate, labels = v1.placeholder(tf.float32, [], "rate"), v1.placeholder(tf.float32, [None, 4, 4, 1], "labels")
        return x * rate + tf.reduce_mean(labels)

    def change(graph: Any) -> None:
        without_shapes(graph)
        nodes = [*graph.node]
        del graph.node[:]
        graph.node.extend(reversed(nodes))

    session = network(made, end=end)
    path = frozen(session, tmp_path / "model.pb")
    expected = computed(session, PIXELS, POOLED)
    close(outputs(spec(path, layers=(next(one for one in names(path) if one in (POOLED, LOGITS)),)), PIXELS), expected)
    session = network(lambda: v1.placeholder(tf.float32, [None, SIDE, SIDE, 3], "input"))
    path = frozen(session, tmp_path / "reversed.pb", change)
    close(outputs(spec(path, size=(SIDE, SIDE)), PIXELS), computed(session, PIXELS, "final_result"))
