"""Weights that int8 files of either format are made from: what rounding takes away, given back where it is free."""

from edgefeat_export._correct.files import Models, correct, mean_cosine, narrowed
from edgefeat_export._correct.record import LADDER, NONE, PIECES, Correction, CorrectionReport, Range, allowed
from edgefeat_export._correct.sections import Section, prefix, sections

__all__ = [
    "LADDER",
    "NONE",
    "PIECES",
    "Correction",
    "CorrectionReport",
    "Models",
    "Range",
    "Section",
    "allowed",
    "correct",
    "mean_cosine",
    "narrowed",
    "prefix",
    "sections",
]
