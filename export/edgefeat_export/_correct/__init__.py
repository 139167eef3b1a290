"""Weights that int8 files of either format are made from: what rounding takes away, given back where it is free."""

from edgefeat_export._correct.files import Models, correct, narrowed
from edgefeat_export._correct.record import LADDER, NONE, Correction, CorrectionReport, Range
from edgefeat_export._correct.sections import Section, prefix, sections

__all__ = [
    "LADDER",
    "NONE",
    "Correction",
    "CorrectionReport",
    "Models",
    "Range",
    "Section",
    "correct",
    "narrowed",
    "prefix",
    "sections",
]
