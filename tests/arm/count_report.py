"""The counts as a page and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

__all__ = ["Count", "write_report"]

_PROCESSORS = {"cortex-a72": "emulated Cortex-A72, as in a Raspberry Pi 4",
               "cortex-a76": "emulated Cortex-A76, as in a Raspberry Pi 5"}  # fmt: skip

_TEXT = """\
Made by `make bench-arm`: the aarch64 wheels that a Raspberry Pi installs, run by an emulator that counts each
instruction. **Instructions are not cycles and not milliseconds**: a vector instruction counts as much as an
addition, and waiting for memory counts nothing, so where int8 takes a quarter of the bytes a board gains more than
is seen here. What the counts tell: how much work each engine does with each file, what a processor's dot-product
instructions save (the Cortex-A76 has them, the Cortex-A72 has none), and, from one version to the next, what became
dearer. For milliseconds run `edgefeat bench` on the board.

One thread. The photo is a generated JPEG of 1600 x 1200 pixels, {photo} kB. edgefeat has it made smaller while it is
decoded, as is its default. Plain TensorFlow Lite decodes all of it with Pillow, resizes it, preprocesses it in NumPy
as keras.applications does, runs the stock converter's file and divides by the length; edgefeat's files have all that
in them. tflite-runtime has fast kernels for float alone.
Counted twice, no figure differed from itself by more than {worst}. Millions of instructions:"""


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

    def line(self) -> str:
        """For a person who waits."""
        figures = " ".join(f"{name} {getattr(self, name) / 1e6:.2f}" for name in ("decode", "resize", "inference"))
        name = f"{self.processor} {self.network} {self.contender} {self.variant} on {self.engine}"
        return f"{name}: {figures} M, +-{self.spread:.4%}"


def write_report(counts: Sequence[Count], folder: Path) -> None:
    """`arm.json` has every figure; `arm.md` is made of it."""
    (folder / "arm.json").write_text(
        json.dumps({"format": 1, "counts": [asdict(one) for one in counts]}, indent=1) + "\n"
    )
    (folder / "arm.md").write_text("\n".join(_page(counts)) + "\n")


def _page(counts: Sequence[Count]) -> list[str]:
    worst = max(count.spread for count in counts)
    photo = counts[0].photo_bytes
    lines = [
        "# Instructions for one picture on ARM",
        "",
        *_TEXT.format(photo=round(photo / 1e3), worst=f"{worst:.2%}").splitlines(),
    ]
    for processor in dict.fromkeys(count.processor for count in counts):
        for network in dict.fromkeys(count.network for count in counts):
            rows = [count for count in counts if count.processor == processor and count.network == network]
            lines += ["", f"## {network}, {_PROCESSORS[processor]}", ""]
            lines += ["| | file | engine | decode | resize | inference | all |", "|---|---|---|--:|--:|--:|--:|"]
            rows.sort(key=lambda count: count.decode + count.resize + count.inference)
            lines += [_row(count) for count in rows]
    return lines


def _row(count: Count) -> str:
    stages = (count.decode, count.resize, count.inference)
    figures = " | ".join(f"{value / 1e6:.1f}" for value in (*stages, sum(stages)))
    return f"| {count.contender} | {count.variant} | {count.engine} | {figures} |"
