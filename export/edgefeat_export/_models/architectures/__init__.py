"""Networks that `keras.applications` lacks, in the form of the widely available weights."""

from __future__ import annotations

from edgefeat_export._models.architectures.alexnet import ALEXNET_STATE, alexnet
from edgefeat_export._models.architectures.efficientnet_lite import EFFICIENTNET_LITE_SIZES, efficientnet_lite
from edgefeat_export._models.architectures.googlenet import GOOGLENET_STATE, googlenet
from edgefeat_export._models.architectures.state_dict import Entry, StateDict

__all__ = [
    "ALEXNET_STATE",
    "EFFICIENTNET_LITE_SIZES",
    "GOOGLENET_STATE",
    "Entry",
    "StateDict",
    "alexnet",
    "efficientnet_lite",
    "googlenet",
]
