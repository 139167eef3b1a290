"""The form of a camera frame: pixel format, size, rotation and colours, as recorded in a bundle's manifest."""

# No `annotations` from __future__: every record would have to compile its own at start-up.
import re
from dataclasses import dataclass, replace
from typing import Literal, cast, get_args

from edgefeat._errors import ArgumentError

__all__ = ["CHANNELS", "COLORS", "FORMATS", "ROTATIONS", "FrameForm", "check_frame", "parse_frame"]

FrameFormat = Literal["rgb", "bgr", "rgba", "bgra", "gray", "nv12", "nv21", "i420", "yuyv"]
Rotation = Literal[0, 90, 180, 270]
Color = Literal["bt601", "bt601-full", "bt709", "bt709-full"]

FORMATS: tuple[str, ...] = get_args(FrameFormat)
ROTATIONS: tuple[int, ...] = get_args(Rotation)
COLORS: tuple[str, ...] = get_args(Color)

#: Bytes a pixel of the formats that store one pixel after the other.
CHANNELS = {"rgb": 3, "bgr": 3, "rgba": 4, "bgra": 4, "gray": 1, "yuyv": 2}

_HALVED = ("nv12", "nv21", "i420")
_YUV = (*_HALVED, "yuyv")
_LARGEST = 8192
_NAME = re.compile(
    r"(?:(?P<format>[a-z0-9]+)-)?(?P<width>\d+)x(?P<height>\d+)(?:-(?P<rotation>\d+))?(?:-(?P<color>bt.+))?"
)


@dataclass(frozen=True, slots=True)
class FrameForm:
    """A frame as a camera delivers it: `width` x `height` pixels in the layout `format`, bytes without row padding.

    `rotation` is the angle in degrees, clockwise, that turns the frame upright. `color` is the matrix and the range of
    a YUV format: `bt601` and `bt709` have luma 16-235 (limited range), with `-full` 0-255. RGB and gray ignore it.
    """

    format: FrameFormat
    width: int
    height: int
    rotation: Rotation = 0
    color: Color = "bt601"

    @property
    def name(self) -> str:
        """The name, such as `nv21-640x480`; a rotation and other colours follow: `nv21-640x480-90-bt601-full`."""
        rotation = f"-{self.rotation}" if self.rotation else ""
        color = f"-{self.color}" if self.is_yuv and self.color != "bt601" else ""
        return f"{self.format}-{self.width}x{self.height}{rotation}{color}"

    @property
    def is_yuv(self) -> bool:
        """Whether pixels are luma and chroma."""
        return self.format in _YUV

    @property
    def shape(self) -> tuple[int, int, int] | tuple[int, int]:
        """The shape as OpenCV has it: (H, W, channels), or (H * 3 / 2, W) if chroma follows luma."""
        if self.format in _HALVED:
            return self.height * 3 // 2, self.width
        return self.height, self.width, CHANNELS[self.format]

    @property
    def size(self) -> int:
        """The number of bytes without row padding."""
        rows, *rest = self.shape
        return rows * rest[0] * (rest[1] if len(rest) > 1 else 1)

    @property
    def upright(self) -> tuple[int, int]:
        """Width and height after the rotation."""
        return (self.height, self.width) if self.rotation in (90, 270) else (self.width, self.height)


def parse_frame(text: str, *, pixels: str = "rgb", rotation: int = 0, color: str = "bt601") -> FrameForm:
    """Return the frame for a text such as `640x480` or a whole name such as `nv21-640x480-90`.

    The options complete what the text leaves out, `pixels` the format. Raises ArgumentError for anything else.
    """
    match = _NAME.fullmatch(text)
    if match is None or len(text) > 60:
        raise ArgumentError(f"frame {text[:60]!r} (allowed: WIDTHxHEIGHT, or a name such as nv21-640x480-90)")
    form = FrameForm(
        cast(FrameFormat, match["format"] or pixels),
        int(match["width"]),
        int(match["height"]),
        cast(Rotation, int(match["rotation"] or rotation)),
        cast(Color, match["color"] or color),
    )
    check_frame(form)
    return form if form.is_yuv else replace(form, color="bt601")


def check_frame(form: FrameForm) -> None:
    """Raise ArgumentError for a frame that no camera delivers."""
    for what, value, allowed in (
        ("format", form.format, FORMATS),
        ("rotation", form.rotation, ROTATIONS),
        ("colours", form.color, COLORS),
    ):
        if value not in allowed:
            raise ArgumentError(f"frame {what} {value!r} (allowed: {', '.join(map(str, allowed))})")
    if not (1 <= form.width <= _LARGEST and 1 <= form.height <= _LARGEST):
        raise ArgumentError(f"frame of {form.width}x{form.height} pixels (allowed: 1 to {_LARGEST} a side)")
    halved = [form.width, form.height] if form.format in _HALVED else [form.width] if form.format == "yuyv" else []
    if any(side % 2 for side in halved):
        sides = "width and height" if len(halved) > 1 else "width"
        raise ArgumentError(
            f"frame {form.format} of {form.width}x{form.height} (required: even {sides}): two pixels share their colour"
        )
