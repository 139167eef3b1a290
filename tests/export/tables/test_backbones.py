"""Which backbones `make backbones` still has to export."""

from __future__ import annotations

from tests.export.tables.backbones import exported


def test_a_row_at_the_smallest_input_is_none_at_the_networks_own() -> None:
    """`--size default` once left out every backbone that had been exported at its smallest input."""
    assert exported([("vgg16", "64x64")], "vgg16", small=True)
    assert not exported([("vgg16", "64x64")], "vgg16", small=False)


def test_a_row_at_the_networks_own_input_is_none_at_the_smallest() -> None:
    """The other way round, also where the smallest is not 64."""
    assert exported([("xception", "299x299")], "xception", small=False)
    assert not exported([("xception", "299x299")], "xception", small=True)
    assert exported([("xception", "96x96")], "xception", small=True)


def test_a_row_of_another_backbone_does_not_count() -> None:
    """Names are compared whole."""
    assert not exported([("vgg19", "64x64")], "vgg16", small=True)
