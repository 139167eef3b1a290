"""Load a graph of TensorFlow, which has operations and no layers of Keras, from any file."""

from __future__ import annotations

from typing import Any

from edgefeat import EdgefeatError, ExportError
from edgefeat_export._models.messages import first_line
from edgefeat_export._models.saved.formats.graphs.browser import browser_graph
from edgefeat_export._models.saved.formats.graphs.definition import GraphError
from edgefeat_export._models.saved.formats.graphs.folder import folder_graph
from edgefeat_export._models.saved.formats.graphs.frozen import frozen_graph
from edgefeat_export._models.saved.formats.graphs.function import graph_function
from edgefeat_export._models.saved.recognition import SavedModel

__all__ = ["load_graph"]

_READERS = {"folder": folder_graph, "frozen": frozen_graph, "graph": browser_graph}


def load_graph(saved: SavedModel, *, divided: bool = False) -> Any:
    """Return a tf-keras model with the graph as its only layer; its outputs keep the names of its signature.

    If `divided`, the scopes of the graph are layers, where that is possible, which takes seconds.
    Raises ArgumentError if the graph does not take one image, and ExportError if it does more than compute, or a file
    is damaged or missing.
    """
    path = saved.path
    try:
        computed = graph_function(path, _READERS[saved.kind](path, divided=divided))
    except EdgefeatError:
        raise
    except GraphError as error:
        raise ExportError(f"model {path} cannot be loaded: {error}") from error
    except Exception as error:  # TensorFlow raises many types for a graph that it cannot build
        raise ExportError(f"model {path} cannot be loaded by TensorFlow: {first_line(error)}") from error
    return computed.model(divided=divided)
