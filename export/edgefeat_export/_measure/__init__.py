"""Measure every variant against Keras and float, and judge what is written: fidelity, intervals, gate, refusals."""
