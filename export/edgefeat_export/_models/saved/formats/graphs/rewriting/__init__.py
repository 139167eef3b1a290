"""Rewrite operations of a graph: those that are fused, branches that are not taken, and weights stored as integers."""
