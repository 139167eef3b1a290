"""Pictures for those who have none at hand: photos of scenes that nobody took, several views of each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

__all__ = ["make_pictures", "make_scene", "whole_scene"]

_SIZE = (960, 720)


def make_pictures(folder: Path, *, scenes: int = 6, views: int = 4, seed: int = 0) -> list[Path]:
    """Writes `views` JPEGs of 640x480 of each of `scenes` made-up scenes: other crops, other light, other sides."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for scene in range(scenes):
        whole = whole_scene(np.random.default_rng([seed, scene]))
        for view in range(views):
            path = folder / f"scene{scene + 1}_view{view + 1}.jpg"
            _view(whole, np.random.default_rng([seed, scene, view])).save(path, quality=90)
            written.append(path)
    return written


def make_scene(index: int, size: tuple[int, int], *, seed: int = 1) -> Image.Image:
    """One made-up scene of that width and height, with a sensor's grain: as a JPEG it weighs what a photo does."""
    random = np.random.default_rng([seed, index])
    image = np.asarray(whole_scene(random).resize(size, Image.Resampling.BICUBIC), np.float32)
    coarse = random.normal(0, 14, (max(1, size[1] // 8), max(1, size[0] // 8))).astype(np.float32)
    shade = np.asarray(Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC))[:, :, None]
    grain = random.standard_normal((size[1], size[0], 1), dtype=np.float32) * 3
    return Image.fromarray((image + shade + grain).clip(0, 255).astype(np.uint8))


def whole_scene(random: np.random.Generator) -> Image.Image:
    """A ground of one colour running into another, and some dozens of objects of one family of shape and colour."""
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


def _view(scene: Image.Image, random: np.random.Generator) -> Image.Image:
    width = random.uniform(0.7, 0.95) * scene.width
    height = width * 3 / 4
    left = random.uniform(0, scene.width - width)
    upper = random.uniform(0, max(0.0, scene.height - height))
    box = (left, upper, left + width, min(upper + height, scene.height))
    view = scene.resize((640, 480), Image.Resampling.BILINEAR, box=box)
    if random.uniform() < 0.5:
        view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    view = ImageEnhance.Brightness(view).enhance(float(random.uniform(0.75, 1.25)))
    noise = random.normal(0, 5, (480, 640, 1))
    return Image.fromarray((np.asarray(view) + noise).clip(0, 255).astype(np.uint8))
