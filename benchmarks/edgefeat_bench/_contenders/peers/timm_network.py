"""timm's network of the bundle's architecture, on random weights."""

from __future__ import annotations

import timm
import torch

import edgefeat
from edgefeat import EdgefeatError

_NAMES = {
    "densenet121": "densenet121",
    "mobilenet": "mobilenetv1_100",
    "mobilenet_v2": "mobilenetv2_100",
    "mobilenet_v3_large": "mobilenetv3_large_100",
    "mobilenet_v3_small": "mobilenetv3_small_100",
    "resnet50": "resnet50",
    "resnet101": "resnet101",
    "resnet152": "resnet152",
    "efficientnet_b0": "efficientnet_b0",
    **{f"efficientnet_lite{number}": f"efficientnet_lite{number}" for number in range(5)},
    "vit_base_patch16_224_imagenet": "vit_base_patch16_224",
    "vgg16": "vgg16",
    "vgg19": "vgg19",
}


def timm_network(bundle: str) -> torch.nn.Module:
    """Return the network from an image to the pooled features, in inference mode; nothing is downloaded.

    Raises EdgefeatError if none is known to be the bundle's backbone.
    """
    backbone = edgefeat.Bundle.open(bundle).manifest.backbone
    name = _NAMES.get(backbone.name, "")
    if alpha := backbone.options.get("alpha"):
        name = name.replace("_100", f"_{round(float(alpha) * 100):03d}")
    if not name or not timm.is_model(name):
        wanted = f"{backbone.name} {' '.join(backbone.options.values())}".rstrip()
        raise EdgefeatError(f"no network of timm is known here to be {wanted}")
    network: torch.nn.Module = timm.create_model(name, pretrained=False, num_classes=0).eval()
    # `num_classes=0` leaves layers after the features of VGG and MobileNetV3, `include_top=False` of Keras does not.
    if name.startswith("vgg"):
        network.pre_logits = torch.nn.Identity()
    elif name.startswith("mobilenetv3"):
        network.conv_head, network.norm_head, network.act2 = (torch.nn.Identity() for _ in range(3))
    return network
