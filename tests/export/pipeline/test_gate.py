"""The gate at export: one function judges every variant, whichever ladder made it."""

from __future__ import annotations

from types import ModuleType

import pytest

from edgefeat import VARIANTS
from edgefeat._bundle.gate import DEFAULT_GATE
from edgefeat._bundle.manifest import INTEGER, Fidelity
from edgefeat_export._measure import gate
from edgefeat_export._pipeline import attention_ladder, integer_ladder, ladder, variants

BAD = Fidelity(32, 0.5, 0.5, 0.5, 1.0, None, None, None, None)


@pytest.mark.parametrize("module", [ladder, integer_ladder, attention_ladder, variants])
def test_every_ladder_and_the_float_path_ask_the_same_function(module: ModuleType) -> None:
    assert vars(module)["unfaithful"] is gate.unfaithful
    assert "shortfall" not in vars(module)


@pytest.mark.parametrize("frame", ["", "@nv21-640x480"])
@pytest.mark.parametrize("variant", [*VARIANTS, INTEGER])
def test_no_variant_passes_with_a_cosine_of_a_half(variant: str, frame: str) -> None:
    assert gate.unfaithful(variant + frame, {"tap": BAD}, DEFAULT_GATE) is not None
