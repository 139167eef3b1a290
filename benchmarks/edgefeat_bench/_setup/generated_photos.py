"""Generated photos, for users who have none at hand: scenes of coloured shapes, and several views of each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

_SIZE = (960, 720)


def make_photos(folder: Path, *, scenes: int = 6, views: int = 4, seed: int = 0) -> list[Path]:
    """Write `views` JPEGs of 640x480 of each of `scenes` scenes."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for number in range(scenes):
        whole = scene(np.random.default_rng([seed, number]))
        for index in range(views):
            path = folder / f"scene{number + 1}_view{index + 1}.jpg"
            view(whole, (640, 480), np.random.default_rng([seed, number, index])).save(path, quality=90)
            written.append(path)
    return written


def photo_of_size(index: int, size: tuple[int, int], *, seed: int = 1) -> Image.Image:
    """Return one scene of that width and height, with sensor noise: as a JPEG it is as large as a real photo."""
    random = np.random.default_rng([seed, index])
    image = np.asarray(scene(random).resize(size, Image.Resampling.BICUBIC), np.float32)
    coarse = random.normal(0, 14, (max(1, size[1] // 8), max(1, size[0] // 8))).astype(np.float32)
    shade = np.asarray(Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC))[:, :, None]
    noise = random.standard_normal((size[1], size[0], 1), dtype=np.float32) * 3
    return Image.fromarray((image + shade + noise).clip(0, 255).astype(np.uint8))


def scene(random: np.random.Generator) -> Image.Image:
    """Return a colour gradient with some dozens of polygons of similar shape and colour."""
    top, bottom = random.uniform(0, 255, 3), random.uniform(0, 255, 3)
    ramp = np.linspace(0, 1, _SIZE[1])[:, None, None]
    ground = np.broadcast_to(top * (1 - ramp) + bottom * ramp, (_SIZE[1], _SIZE[0], 3))
    image = Image.fromarray(ground.astype(np.uint8))
    draw = ImageDraw.Draw(image)
    hue, corners, scale = random.uniform(0, 255, 3), int(random.integers(3, 9)), random.uniform(20, 90)
    for _ in range(int(random.integers(15, 60))):
        centre = random.uniform(0, 1, 2) * _SIZE
        angles = np.linspace(0, 2 * np.pi, corners, endpoint=False) + random.uniform(0, np.pi)
        radius = scale * random.uniform(0.4, 1.6)
        outline = [(centre[0] + radius * np.cos(a), centre[1] + radius * np.sin(a)) for a in angles]
        red, green, blue = (hue + random.normal(0, 35, 3)).clip(0, 255).astype(int)
        draw.polygon(outline, fill=(int(red), int(green), int(blue)), outline=(20, 20, 20))
    return image.filter(ImageFilter.GaussianBlur(1.2))


def view(whole: Image.Image, size: tuple[int, int], random: np.random.Generator) -> Image.Image:
    """Return a view of a scene: another crop, side, brightness and noise."""
    width = random.uniform(0.7, 0.95) * whole.width
    height = width * 3 / 4
    left = random.uniform(0, whole.width - width)
    upper = random.uniform(0, max(0.0, whole.height - height))
    box = (left, upper, left + width, min(upper + height, whole.height))
    image = whole.resize(size, Image.Resampling.BILINEAR, box=box)
    if random.uniform() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    image = ImageEnhance.Brightness(image).enhance(float(random.uniform(0.75, 1.25)))
    noise = random.normal(0, 5, (size[1], size[0], 1))
    return Image.fromarray((np.asarray(image) + noise).clip(0, 255).astype(np.uint8))
