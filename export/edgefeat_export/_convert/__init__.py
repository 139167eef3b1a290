"""From a frozen TensorFlow graph to each variant's file; every function reads files and writes one file.

Each is meant to run in a process of its own: the converters are big and do not give their memory back.
"""

from edgefeat_export._convert.graph import INPUT, SavedGraph, save_graph

__all__ = ["INPUT", "SavedGraph", "save_graph"]
