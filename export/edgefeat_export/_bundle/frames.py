"""The camera frames of a bundle in words, for the card and the metadata."""

from __future__ import annotations

from edgefeat import Manifest
from edgefeat._images.form import PictureForm
from edgefeat._images.frames.form import FrameForm

__all__ = ["frame_section", "frame_words"]


def frame_words(frame: FrameForm, picture: PictureForm) -> str:
    """Return a sentence on a frame that a model takes as its input."""
    rows = " x ".join(map(str, frame.shape))
    colors = f", {frame.color}" if frame.is_yuv else ""
    turned = f"turned by {frame.rotation} degrees clockwise, " if frame.rotation else ""
    return (
        f"A camera frame as it is, {frame.width} x {frame.height} pixels, {frame.format}{colors}: {rows} bytes without "
        f"row padding. Inside the model it is converted to RGB, {turned}fitted ({picture.fit}) and resized to "
        f"{picture.height} x {picture.width}."
    )


def frame_section(manifest: Manifest) -> str:
    """Return the card's section on files that take camera frames, or an empty string if there are none."""
    framed = [one for one in manifest.variants if one.frame is not None]
    frames = list(dict.fromkeys(one.frame for one in framed if one.frame is not None))
    if not frames:
        return ""
    counts = {figures.pictures for one in framed for figures in one.fidelity.values()}
    measured = f"{min(counts)}" if len(counts) == 1 else f"{min(counts)} to {max(counts)}"
    rows = ["| name | format | bytes | turned clockwise | colours |", "|---|---|---|---|---|"]
    for frame in frames:
        colors = frame.color if frame.is_yuv else "-"
        size = " x ".join(map(str, frame.shape))
        rows.append(f"| `{frame.name}` | {frame.format} | {size} bytes | {frame.rotation} degrees | {colors} |")
    return f"""### Camera frames

A file with `@` in its name takes a camera's frame as it is, instead of a prepared photo: one uint8 tensor without row
padding. Colours, rotation, fit ({manifest.picture.fit}) and resize are inside the model. Its cosines above are over
{measured} frames, to the Keras features of the same frames converted, turned and resized by Pillow outside the model.

{chr(10).join(rows)}

```python
import edgefeat

extractor = edgefeat.load("{manifest.name}.edgefeat", frame="{frames[0].name}")
feature = extractor.extract_frame(frame)  # bytes or a uint8 array; stride= if rows are padded
```"""
