"""SavedModels of TensorFlow 1, with variables and without objects."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

pytest.importorskip("tensorflow", reason="the export extra is not installed")

import tensorflow as tf
from tests.export.models.networks.frozen_graphs import (
    LOGITS,
    PIXELS,
    POOLED,
    SIDE,
    computed,
    network,
    saved,
    spec,
    v1,
)
from tests.export.models.networks.keras2_models import close, outputs

from edgefeat import ExportError
from edgefeat_export._network.named_trunk import build_trunk


@pytest.mark.parametrize("resources", [False, True], ids=["reference variables", "resource variables"])
def test_a_saved_model_of_tensorflow_1_gives_what_tensorflow_gives(resources: bool, tmp_path: Path) -> None:
    with_resources = v1.resource_variables_enabled()
    (v1.enable_resource_variables if resources else v1.disable_resource_variables)()
    try:
        session = network()
    finally:
        (v1.enable_resource_variables if with_resources else v1.disable_resource_variables)()
    kinds = {operation.type for operation in session.graph.get_operations()}
    assert ("VarHandleOp" in kinds) == resources
    path = saved(session, tmp_path / "net", {"image": "input"}, {"prob": "final_result"})
    close(outputs(spec(path), PIXELS), computed(session, PIXELS, "final_result"))
    close(
        outputs(spec(path, layers=(LOGITS,)), PIXELS),
        computed(session, PIXELS, POOLED),
    )

    shutil.rmtree(path / "variables")
    with pytest.raises(ExportError, match="the file of its weights is missing or damaged: copy the whole folder"):
        build_trunk(spec(path))


def test_the_image_is_what_the_signature_takes(tmp_path: Path) -> None:
    """Programs that serve a model give it the tensor of the signature, here behind a scaling."""
    session = network(
        lambda: v1.placeholder(tf.float32, [1, SIDE, SIDE, 3], "input") * 7.0 - tf.constant(1.0, name="one")
    )
    path = saved(session, tmp_path / "net", {"image": "sub"}, {"prob": "final_result"})
    close(outputs(spec(path), PIXELS), computed(session, PIXELS, "final_result", "sub"))


def test_weights_have_the_names_that_the_graph_restores(tmp_path: Path) -> None:
    """Those of their moving averages, say."""
    session = network()
    with session.graph.as_default():
        variables = v1.global_variables()
        saver = v1.train.Saver({f"{one.op.name}/average": one for one in variables})
        image, classes = (session.graph.get_tensor_by_name(f"{name}:0") for name in ("input", "final_result"))
        builder = v1.saved_model.Builder(str(tmp_path / "net"))
        signature = v1.saved_model.predict_signature_def({"image": image}, {"prob": classes})
        builder.add_meta_graph_and_variables(session, ["serve"], {"serving_default": signature}, saver=saver)
        builder.save()
    close(outputs(spec(tmp_path / "net"), PIXELS), computed(session, PIXELS, "final_result"))


def test_the_graph_for_training_of_a_module_is_not_taken(tmp_path: Path) -> None:
    """A module of TensorFlow Hub has two graphs, none of them to serve."""
    session, trained = network(), network(end=lambda x: x * 0.0)
    builder = v1.saved_model.Builder(str(tmp_path / "module"))
    for one, tags in ((trained, ["train"]), (session, [])):
        with one.graph.as_default():
            image, classes = (one.graph.get_tensor_by_name(f"{name}:0") for name in ("input", "final_result"))
            signature = v1.saved_model.predict_signature_def({"image": image}, {"prob": classes})
            signatures = {"default": signature}
            if one is trained:
                builder.add_meta_graph_and_variables(one, tags, signatures)
            else:
                builder.add_meta_graph(tags, signatures)
    builder.save()
    found = outputs(spec(tmp_path / "module"), PIXELS)
    with trained.graph.as_default():  # whose weights were saved
        pooled = computed(trained, PIXELS, POOLED)
        kernel = trained.run(next(one for one in v1.global_variables() if one.op.name == "final_training_ops/weights"))
    close(found, tf.nn.softmax(pooled @ kernel))
