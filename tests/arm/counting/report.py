"""The counts as a page and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeAlias

from edgefeat._bundle.atomic_files import written_file

__all__ = ["Count", "Key", "read_counts", "write_report"]

#: Board, network, contender, variant, and engine with its version.
Key: TypeAlias = tuple[str, str, str, str, str]

_PROCESSORS = {"cortex-a53": "emulated Cortex-A53, as in a Raspberry Pi 3",
               "cortex-a72": "emulated Cortex-A72, as in a Raspberry Pi 4",
               "cortex-a76": "emulated Cortex-A76, as in a Raspberry Pi 5"}  # fmt: skip

_TEXT = """\
The number of instructions that each engine needs for one image, on processors of Raspberry Pis. Repeat it, or count a
bundle of yours with `BUNDLES=`:

```sh
make bench-arm
```

It runs the aarch64 wheels that a Raspberry Pi installs in an emulator that counts instructions.

**Instructions are not cycles and not milliseconds.** A vector instruction counts as one, like an addition, and
waiting for memory does not count. int8 needs a quarter of the bytes, so on a board it gains more than the counts show.
For milliseconds run `edgefeat bench` on the board.

The counts show how much work each engine does with each file, and what dot-product instructions save: the Cortex-A76
has them, the Cortex-A53 and A72 do not. From version to version they show what became slower.

| | |
|---|---|
| threads | one |
| photo | a generated JPEG of 1600 x 1200 pixels, {photo} kB |
| edgefeat | scales the photo while it decodes, its default; everything after that is in its files |
| plain TensorFlow Lite: image | decodes the whole photo with Pillow, resizes it, preprocesses it in NumPy like Keras |
| plain TensorFlow Lite: feature | runs the file of the standard converter, divides by the length |
| tflite-runtime | has fast kernels for float only |
| repeatability | counted twice; no figure differed by more than {worst} |

Millions of instructions follow; [milliseconds](#milliseconds-that-others-published) are at the end."""

_PUBLISHED = """\

## Milliseconds that others published

They are of inference alone, with other versions, compilers and clocks, and none is of edgefeat: they show the order of
magnitude. XNNPACK is the library that LiteRT computes with. [Compare boards](boards.md) says how to add yours.

| board | threads | MobileNetV2 | MobileNetV3 Small | ResNet50 | ResNet50 int8 | VGG16 | source |
|---|--:|--:|--:|--:|--:|--:|---|
| Raspberry Pi 3 B+, Cortex-A53 at 1.4 GHz | 4 | 79 | 23 | | | | XNNPACK, 2020 |
| | 1 | 159 | | 980 | 894 | | ncnn |
| | 4 | 112 | | 587 | 392 | | ncnn |
| Raspberry Pi 4 B, Cortex-A72 | 4 | 44 | 14 | | | | XNNPACK, 2020 |
| Raspberry Pi 4 B, Cortex-A72 at 1.8 GHz | 1 | 93 | | 534 | 424 | 1,072 | ncnn |
| | 4 | 62 | | 263 | 197 | 547 | ncnn |
| Raspberry Pi 5, Cortex-A76 at 2.4 GHz | 1 | 16 | | 89 | 80 | 190 | ncnn |
| | 4 | 11 | | 46 | 41 | 129 | ncnn |

Sources: [XNNPACK](https://github.com/google/XNNPACK/blob/master/README.md) (32-bit Raspbian, random weights, float32);
[ncnn](https://github.com/Tencent/ncnn/blob/master/benchmark/README.md) (64-bit, random weights; averages; float where
int8 is not said)."""


@dataclass(frozen=True, slots=True)
class Count:
    """Instructions for one picture by stage; `spread` is the largest part by which a repeated count differed."""

    board: str
    processor: str
    network: str
    contender: str
    variant: str
    engine: str
    decode: int
    resize: int
    inference: int
    spread: float
    photo_bytes: int

    @property
    def key(self) -> Key:
        """What tells it from others."""
        return self.board, self.network, self.contender, self.variant, self.engine

    def line(self) -> str:
        """For a person who waits."""
        figures = " ".join(f"{name} {getattr(self, name) / 1e6:.2f}" for name in ("decode", "resize", "inference"))
        name = f"{self.processor} {self.network} {self.contender} {self.variant} on {self.engine}"
        return f"{name}: {figures} M, +-{self.spread:.4%}"


def read_counts(folder: Path) -> list[Count]:
    """Return the counts of an earlier report in `folder`; none if there is none."""
    path = folder / "arm.json"
    return [Count(**one) for one in json.loads(path.read_text())["counts"]] if path.exists() else []


def write_report(counts: Sequence[Count], folder: Path) -> None:
    """`arm.json` has every figure; `arm.md` is made of it."""
    text = json.dumps({"format": 1, "counts": [asdict(one) for one in counts]}, indent=1)
    for name, content in (("arm.json", text), ("arm.md", "\n".join(_page(counts)))):
        with written_file(folder / name) as stream:
            stream.write(f"{content}\n".encode())


def _page(counts: Sequence[Count]) -> list[str]:
    worst = max(count.spread for count in counts)
    photo = counts[0].photo_bytes
    lines = [
        "# Instructions for one picture on ARM",
        "",
        *_TEXT.format(photo=round(photo / 1e3), worst=f"{worst:.2%}").splitlines(),
    ]
    for network in dict.fromkeys(count.network for count in counts):
        for processor in _PROCESSORS:
            rows = [count for count in counts if count.processor == processor and count.network == network]
            if not rows:
                continue
            lines += ["", f"## {network}, {_PROCESSORS[processor]}", ""]
            lines += ["| | file | engine | decode | resize | inference | all |", "|---|---|---|--:|--:|--:|--:|"]
            rows.sort(key=lambda count: count.decode + count.resize + count.inference)
            lines += [_row(count) for count in rows]
    return [*lines, *_PUBLISHED.splitlines()]


def _row(count: Count) -> str:
    stages = (count.decode, count.resize, count.inference)
    figures = " | ".join(f"{value / 1e6:.1f}" for value in (*stages, sum(stages)))
    return f"| {count.contender} | {count.variant} | {count.engine} | {figures} |"
