"""Weights that int8 files of either format are made from: what rounding takes away, given back where it is free."""
