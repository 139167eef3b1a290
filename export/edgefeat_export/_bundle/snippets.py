"""The last part of the card: how to use the bundle's files on each platform."""

from __future__ import annotations

from edgefeat import Manifest
from edgefeat._bundle.manifest import Variant
from edgefeat._images.form import PictureForm
from edgefeat._version import device_install_command
from edgefeat_export._bundle.frames import frame_section
from edgefeat_export._bundle.microcontroller import integer_section

__all__ = ["snippets"]

# Python code that resizes a photo for MediaPipe, by the manifest's `fit`.
_PILLOW = {
    "stretch": "photo.resize(({width}, {height}), Image.Resampling.BILINEAR)",
    "crop": "ImageOps.fit(photo, ({width}, {height}), Image.Resampling.BILINEAR)",
    "pad": "ImageOps.pad(photo, ({width}, {height}), Image.Resampling.BILINEAR)",
}
_FIRST = {
    "stretch": "",
    "crop": " Crop it to the input's aspect ratio first, around the centre.",
    "pad": " Pad it with black to the input's aspect ratio first.",
}


def snippets(manifest: Manifest) -> str:
    """Return the Markdown text, with third-level headings."""
    photos = [one for one in manifest.variants if one.frame is None and one.integers is None]
    tflite = [variant for variant in photos if variant.format == "tflite"]
    onnx = [variant for variant in photos if variant.format == "onnx"]
    parts = [_python(manifest)]
    if frames := frame_section(manifest):
        parts.append(frames)
    if integers := integer_section(manifest):
        parts.append(integers)
    parts += [_phone(manifest, tflite[0])] if tflite else [_absent("MediaPipe", "tflite-float32")]
    parts += [_browser(manifest, onnx[0])] if onnx else [_absent("a browser", "onnx-float32")]
    return "\n\n".join(parts)


def _absent(what: str, variant: str) -> str:
    ending = f".{variant.partition('-')[0]}"
    return f"This bundle has no `{ending}` file for {what}: add `{variant}` to `--variants` when you export."


def _python(manifest: Manifest) -> str:
    feature = "feature" if len(manifest.taps) == 1 else "features_by_tap"
    extra = "litert" if any(variant.format == "tflite" for variant in manifest.variants) else "onnx"
    return f"""### Raspberry Pi, laptop, server: without TensorFlow

```sh
{device_install_command(extra)}
edgefeat verify {manifest.name}.edgefeat
edgefeat extract {manifest.name}.edgefeat photos/ -o features.npz
```

```python
import edgefeat

extractor = edgefeat.load("{manifest.name}.edgefeat")
{feature} = extractor.extract("photo.jpg")
```"""


def _phone(manifest: Manifest, variant: Variant) -> str:
    form = manifest.picture
    name = variant.file.name
    size = f"{form.width} x {form.height}" if form.width == form.height else f"{form.width} wide, {form.height} high"
    resize = _PILLOW[form.fit].format(width=form.width, height=form.height)
    return f"""### Android, iOS: MediaPipe

{_opens(manifest)} in MediaPipe's ImageEmbedder unchanged; its metadata names the input and the outputs.
{_outputs(manifest)} Pass the photo upright and already {size}, resized with antialiasing:
MediaPipe's own resize picks single pixels of a large photo, so the features differ.{_FIRST[form.fit]}
`Resize.kt` in edgefeat's `examples/` gives exactly edgefeat's pixels; `Resize.swift` is the same code, not yet tested.

Kotlin, with `com.google.mediapipe:tasks-vision` and the file in `assets`:

```kotlin
import android.content.Context
import android.graphics.Bitmap
import com.google.mediapipe.framework.image.BitmapImageBuilder
import com.google.mediapipe.tasks.vision.imageembedder.ImageEmbedder
import edgefeat.resized

fun feature(context: Context, photo: Bitmap): FloatArray =
    ImageEmbedder.createFromFile(context, "{name}").use {{ embedder ->
        val picture = BitmapImageBuilder(resized(photo, {form.width}, {form.height})).build()
        embedder.embed(picture).embeddingResult().embeddings()[0].floatEmbedding()
    }}
```

Swift, with the pod `MediaPipeTasksVision` and the file in the app's bundle:

```swift
import MediaPipeTasksVision
import UIKit

func feature(of photo: UIImage) throws -> [Float]? {{
    guard let path = Bundle.main.path(forResource: "{name.removesuffix(".tflite")}", ofType: "tflite"),
        let picture = resized(photo, width: {form.width}, height: {form.height})
    else {{ return nil }}
    let embedder = try ImageEmbedder(modelPath: path)
    let result = try embedder.embed(image: MPImage(uiImage: picture))
    return result.embeddingResult.embeddings[0].floatEmbedding?.map {{ $0.floatValue }}
}}
```

The same API in Python, `pip install mediapipe`:

```python
import mediapipe
import numpy
from mediapipe.tasks.python import vision
from PIL import Image, ImageOps

photo = ImageOps.exif_transpose(Image.open("photo.jpg")).convert("RGB")
picture = {resize}
with vision.ImageEmbedder.create_from_model_path("{name}") as embedder:
    image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=numpy.asarray(picture))
    feature = embedder.embed(image).embeddings[0].embedding
```"""


def _opens(manifest: Manifest) -> str:
    """Return which files open in MediaPipe: RGB as their input, and outputs of float32 and uint8 alone."""
    refused = []
    if any(one.integers is not None for one in manifest.variants):
        refused.append("`tflite-integer`, whose output is int8,")
    if any(one.frame is not None and one.frame.format != "rgb" for one in manifest.variants):
        refused.append("those with a frame that is not RGB")
    but = f" but {' and '.join(refused)}" if refused else ""
    return f"Every `.tflite` file{but} opens"


def _outputs(manifest: Manifest) -> str:
    """Return how MediaPipe delivers the outputs: it supports only vectors."""
    sentences = []
    if len(manifest.taps) > 1:
        sentences.append(
            "Each output is one of `embeddings`, in the order of the table above and with its name as the head's name; "
            "the snippets use the first."
        )
    maps = [tap for tap in manifest.taps if len(tap.shape) > 1]
    if maps:
        shapes = ", ".join(f"`{tap.name}` of {' x '.join(map(str, tap.shape))}" for tap in maps)
        sentences.append(
            f"MediaPipe supports only vectors: it flattens {shapes}, row by row with channels last. Reshape it "
            "after extraction."
        )
    return " ".join(sentences) or "The output is its only embedding, float32, and needs no further processing."


def _browser(manifest: Manifest, variant: Variant) -> str:
    return f"""### Browser: onnxruntime-web

```js
import * as ort from "onnxruntime-web";

const session = await ort.InferenceSession.create("{variant.file.name}");
const image = new ort.Tensor("uint8", rgb, {_shape(manifest.picture)}); // rgb: Uint8Array, the photo resized
const feature = (await session.run({{ image }}))["{manifest.taps[0].name}"].data;
```

edgefeat's `examples/web` is a complete page, with the resize (`picture.js`) that a canvas does not provide."""


def _shape(form: PictureForm) -> str:
    return f"[1, {form.height}, {form.width}, 3]"
