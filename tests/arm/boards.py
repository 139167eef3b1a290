"""Which boards are emulated, and which systems run on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["BARE_SYSTEMS", "BOARDS", "SYSTEMS", "Board", "System"]

_PYTHON = ("python3-minimal", "libpython3-stdlib", "libstdc++6")


@dataclass(frozen=True, slots=True)
class Board:
    """A board by its processor, as QEMU calls it."""

    key: str
    name: str
    cpu: str
    bits: Literal[32, 64]


@dataclass(frozen=True, slots=True)
class System:
    """A Debian release with its own Python, as Raspberry Pi OS has it, and edgefeat in a virtual environment.

    Where `debian_python` is true the environment sees the system's NumPy, Pillow, click and tqdm, as
    `python3 -m venv --system-site-packages` makes it: 32-bit ARM has no wheels of the first two.
    """

    key: str
    suite: str
    python: str
    bits: Literal[32, 64]
    extras: tuple[str, ...]
    engines: tuple[str, ...]
    debian_python: bool = False

    @property
    def architecture(self) -> str:
        """Debian's name for the processor."""
        return "arm64" if self.bits == 64 else "armhf"

    @property
    def packages(self) -> tuple[str, ...]:
        """What the system has installed."""
        more = ("python3-numpy", "python3-pil", "python3-click", "python3-tqdm") if self.debian_python else ()
        return _PYTHON + more

    @property
    def reference_packages(self) -> tuple[str, ...]:
        """What the same system on x86 needs: there, NumPy and Pillow are wheels everywhere."""
        return _PYTHON


BOARDS = (
    Board("pi3", "Raspberry Pi 3", "cortex-a53", 64),
    Board("pi4", "Raspberry Pi 4", "cortex-a72", 64),
    Board("pi5", "Raspberry Pi 5", "cortex-a76", 64),
    Board("pi2", "Raspberry Pi 2, and 32-bit on all later ones", "cortex-a7", 32),
)

_BOTH = (("litert", "onnx"), ("litert", "onnxruntime"))

SYSTEMS = (
    System("bookworm", "bookworm", "3.11", 64, *_BOTH),
    System("trixie", "trixie", "3.13", 64, *_BOTH),
    System("bookworm-tflite", "bookworm", "3.11", 64, ("tflite",), ("tflite-runtime",)),
    System("bookworm-32", "bookworm", "3.11", 32, ("tflite",), ("tflite-runtime",), debian_python=True),
)

#: 32-bit systems without an engine, and what must be said there. No engine has a wheel for the newer one.
BARE_SYSTEMS = (
    (System("bookworm-32-bare", "bookworm", "3.11", 32, (), (), debian_python=True), ("'edgefeat[tflite]'",)),
    (System("trixie-32", "trixie", "3.13", 32, ("tflite",), (), debian_python=True), ("32-bit", "64-bit")),
)
