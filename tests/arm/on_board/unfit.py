"""A pytest plugin that skips tests of the device side that are meaningless under emulation, each with the reason.

Use it with `-p tests.arm.on_board.unfit`.
"""

from __future__ import annotations

import pytest

#: By the test's name without its parameters.
UNFIT: dict[str, str] = {
    "test_the_installed_command_is_the_same": "the emulator's wrapper cannot be the interpreter of a script",
    "test_a_photo_that_needs_more_memory_than_a_worker_may_take_fails_alone": "limits of memory hold for the emulator",
    "test_a_file_that_cannot_be_written_whole_leaves_the_old_one": "a limit on the size of files kills the emulator",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests as skipped."""
    for item in items:
        reason = UNFIT.get(getattr(item, "originalname", item.name))
        if reason is not None:
            item.add_marker(pytest.mark.skip(reason=f"under emulation: {reason}"))
