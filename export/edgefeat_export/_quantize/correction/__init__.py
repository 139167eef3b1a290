"""Correct the float weights from which int8 files of both formats are made, to reduce the loss from rounding."""
