"""edgefeat_bench: edgefeat against the full TensorFlow path, side by side in one run."""

from edgefeat_bench._records import ColdStart, Contender, Machine, Result, Run

__all__ = ["ColdStart", "Contender", "Machine", "Result", "Run"]
