"""A plugin of pytest: which tests of the device side say nothing under emulation, and why.

`-p tests.arm.unfit` marks them as skipped, so that each run names them with their reasons.
"""

from __future__ import annotations

import pytest

#: By the test's name without its parameters.
UNFIT: dict[str, str] = {}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks them."""
    for item in items:
        reason = UNFIT.get(getattr(item, "originalname", item.name))
        if reason is not None:
            item.add_marker(pytest.mark.skip(reason=f"under emulation: {reason}"))
