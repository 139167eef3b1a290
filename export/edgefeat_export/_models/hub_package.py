"""Import KerasHub, and find its backbones of images."""

from __future__ import annotations

import difflib
import importlib
import inspect
from typing import Any

from edgefeat import ExportError
from edgefeat._version import install_command

__all__ = ["PACKAGE", "class_named", "keras_hub", "presets_like", "shape_argument"]

PACKAGE = "keras_hub"

#: Arguments of a class that takes images: their shape, or the part of the network that they go to.
_SHAPES = ("image_shape", "input_shape")
_PARTS = ("vision_encoder", "image_encoder")


def keras_hub() -> Any:
    """Return the module. Raises ExportError, with the command that installs it, if it is missing or broken.

    Importing it also makes its layers known to `keras.saving.load_model`.
    """
    try:
        return importlib.import_module(PACKAGE)
    except ImportError as error:
        why = "is not installed" if error.name == PACKAGE else f"cannot be imported: {error}"
        raise ExportError(f"KerasHub {why}: {install_command('hub')}") from error


def class_named(name: str) -> Any:
    """Return the backbone class of that name, with or without `Backbone`; None if it is not the name of a class.

    Case, `_` and `-` are ignored.
    """
    by_key = {_key(found): one for found, one in _classes().items()}
    return by_key.get(_key(name)) or by_key.get(_key(name) + "backbone")


def shape_argument(made: Any) -> str | None:
    """Return the argument of a class that is the shape of its images; None if it has none."""
    parameters = inspect.signature(made.__init__).parameters
    return next((name for name in _SHAPES if name in parameters), None)


def presets_like(name: str) -> str:
    """Return a sentence part with similar presets of image backbones and classes."""
    known = [*_presets(), *_classes()]
    near = difflib.get_close_matches(name, known, n=5, cutoff=0.5)
    return f"similar: {', '.join(near)}" if near else f"classes: {', '.join(_classes())}"


def _classes() -> dict[str, Any]:
    """Return the backbones that take images, by name."""
    models = keras_hub().models
    return {
        name: one
        for name, one in vars(models).items()
        if name.endswith("Backbone")
        and inspect.isclass(one)
        and {*_SHAPES, *_PARTS} & set(inspect.signature(one.__init__).parameters)
    }


def _presets() -> list[str]:
    return [name for one in _classes().values() for name in one.presets]


def _key(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")
