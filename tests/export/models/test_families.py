"""A small member of most families: float32 in both formats equals Keras, and int8 converts.

Each is cut where its kinds of layers have all occurred; the blocks behind only repeat them. `make backbones` exports
every backbone whole, with all its variants, for hours. `make test-long` exports ResNet and VGG, in
`test_examples.py`. MobileNet and Xception are left out because all their layers are in other members.
"""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("tensorflow", reason="needs the export extra")

from tests.conftest import LONG

import edgefeat_export

#: By name, the side of the pictures, small but with a last map of more than one position where ONNX needs it; and the
#: layer of the cut, None for the whole.
MEMBERS = {
    "alexnet": (96, None),
    "convnext_tiny": (64, "convnext_tiny_downsampling_block_1"),
    "densenet121": (32, "pool2_pool"),
    "efficientnet_b0": (64, "block3a_project_bn"),
    "googlenet": (64, "inception4a"),
    "inception_v3": (75, "mixed4"),
    "mobilenet_v2": (32, "block_2_add"),
    "mobilenet_v3_small": (32, "expanded_conv_4_add"),
}
#: Those whose layers others have, wired in another way: `make test-long`.
ALIKE = ("alexnet", "efficientnet_b0", "googlenet", "inception_v3", "mobilenet_v2")
#: Those whose operations or size the int8 quantizers have had trouble with.
IN_INT8 = ("convnext_tiny", "densenet121", "mobilenet_v3_small")


@pytest.mark.parametrize("name", [pytest.param(name, marks=LONG if name in ALIKE else ()) for name in MEMBERS])
def test_a_member_of_the_family_converts_and_its_float_files_are_keras(
    name: str, small_photos: Path, tmp_path: Path
) -> None:
    wanted = ["tflite-float32", "onnx-float32", *(["tflite-int8"] if name in IN_INT8 else [])]
    side, layer = MEMBERS[name]
    extractor = edgefeat_export.export(
        name,
        tmp_path / "a.edgefeat",
        weights="random",
        calibration=small_photos,
        input_size=side,
        layers=[layer] if layer else (),
        variants=wanted,
        correction=[],
        effort="quick",
        min_fidelity=0.3,
    )
    found = {
        variant.name: min(figures.minimum_cosine for figures in variant.fidelity.values())
        for variant in extractor.bundle.manifest.variants
    }
    assert set(found) == set(wanted)
    assert min(found["tflite-float32"], found["onnx-float32"]) >= 0.9999
