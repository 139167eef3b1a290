"""What emulated boards showed, as rows of docs/platforms.md."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from tests.arm.boards import BOARDS, SYSTEMS
from tests.arm.checks import Row
from tests.systems.platforms import RESULTS, TESTS, write_rows
from tests.systems.platforms import Row as PlatformRow

__all__ = ["write_platform_rows"]

_HOW = "make test-arm"


def write_platform_rows(rows: Sequence[Row]) -> None:
    """One file for each board and system in `results/platforms`, where `make platforms` finds them."""
    boards = {board.key: board for board in BOARDS}
    systems = {system.key: system for system in SYSTEMS}
    found: dict[str, list[PlatformRow]] = {}
    for row in rows:
        if row.board not in boards or row.system not in systems or not (row.engine or row.what == "tests/runtime"):
            continue
        board, system = boards[row.board], systems[row.system]
        tests = not row.engine
        name = row.what.partition(" ")[2].removesuffix(".edgefeat")
        found.setdefault(f"arm-{system.key}-{board.key}", []).append(
            PlatformRow(
                platform=f"{board.name} ({board.cpu}, {board.bits} bit, {system.suite}), emulated",
                python=system.python,
                engine=" and ".join(system.engines) if tests else row.engine,
                engine_version="" if tests else row.detail.removeprefix(row.engine).strip(),
                variant=TESTS if tests else row.variant,
                how=_HOW,
                bundle="tests/runtime" if tests else name,
                status=("ok" if row.ok else "FAILED") + (f": {row.detail}" if tests else ""),
                cosine=row.cosine,
                difference=row.difference,
                date=datetime.datetime.now(datetime.UTC).date().isoformat(),
            )
        )
    for name, ours in found.items():
        write_rows(ours, RESULTS / f"{name}.json")
