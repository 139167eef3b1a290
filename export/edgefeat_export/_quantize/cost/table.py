"""What operations cost on each engine: nanoseconds, fitted to measured files."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["TABLES", "TERMS"]

_COUNTED = ("pointwise", "shallow", "spatial", "depthwise", "position", "element", "curve", "operation")

#: The terms of an estimate. `border` counts tensors that change precision, `border_element` their elements.
TERMS = (
    *(f"{precision}_{counted}" for precision in ("float32", "int8") for counted in _COUNTED),
    "border",
    "border_element",
    "call",
)


def _table(*nanoseconds: float) -> Mapping[str, float]:
    return MappingProxyType(dict(zip(TERMS, nanoseconds, strict=True)))


#: Fitted by `python tests/stress/cost_table.py BUNDLE...` on an x86-64 processor with AVX-512 VNNI, one thread, LiteRT
#: 2.3 and ONNX Runtime 1.31: MobileNet 0.25, MobileNetV2 0.35, MobileNetV3 Small and Large, EfficientNet B0 and
#: EfficientNet-Lite0 at 224, each in float, in int8, and in four mixtures. Most predictions are within a tenth. What
#: other terms explain as well is 0, such as the cost of an operation on LiteRT. These networks have no window over many
#: channels: its costs were fitted by `--only float32_spatial int8_spatial` to DenseNet121, Inception V3, ResNet50 and
#: VGG16, on a processor with AMX. Those predictions are 0.6 to 2.2 times the time, mostly too long for int8.
TABLES: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "litert": _table(
            *(0.0291, 0.0, 0.0119, 0.0, 4.99, 0.135, 0.459, 0.0),  # float
            *(0.011, 0.0, 0.00101, 0.0, 24.0, 0.0, 0.391, 3.51),  # int8
            *(0.0, 0.158, 0.0),
        ),
        "onnxruntime": _table(
            *(0.025, 0.0208, 0.00554, 0.0, 15.6, 0.00372, 2.09, 0.0),
            *(0.0107, 0.0352, 0.00229, 0.0117, 13.5, 0.0, 1.76, 4120.0),
            *(0.0, 0.424, 0.0),
        ),
    }
)
