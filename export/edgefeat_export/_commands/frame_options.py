"""`edgefeat export --frame`: the options of camera frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from edgefeat import ArgumentError
from edgefeat._commands.cli.click_options import given
from edgefeat._images.frames.form import COLORS, FORMATS, ROTATIONS, parse_frame

__all__ = ["frame_names", "frame_options"]

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--frame",
        "frames",
        multiple=True,
        metavar="WIDTHxHEIGHT|NAME",
        help="Also write each model file with a camera's frame of this size as its input: colours, rotation, --fit and "
        "resize are then in the file. Repeat for several frames; each can be a whole name, such as nv21-640x480-90.",
    ),
    click.option(
        "--frame-format",
        default="rgb",
        show_default=True,
        type=click.Choice(FORMATS),
        help="Pixel format of frames whose name has none.",
    ),
    click.option(
        "--frame-rotation",
        default="0",
        show_default=True,
        type=click.Choice([str(angle) for angle in ROTATIONS]),
        help="Clockwise rotation that turns the frame upright, in degrees.",
    ),
    click.option(
        "--frame-color",
        default="bt601",
        show_default=True,
        type=click.Choice(COLORS),
        help="Colours of a YUV frame: matrix, and -full for luma from 0 to 255.",
    ),
)


def frame_options(command: F) -> F:
    """Add the options to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def frame_names(frames: Sequence[str], pixels: str, rotation: int, color: str) -> list[str]:
    """Return the whole names of `frames`; the other arguments are what the names leave out.

    Raises ArgumentError for a frame that cannot be, and for an option that the user gave and no frame needs.
    """
    names = [parse_frame(frame, pixels=pixels, rotation=rotation, color=color).name for frame in frames]
    for option in given("frame_format", "frame_rotation", "frame_color"):
        if not frames:
            raise ArgumentError(f"{option} requires --frame: add --frame WIDTHxHEIGHT")
        if not any(_needs(option, frame, pixels) for frame in frames):
            why = "is for YUV frames only" if option == "--frame-color" else "is for frames whose name leaves it out"
            raise ArgumentError(f"{option} {why}, unlike --frame {', '.join(frames)}: leave it out")
    return names


def _needs(option: str, frame: str, pixels: str) -> bool:
    """Return whether a frame depends on the option: whether two values of it give two frames."""
    match option:
        case "--frame-format":
            return parse_frame(frame, pixels="rgb") != parse_frame(frame, pixels="bgr")
        case "--frame-rotation":
            return parse_frame(frame, pixels=pixels, rotation=0) != parse_frame(frame, pixels=pixels, rotation=90)
    return parse_frame(frame, pixels=pixels, color="bt601") != parse_frame(frame, pixels=pixels, color="bt709")
