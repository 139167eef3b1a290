"""edgefeat_bench: edgefeat against the full TensorFlow path, side by side in one run."""

from edgefeat_bench._records import Contender, Machine, Result, Run

__all__ = ["Contender", "Machine", "Result", "Run"]
