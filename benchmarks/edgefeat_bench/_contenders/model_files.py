"""What a run needs beside the bundle: the Keras model it came from, and what stock converters make of that."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from edgefeat._bundle.json_records import from_json, to_json

__all__ = ["KERAS_MODEL", "ONNX_MODEL", "SAVED_MODEL", "TFLITE_MODEL", "Prepared"]

#: From preprocessed float32 (N, H, W, 3) to the taps' finished features.
KERAS_MODEL = "model.keras"
#: The same behind signatures `file` (a path) and `array` (uint8 (H, W, 3)), decoding and preprocessing inside.
SAVED_MODEL = "saved_model"
#: What the stock converters make of it, with default settings.
TFLITE_MODEL, ONNX_MODEL = "stock.tflite", "stock.onnx"

_FACTS = "facts.json"


@dataclass(frozen=True, slots=True)
class Prepared:
    """The facts of a prepared folder. `reason`, if not empty, says why there is no Keras model, `remedy` what helps.

    `golden_cosine` is the least cosine of the model's features to the bundle's golden Keras features. Preprocessing is
    the function of Keras by that name if not empty, and the same as `x * scale + shift`, RGB reversed before if
    `reversed`. `operations` are the trunk's, two a multiply-accumulate. `missing` has a reason for each file not made.
    """

    identity: str
    reason: str
    remedy: str
    golden_cosine: float
    preprocess: str
    scale: tuple[float, ...]
    shift: tuple[float, ...]
    reversed: bool
    operations: int
    missing: dict[str, str]

    @property
    def same_weights(self) -> bool:
        """Whether the model gives the features that the bundle was made from."""
        return not self.reason and self.golden_cosine > 0.9999

    def write(self, folder: Path) -> None:
        """Leaves the facts in `folder`."""
        (folder / _FACTS).write_text(json.dumps(to_json(self), indent=1))

    @classmethod
    def read(cls, folder: Path) -> Prepared:
        """The facts left in `folder`. Raises OSError, ValueError or RecordError where there are none."""
        return from_json(cls, json.loads((folder / _FACTS).read_text()))

    @classmethod
    def without(cls, identity: str, reason: str, remedy: str) -> Prepared:
        """The facts where there is no Keras model."""
        return cls(identity, reason, remedy, 0.0, "", (), (), False, 0, {})
