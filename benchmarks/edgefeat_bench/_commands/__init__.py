"""The sub-commands of `edgefeat-bench`."""
