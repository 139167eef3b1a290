"""Write an album of generated photos to try edgefeat on: python examples/generated_album.py album

Five kinds of pictures, 24 of each, as album/<kind>/<number>.jpg. Every picture has its own colours, scale, angle and
light; picture n is always the same. They are free of rights. Needs NumPy and Pillow.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

KINDS = ("checks", "dots", "leaves", "rings", "stripes")
SIZE = (640, 480)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("album", type=Path, help="folder to write to")
    parser.add_argument("--each", type=int, default=24, help="pictures of each kind (default: 24)")
    parser.add_argument("--first", type=int, default=0, help="number of the first one (default: 0)")
    options = parser.parse_args()
    for kind in KINDS:
        folder = options.album / kind
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(options.first, options.first + options.each):
            picture(kind, number).save(folder / f"{number:02}.jpg", quality=90)
    print(f"{options.each * len(KINDS)} pictures of {len(KINDS)} kinds in {options.album}")


def picture(kind: str, number: int) -> Image.Image:
    """Return picture `number` of a kind, RGB 640 x 480."""
    random = np.random.default_rng([KINDS.index(kind), number])
    side = 900  # larger than the picture, so that it can be turned
    image = Image.new("RGB", (side, side), colour(random))
    draw = ImageDraw.Draw(image)
    step = int(random.integers(36, 90))
    ink = colour(random)
    if kind == "stripes":
        for x in range(0, side, step):
            draw.rectangle((x, 0, x + step // 2, side), fill=ink)
    elif kind == "checks":
        for x in range(0, side, step):
            for y in range((x // step) % 2 * step, side, 2 * step):
                draw.rectangle((x, y, x + step, y + step), fill=ink)
    elif kind == "dots":
        for x in range(0, side, step):
            for y in range(0, side, step):
                draw.ellipse((x, y, x + step * 0.6, y + step * 0.6), fill=ink)
    elif kind == "rings":
        x, y = random.integers(250, 650, 2)
        for radius in range(side, 0, -step):
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=ink, width=step // 3)
    else:
        for _ in range(400):
            leaf(draw, random, side)
    image = image.rotate(float(random.uniform(0, 90)), Image.Resampling.BICUBIC)
    left, top = (side - SIZE[0]) // 2, (side - SIZE[1]) // 2
    image = image.crop((left, top, left + SIZE[0], top + SIZE[1])).filter(ImageFilter.GaussianBlur(1))
    light = np.linspace(*random.uniform(0.6, 1.1, 2), SIZE[0])[None, :, None]
    grain = random.normal(0, 5, (SIZE[1], SIZE[0], 1))
    return Image.fromarray((np.asarray(image) * light + grain).clip(0, 255).astype(np.uint8))


def leaf(draw: ImageDraw.ImageDraw, random: np.random.Generator, side: int) -> None:
    middle = random.uniform(0, side, 2)
    length, angle = random.uniform(30, 110), random.uniform(0, 2 * np.pi)
    along = np.array([np.cos(angle), np.sin(angle)]) * length
    across = np.array([-along[1], along[0]]) * 0.3
    tips = (middle + along, middle + across, middle - along, middle - across)
    green = tuple(int(one) for one in random.uniform((30, 90, 20), (140, 200, 90)))
    draw.polygon([(float(a), float(b)) for a, b in tips], fill=green)


def colour(random: np.random.Generator) -> tuple[int, int, int]:
    red, green, blue = (int(one) for one in random.integers(20, 235, 3))
    return red, green, blue


if __name__ == "__main__":
    main()
