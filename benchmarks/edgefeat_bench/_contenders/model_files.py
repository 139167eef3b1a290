"""The files of a bundle's Keras model in a folder: the model, what stock converters make of it, and its facts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from edgefeat._bundle.json_records import from_json, to_json

#: From preprocessed float32 (N, H, W, 3) to the taps' finished features.
KERAS_MODEL = "model.keras"
#: The same with signatures `file` (a path) and `array` (uint8 (H, W, 3)), which decode and preprocess in the graph.
SAVED_MODEL = "saved_model"
#: What the stock converters make of it, with default settings.
TFLITE_MODEL, ONNX_MODEL = "stock.tflite", "stock.onnx"
FACTS = "facts.json"


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What is known of a folder of model files.

    `reason`, if not empty, says why there is no Keras model, and `remedy` what helps. `golden_cosine` is the lowest
    cosine of the model's features to the bundle's golden Keras features. `preprocess` names the Keras function, if
    there is one; it equals `x * scale + shift`, after reversing RGB if `reversed`. `operations` are the trunk's, two
    for each multiply-accumulate. `missing` has a reason for each file that could not be made, `mended` says what
    was wrong with a stock converter's file.
    """

    identity: str
    reason: str = ""
    remedy: str = ""
    golden_cosine: float = 0.0
    preprocess: str = ""
    scale: tuple[float, ...] = ()
    shift: tuple[float, ...] = ()
    reversed: bool = False
    operations: int = 0
    missing: dict[str, str] | None = None
    mended: dict[str, str] | None = None

    @property
    def same_weights(self) -> bool:
        """Whether the model gives the features that the bundle was made from."""
        return not self.reason and self.golden_cosine > 0.9999

    def remark(self, file: str) -> str:
        """Return what had to be mended in a file of the folder; empty if nothing."""
        return (self.mended or {}).get(file, "")

    def write(self, folder: Path) -> None:
        """Write the facts into `folder`."""
        (folder / FACTS).write_text(json.dumps(to_json(self), indent=1))

    @classmethod
    def read(cls, folder: Path) -> ModelFacts:
        """Read the facts in `folder`. Raises OSError, ValueError or RecordError if there are none."""
        return from_json(cls, json.loads((folder / FACTS).read_text()))
