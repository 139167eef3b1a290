"""The card: the bundle's README, with its facts and how to use each file."""

from __future__ import annotations

from collections.abc import Sequence

from edgefeat import Manifest
from edgefeat._bundle.manifest import Variant
from edgefeat._images.form import PictureForm
from edgefeat_export._bundle.figures import FIDELITY_HEADER, accuracies, accuracy_sentence, fidelities, fidelity_row
from edgefeat_export._bundle.snippets import snippets

__all__ = ["CARD_NAME", "card"]

CARD_NAME = "README.md"


def card(manifest: Manifest, intervals: Sequence[str] = ()) -> str:
    """Return the Markdown text of the card; `intervals` are sentences on how far its figures can be trusted."""
    backbone, form = manifest.backbone, manifest.picture
    options = "".join(f", {name} {value}" for name, value in backbone.options.items())
    ground = "" if form.transparency == "white" else f", transparent areas filled with {form.transparency}"
    parts = [
        f"# {manifest.name}",
        f"Image features of {backbone.name}{options}, weights {backbone.weights}, "
        f"exported by edgefeat {manifest.edgefeat}.",
        f"Input: `image`, uint8, RGB 0-255, N x {form.height} x {form.width} x 3 (N is 1 in TFLite, free in ONNX). "
        f"Preprocessing (`{backbone.preprocessing}`) is inside the model: resize the photo "
        f"({form.fit}, {form.filter}, turned upright by its EXIF orientation{ground}) and pass its pixels unchanged."
        f"{_gray(form)}",
        _taps(manifest),
        "## Files",
        _variants(manifest),
        *(f"{sentence}." for sentence in intervals),
        _fidelity_note(manifest),
        "## Use",
        f"`{manifest.name}.edgefeat` is the folder of this card. If it has another name, use that.",
        snippets(manifest),
    ]
    return "\n\n".join(parts) + "\n"


def _gray(form: PictureForm) -> str:
    """Return the note for a network that takes gray images, else an empty string."""
    if form.color == "rgb":
        return ""
    return (
        " The network takes gray images: the model converts RGB to gray itself (ITU-R 601-2, like Pillow's "
        '`convert("L")`), so pass camera frames in colour, or gray ones with three equal channels.'
    )


def _taps(manifest: Manifest) -> str:
    rows = ["| output | layer | pooling | projection | norm | shape |", "|---|---|---|---|---|---|"]
    for tap in manifest.taps:
        projection = "none"
        if tap.projection is not None:
            whitened = ", whitened" if tap.projection.whiten else ""
            projection = f"PCA {tap.projection.dimensions}{whitened}, keeps {tap.projection.kept_variance:.1%}"
        shape = " x ".join(map(str, tap.shape))
        rows.append(f"| `{tap.name}` | {tap.layer} | {tap.pooling} | {projection} | {tap.normalization} | {shape} |")
    return "\n".join(rows)


def _variants(manifest: Manifest) -> str:
    header = (*FIDELITY_HEADER, "largest difference", "measured with")
    rows = [f"| {' | '.join(header)} |", "|" + "---|" * len(header)]
    for variant, tap, fidelity in fidelities(manifest):
        name, *figures = fidelity_row(variant, tap, fidelity)
        cells = [f"`{variant.file.name}`" if name else "", *figures, f"{fidelity.maximum_difference:.2g}"]
        rows.append(f"| {' | '.join(cells)} | {variant.engine} {variant.engine_version} |")
    notes = [accuracy_sentence(tap, accuracy) + "." for tap, accuracy in accuracies(manifest)]
    notes += [f"{refusal.reason}." for refusal in manifest.refusals]
    notes += [
        _int8_note(variant)
        for variant in manifest.variants
        if variant.frame is None and (variant.correction or variant.float_operations)
    ]
    return "\n".join(rows) + "".join(f"\n\n{note}" for note in notes)


def _int8_note(variant: Variant) -> str:
    corrected = f" Corrected: {', '.join(variant.correction)}." if variant.correction else ""
    if variant.correction and variant.correction[0].startswith("dense layers"):
        corrected = f" In int8: {variant.correction[0]} inputs. The rest of the transformer is in float."
    count = len(variant.float_operations)
    operations = "1 operation" if count == 1 else f"{count} operations"
    kept = f" Kept in float: {operations}, by name in `manifest.json`." if count else ""
    return f"`{variant.name}`:{corrected}{kept}"


def _fidelity_note(manifest: Manifest) -> str:
    about = manifest.calibration
    what = "photos" if about.source == "photos" else "generated images (no photos were given)"
    random = ""
    if manifest.backbone.weights.startswith("random"):
        random = " **The weights are random: the features mean nothing.**"
    return (
        f"Cosines are to the Keras float features, over {about.check_pictures} images that were not used for "
        "calibration; "
        f"calibrated on {about.pictures} {what}. `golden.npz` contains some of the measured images, at the model's "
        "size, "
        f"with their features: `edgefeat verify` compares them on your machine.{random}"
    )
