"""Saved models of public projects: the exported features equal those of the model's own Keras."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the export extra is not installed")

from tests.conftest import LONG
from tests.export.tables import saved_models

from edgefeat import ArgumentError, ExportError
from edgefeat._images.form import PictureForm
from edgefeat._images.picture import read_picture
from edgefeat_export._network.named_trunk import build_trunk
from edgefeat_export._network.network import build
from edgefeat_export._spec import NetworkSpec

tf_keras: Any = pytest.importorskip("tf_keras", reason="the export extra is not installed")


#: Large files, whose network or format others have too: `make test-long`.
ALIKE = ("teachable_machine_10.h5", "efficientnet_lite0_imagenet.keras")


@pytest.fixture(scope="module")
def models(shared_data: Path) -> Path:
    folder = shared_data / "models"
    if not folder.is_dir():
        pytest.skip(f"no test data: {folder} is absent")
    return folder


def photos(models: Path) -> list[Path]:
    return sorted((models.parent / "calibration").iterdir())[:4]


def test_each_network_gives_what_its_own_keras_gives(models: Path) -> None:
    """The network that the files are made of, on pictures read as edgefeat reads them; `make saved-models` does all."""
    for path in saved_models.given_models(models):
        if path.name in ALIKE and "EDGEFEAT_LONG" not in os.environ:
            continue
        mode = saved_models.scaling(path.name)
        cut = saved_models.CUTS.get(path.name)
        layers = (cut,) if cut else ()
        spec = NetworkSpec(str(path), preprocess=mode, pooling="none", normalization="none", layers=layers)
        trunk = build_trunk(spec)
        form = PictureForm(*trunk.size, color=trunk.color)
        pictures = np.stack([read_picture(photo, form, "exact") for photo in photos(models)])
        network = build(trunk, spec, pictures)
        found = np.asarray(network.model(pictures.astype(np.float32), training=False)).reshape(len(pictures), -1)
        own = saved_models.expected(path, mode, photos(models))
        np.testing.assert_allclose(found, own, rtol=1e-3, atol=1e-5 * np.abs(own).max(), err_msg=path.name)


def test_a_gray_network_is_exported_whole_by_the_command_line(models: Path) -> None:
    path = models / "keras213_windows_gray48.keras"
    cosines = saved_models.lowest_cosines(path, "unit", photos(models))
    assert min(cosines.values()) >= 0.9999


@pytest.mark.parametrize("lost", ["variables.index", "variables.data-00000-of-00001"])
@pytest.mark.parametrize("kind", ["keras", "signature"])
def test_a_folder_without_its_weights_is_told_what_it_lacks(kind: str, lost: str, tmp_path: Path) -> None:
    source = tf_keras.Input((8, 8, 3))
    model = tf_keras.Model(source, tf_keras.layers.Conv2D(4, 3)(tf_keras.layers.Rescaling(1 / 255)(source)))
    model.save(tmp_path / "m", save_format="tf")
    if kind == "signature":
        (tmp_path / "m" / "keras_metadata.pb").unlink()
    (tmp_path / "m" / "variables" / lost).unlink()
    with pytest.raises(ExportError, match=rf"m is incomplete: variables/{lost}.* copy the whole folder"):
        build_trunk(NetworkSpec(str(tmp_path / "m")))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("teachable_machine_4.h5", r"it is an export of Teachable Machine, which uses `tf`.*--preprocess tf$"),
        ("keras3_cifar32.h5", "does not scale its own pixels"),
        ("not_a_picture.keras", "image as 64 numbers"),
        ("not_hdf5.hdf5", "damaged by saving it as text"),
        ("mobilenetv3small_tiny.weights.h5", "contains only weights"),
        ("picture_and_numbers.keras", r"has 2 inputs.*--layer .*--input numerical_input=0,0,0"),
    ],
)
def test_a_model_that_cannot_be_exported_is_refused_in_one_line(name: str, said: str, models: Path) -> None:
    with pytest.raises((ArgumentError, ExportError), match=said) as refused:
        build_trunk(NetworkSpec(str(models / name)))
    assert "\n" not in str(refused.value)


def test_the_command_line_prints_that_line_alone(models: Path) -> None:
    with pytest.raises(ArgumentError) as refused:
        build_trunk(NetworkSpec(str(models / "keras3_cifar32.h5")))
    command = [sys.executable, "-m", "edgefeat", "export", str(models / "keras3_cifar32.h5"), "-o", "nowhere.edgefeat"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"edgefeat: {refused.value}" in done.stderr.splitlines()
    assert "Traceback" not in done.stderr


def test_a_bare_mobilenet_v2_is_refused_with_its_own_preprocessing(tmp_path: Path) -> None:
    import keras

    path = tmp_path / "mine.keras"
    keras.applications.MobileNetV2(weights=None, alpha=0.35, input_shape=(96, 96, 3), include_top=False).save(path)
    with pytest.raises(ArgumentError, match=r"its layers are those of MobileNetV2, which uses `tf`.*--preprocess tf$"):
        build_trunk(NetworkSpec(str(path)))


@pytest.mark.parametrize(
    ("family", "mode"),
    [
        ("MobileNet", "tf"),
        ("VGG16", "caffe"),
        ("DenseNet121", "torch"),
        # Large networks with a mode that one above has.
        pytest.param("ResNet50", "caffe", marks=LONG),
        pytest.param("ResNet50V2", "tf", marks=LONG),
        pytest.param("Xception", "tf", marks=LONG),
        pytest.param("InceptionV3", "tf", marks=LONG),
        pytest.param("NASNetMobile", "tf", marks=LONG),
    ],
)
def test_the_hint_names_the_mode_of_keras_applications(family: str, mode: str) -> None:
    import keras

    from edgefeat_export._models.saved.scaling import scaling_hint

    model: Any = getattr(keras.applications, family)(weights=None, include_top=False)
    assert f"`{mode}`" in str(scaling_hint(model))


@pytest.mark.parametrize("family", ["EfficientNetB0", "EfficientNetV2B0", "MobileNetV3Small", "ConvNeXtTiny"])
def test_backbones_that_scale_their_own_pixels_need_nothing(family: str) -> None:
    import keras

    from edgefeat_export._models.saved.scaling import own_scaling

    model: Any = getattr(keras.applications, family)(weights=None, include_top=False, input_shape=(64, 64, 3))
    assert own_scaling(model, model.inputs[0].name) is not None
