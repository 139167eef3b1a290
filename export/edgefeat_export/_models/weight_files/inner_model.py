"""The weights of a backbone that a larger network has as one layer, as transfer learning makes them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from edgefeat_export._models.weight_files.hdf5 import SavedArray, SavedLayer, SavedLayers

__all__ = ["of_inner_model"]


def of_inner_model(saved: SavedLayers) -> SavedLayers | None:
    """Return the layers of the file's largest inner model, named as in a file of that model; None if it has none.

    The older kind of file has all arrays of an inner model in one layer. Which of them belong together shows in their
    paths; they are in the order of its layers, but those that are not trained come last.
    """
    if saved.by_class:
        counts = Counter(layer.name.partition("/")[0] for layer in saved.layers if "/" in layer.name)
        if not counts:
            return None
        prefix = f"{counts.most_common(1)[0][0]}/"
        inner = (layer for layer in saved.layers if layer.name.startswith(prefix))
        return SavedLayers(tuple(replace(one, name=one.name.removeprefix(prefix)) for one in inner), by_class=True)
    owned: dict[str, list[SavedArray]] = {}
    for array in max(saved.layers, key=lambda layer: len(layer.arrays)).arrays if saved.layers else ():
        owned.setdefault(array.owner, []).append(array)
    if len(owned) < 2:
        return None
    return SavedLayers(tuple(SavedLayer(name, tuple(arrays)) for name, arrays in owned.items()), by_class=False)
