"""Compare four published Keras recipes for image features with the same features without TensorFlow.

    python examples/keras_recipes.py photos/
    python examples/keras_recipes.py photos/ --weights random     # without ImageNet weights

Each recipe runs the Keras code, exports the network, and extracts with edgefeat in another process, which must not
import TensorFlow. It prints both features and their cosine. The exit status is 1 if a cosine is below 0.9999.

Two recipes do not work as published. They are corrected here, and their docstrings say how. All leave the interpolation
of `load_img` at "nearest", which skips pixels. The comparison covers that, and "bilinear", which is edgefeat's own.
Photos that EXIF rotates are left out, because edgefeat turns them upright and `load_img` does not.
"""

from __future__ import annotations

import argparse
import inspect
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras.applications import VGG16, ResNet50, resnet50, vgg16
from keras.utils import img_to_array, load_img
from PIL import Image

import edgefeat_export

ON_DEVICE = Path(__file__).with_name("on_device.py")
VARIANTS = ("tflite-float32", "onnx-float32")
INTERPOLATIONS = ("nearest", "bilinear")
LEAST_COSINE = 0.9999
ORIENTATION = 0x0112


@dataclass(frozen=True)
class Job:
    """What to run the recipes on: upright photos, the side of the model's input, the folder to write to."""

    photos: list[Path]
    size: int
    weights: str
    folder: Path

    def keras_weights(self) -> str | None:
        """Return the weights argument for `keras.applications`."""
        return None if self.weights == "random" else self.weights

    def export_weights(self, model: keras.Model) -> str:
        """Return the weights argument for edgefeat: as for Keras, or a file with this model's random weights."""
        if self.weights != "random":
            return self.weights
        path = self.folder / f"{model.name}.weights.h5"
        model.save_weights(path)
        return str(path)


@dataclass(frozen=True)
class Recipe:
    """The Keras features of images (N, size, size, 3) from `load_img`, and the bundle that should give the same."""

    features: Callable[[np.ndarray], np.ndarray]
    size: int
    bundle: Path


def vgg16_map(job: Job) -> Recipe:
    """VGG16 without its classifier: the feature map as it is."""
    model = VGG16(weights=job.keras_weights(), include_top=False)

    def features(pictures: np.ndarray) -> np.ndarray:
        return model.predict(vgg16.preprocess_input(pictures), verbose=0)

    bundle = job.folder / "vgg16_map.edgefeat"
    edgefeat_export.export(
        "vgg16",
        bundle,
        input_size=job.size,
        weights=job.export_weights(model),
        pooling="none",
        normalize="none",
        calibration=job.photos[0].parent,
        variants=VARIANTS,
    )
    return Recipe(features, job.size, bundle)


def vgg16_block5(job: Job) -> Recipe:
    """VGG16 cut at block5_pool, then the global average of each channel."""
    base_model = VGG16(weights=job.keras_weights(), include_top=False, input_shape=(job.size, job.size, 3))
    extractor = keras.Model(base_model.input, base_model.get_layer("block5_pool").output)

    def features(pictures: np.ndarray) -> np.ndarray:
        return np.mean(extractor.predict(vgg16.preprocess_input(pictures), verbose=0), axis=(1, 2))

    bundle = job.folder / "vgg16_block5.edgefeat"
    edgefeat_export.export(
        "vgg16",
        bundle,
        input_size=job.size,
        weights=job.export_weights(base_model),
        layers=["block5_pool"],
        pooling="avg",
        normalize="none",
        calibration=job.photos[0].parent,
        variants=VARIANTS,
    )
    return Recipe(features, job.size, bundle)


def custom_cnn(job: Job) -> Recipe:
    """A CNN trained here, cut before its classifier, then the maximum of each channel.

    The published code cuts at Flatten and takes the maximum over axes 1 and 2, which a flattened output does not have:
    NumPy raises AxisError. A maximum over the image needs the last map, so this cuts at the last pooling layer.
    """
    side = 64
    model = keras.Sequential(
        [
            keras.Input((side, side, 3)),
            keras.layers.Conv2D(32, 3, activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Conv2D(64, 3, activation="relu"),
            keras.layers.MaxPooling2D(name="last_pool"),
            keras.layers.Flatten(),
            keras.layers.Dense(128, activation="relu"),
            keras.layers.Dense(2, activation="softmax"),
        ]
    )
    pictures, labels = stripes(400, side)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(pictures[100:] / 255, labels[100:], epochs=3, verbose=0)
    _, accuracy = model.evaluate(pictures[:100] / 255, labels[:100], verbose=0)
    print(f"    trained on vertical and horizontal stripes: accuracy {accuracy:.0%} on 100 others")
    extractor = keras.Model(model.inputs, model.get_layer("last_pool").output)

    def features(pictures: np.ndarray) -> np.ndarray:
        return np.max(extractor.predict(pictures / 255, verbose=0), axis=(1, 2))

    model.save(job.folder / "custom_cnn.keras")
    bundle = job.folder / "custom_cnn.edgefeat"
    edgefeat_export.export(
        job.folder / "custom_cnn.keras",
        bundle,
        preprocess="0,0,0/1,1,1",  # pixels / 255, as it was trained
        layers=["last_pool"],
        pooling="max",
        normalize="none",
        calibration=job.photos[0].parent,
        variants=VARIANTS,
    )
    return Recipe(features, side, bundle)


def resnet50_any_size(job: Job) -> Recipe:
    """ResNet50 on photos of any size, resized to the model's, then the global average.

    The published code takes the mean over axes 1, 2 and 3, which leaves one number per photo. Global average pooling,
    as its text says, is the mean over axes 1 and 2: one number for each of 2048 channels.
    """
    base_model = ResNet50(weights=job.keras_weights(), include_top=False)

    def features(pictures: np.ndarray) -> np.ndarray:
        return np.mean(base_model.predict(resnet50.preprocess_input(pictures), verbose=0), axis=(1, 2))

    bundle = job.folder / "resnet50.edgefeat"
    edgefeat_export.export(
        "resnet50",
        bundle,
        input_size=job.size,
        weights=job.export_weights(base_model),
        pooling="avg",
        normalize="none",
        calibration=job.photos[0].parent,
        variants=VARIANTS,
    )
    return Recipe(features, job.size, bundle)


RECIPES = {recipe.__name__: recipe for recipe in (vgg16_map, vgg16_block5, custom_cnn, resnet50_any_size)}


def stripes(count: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return images of coloured stripes with noise, vertical if the label is 1."""
    random = np.random.default_rng(0)
    labels = np.arange(count) % 2
    waves = np.sin(np.arange(side) * random.uniform(0.3, 1.2, (count, 1)) + random.uniform(0, 6, (count, 1)))
    lying = 128 + 90 * waves[:, :, None, None] * random.uniform(0.3, 1, (count, 1, 1, 3))
    upright = lying.transpose(0, 2, 1, 3)
    pictures = np.where(labels[:, None, None, None] == 1, upright, lying) + random.normal(0, 20, (count, side, side, 3))
    return pictures.clip(0, 255).astype(np.float32), labels


def compared(job: Job, recipe: Recipe) -> float:
    """Print Keras's features and the device's, and return their lowest cosine."""
    expected = {}
    for how in INTERPOLATIONS:
        images = [load_img(photo, target_size=(recipe.size,) * 2, interpolation=how) for photo in job.photos]
        expected[how] = recipe.features(np.stack([img_to_array(image) for image in images]))
    reference = expected[INTERPOLATIONS[0]]
    shown = np.argsort(reference[0], axis=None)[:-5:-1]
    apart = cosines(reference[:1], reference[1:2])[0]
    print(f"    {described('keras', reference, shown)}  (two of its photos: {apart:.6f})")
    least = 1.0
    for variant in VARIANTS:
        found = {how: extracted(job, recipe.bundle, variant, nearest=how == "nearest") for how in INTERPOLATIONS}
        cosine = {how: cosines(found[how], expected[how]).min() for how in INTERPOLATIONS}
        told = ", ".join(f"{cosine[how]:.6f} {how}" for how in INTERPOLATIONS)
        print(f"    {described(variant, found[INTERPOLATIONS[0]], shown)}  cosine {told}")
        least = min(least, *cosine.values())
    return least


def extracted(job: Job, bundle: Path, variant: str, *, nearest: bool) -> np.ndarray:
    """Return the features as a device gives them: from another process, without TensorFlow."""
    output = job.folder / "features.npy"
    command = [sys.executable, str(ON_DEVICE), str(bundle), *map(str, job.photos), "--variant", variant]
    subprocess.run([*command, "-o", str(output), *["--nearest"] * nearest], check=True, stdout=subprocess.DEVNULL)
    return np.load(output)


def described(name: str, features: np.ndarray, places: np.ndarray) -> str:
    """Return the shape, and the first photo's largest values, as text."""
    values = " ".join(f"{features[0].flat[place]:.4f}" for place in places)
    return f"{name:15} {features.shape!s:17} {values} ..."


def cosines(features: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return the cosine of each photo's features, (N,)."""
    a, b = (array.reshape(len(array), -1).astype(np.float64) for array in (features, reference))
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def upright(folder: Path, count: int) -> list[Path]:
    """Return the first photos of a folder, without those that EXIF rotates."""
    found = []
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in (".jpg", ".jpeg", ".png") and len(found) < count:
            with Image.open(path) as image:
                if image.getexif().get(ORIENTATION, 1) == 1:
                    found.append(path)
    return found


def main() -> int:
    """Run the recipes. Return 1 if edgefeat and Keras differ, 2 for wrong use."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="a folder of two photos or more")
    parser.add_argument("--recipe", action="append", choices=RECIPES, help="one of the four (default: all)")
    parser.add_argument("--weights", default="imagenet", choices=("imagenet", "random"))
    parser.add_argument("--size", type=int, default=224, help="side of the input of VGG16 and ResNet50 (default: 224)")
    parser.add_argument("--count", type=int, default=6, help="photos to compare (default: 6)")
    given = parser.parse_args()
    photos = upright(given.photos, given.count) if given.photos.is_dir() else []
    if len(photos) < 2:
        parser.error(f"{given.photos} has fewer than two photos")
    if given.weights == "random":
        print("The weights are random: these features mean nothing, but Keras and edgefeat must agree on them.")
    least = 1.0
    with tempfile.TemporaryDirectory() as folder:
        job = Job(photos, given.size, given.weights, Path(folder))
        for name in given.recipe or RECIPES:
            keras.utils.set_random_seed(0)
            print(f"\n{name}: {inspect.getdoc(RECIPES[name])}")
            try:
                recipe = RECIPES[name](job)
            except Exception as error:  # noqa: BLE001  Keras raises no other where a download fails
                print(f"{name} failed: {error} (--weights random needs no download)", file=sys.stderr)
                return 1
            least = min(least, compared(job, recipe))
    print(f"\nThe least cosine of all is {least:.6f}, over {len(photos)} photos each.")
    return 0 if least >= LEAST_COSINE else 1


if __name__ == "__main__":
    logging.getLogger("absl").setLevel(logging.ERROR)
    sys.exit(main())
