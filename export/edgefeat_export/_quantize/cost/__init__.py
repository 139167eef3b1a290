"""Estimate what a file costs on each engine from its operations, without timing anything."""
