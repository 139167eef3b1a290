"""The page of instruction counts."""

from __future__ import annotations

from pathlib import Path

from tests.arm.counting.report import Count, read_counts, write_report


def test_a_network_that_was_not_counted_on_a_board_has_no_table_for_it(tmp_path: Path) -> None:
    common = ("edgefeat", "tflite-int8", "litert 2.3.0", 1, 2, 3, 0.0, 1000)
    counts = [Count("pi4", "cortex-a72", "one", *common), Count("pi3", "cortex-a53", "two", *common)]
    write_report(counts, tmp_path)
    assert read_counts(tmp_path) == counts
    page = (tmp_path / "arm.md").read_text()
    assert [line for line in page.splitlines() if line.startswith("## ") and "emulated" in line] == [
        "## one, emulated Cortex-A72, as in a Raspberry Pi 4",
        "## two, emulated Cortex-A53, as in a Raspberry Pi 3",
    ]
