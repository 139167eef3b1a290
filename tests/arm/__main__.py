"""Test edgefeat on emulated Raspberry Pis: `make test-arm` and `make test-arm-short`.

    python -m tests.arm [--short] [--json] [BUNDLE...]

Downloads and everything built from them are kept in .arm/. Exit status: 0 all tests passed, 1 a test failed, 2 wrong
use, 3 a tool or download for an emulated board is not available.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path

from tests.arm.boards import BARE_SYSTEMS, BOARDS, SYSTEMS, Board, System
from tests.arm.checks import Row, bundle_rows, reference_features, test_row
from tests.arm.deployment import DEPLOYED, deployment_rows
from tests.arm.machine import Machine, arm_machine, project_wheel, x86_machine
from tests.arm.packages import ArmError, UnavailableError
from tests.arm.platform_rows import write_platform_rows
from tests.arm.refusals import bare_rows, refusal_rows

_CHECKOUT = Path(__file__).parents[2]
_BUNDLES = [_CHECKOUT / "tests" / "data" / name for name in ("one_tap.edgefeat", "two_taps.edgefeat")]
# What asks most of the processor and takes least: `edgefeat verify` is run for the bundle in any case. One of its tests
# starts the command seven times, which takes half a minute under emulation.
_SHORT_TESTS = ["tests/runtime/engines/test_device.py", "-k", "not works_with_any_cache"]


def main() -> int:
    """Run everything requested and print the table."""
    given = _arguments()
    bundles = [path.resolve() for path in given.bundles] or (_BUNDLES[:1] if given.short else _BUNDLES)
    for bundle in bundles:
        if not (bundle / "manifest.json").is_file():
            print(f"{bundle} is no bundle: there is no manifest.json in it", file=sys.stderr)
            return 2
    started = time.monotonic()
    rows: list[Row] = []
    absent: list[str] = []
    try:
        for row in _rows(given, bundles, started, absent):
            rows.append(row)
            if not given.short:
                # As it goes: an hour's rows should not be lost with the last. A part of the tests is no row of them.
                write_platform_rows([row for row in rows if row.engine or given.tests is None])
            _tell(started, _line(row))
    except ArmError as error:
        print(f"tests.arm: {error}", file=sys.stderr)
        return 1
    good = all(row.ok for row in rows)
    if given.json:
        print(
            json.dumps({"ok": good and not absent, "rows": [asdict(row) for row in rows], "absent": absent}, indent=1)
        )
    else:
        print(_table(rows))
        print(f"{sum(row.ok for row in rows)} passed, {sum(not row.ok for row in rows)} failed")
    for reason in absent:
        print(f"tests.arm: not tried, because it cannot be had here: {reason.splitlines()[0]}", file=sys.stderr)
    return 1 if not good else 3 if absent else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.arm", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundles", nargs="*", type=Path, metavar="BUNDLE", help="in place of those in tests/data")
    parser.add_argument("--short", action="store_true", help="one board, engine and bundle, a part of tests/runtime")
    parser.add_argument("--board", action="append", choices=[board.key for board in BOARDS], help="several times")
    parser.add_argument("--system", action="append", choices=[system.key for system in SYSTEMS], help="several times")
    parser.add_argument("--tests", metavar="PATHS", help="of tests/runtime, separated by spaces; '' for none")
    parser.add_argument("--work", type=Path, default=_CHECKOUT / ".arm", metavar="FOLDER", help="what is kept")
    parser.add_argument("--json", action="store_true", help="the table as JSON")
    return parser.parse_args()


def _rows(given: argparse.Namespace, bundles: Sequence[Path], started: float, absent: list[str]) -> Iterator[Row]:
    """Return the rows of everything requested; report in `absent` what is not available here, and run the rest."""
    work = given.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    wheel = project_wheel(_CHECKOUT, work)
    _tell(started, f"{wheel.name} is built")
    tests: list[tuple[Machine, Board, list[str]]] = []
    for system, boards in _chosen(given):
        with tempfile.TemporaryDirectory(dir=work, prefix="run-") as folder:
            here = Path(folder)
            try:
                x86 = x86_machine(system, work=work, wheel=wheel)
                machine = arm_machine(system, x86=x86, work=work, wheel=wheel, testing=given.tests != "")
            except UnavailableError as error:
                absent.append(f"{system.key}: {error}")
                continue
            _tell(started, f"{system.key}: Python {system.python}, {system.architecture}, is installed")
            references = reference_features(x86, bundles, here)
            for board in boards:
                for bundle in bundles:
                    yield from bundle_rows(machine, x86, board, bundle, references[bundle], here)
            if not given.short:
                yield from _had(refusal_rows(machine, work, here), system, absent)
                if system.key in DEPLOYED:
                    yield from _had(deployment_rows(system, boards[0], bundles[0], work), system, absent)
            for bare, wanted in BARE_SYSTEMS if system.bits == 32 else ():
                yield from _had(bare_rows(bare, wanted, x86, work, wheel, here), bare, absent)
        tests += [(machine, board, paths) for board in boards if (paths := _tests(given, system, board))]
    # A processor for each: an emulated board's tests take one and many minutes.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        running = [pool.submit(test_row, machine, board, paths, work) for machine, board, paths in tests]
        yield from (done.result() for done in as_completed(running))


def _had(rows: Iterator[Row], system: System, absent: list[str]) -> Iterator[Row]:
    try:
        yield from rows
    except UnavailableError as error:
        absent.append(f"{system.key}: {error}")


def _chosen(given: argparse.Namespace) -> Iterator[tuple[System, list[Board]]]:
    """Return each system with the boards it runs on; in the short form only LiteRT on a Raspberry Pi 4, Python 3.11."""
    if given.short:
        from dataclasses import replace

        short = replace(SYSTEMS[0], key="short", extras=("litert",), engines=("litert",))
        yield short, [board for board in BOARDS if board.key == "pi4"]
        return
    for system in SYSTEMS:
        boards = [board for board in BOARDS if board.bits == system.bits and board.key in (given.board or [board.key])]
        if boards and system.key in (given.system or [system.key]):
            yield system, boards


def _tests(given: argparse.Namespace, system: System, board: Board) -> list[str]:
    """Which of the device side's tests run there: all of them on each board, but only once for tflite-runtime."""
    if given.tests is not None:
        return list(given.tests.split())
    if given.short:
        return _SHORT_TESTS
    return ["tests/runtime"] if system.key != "bookworm-tflite" or board.key == "pi4" else []


def _tell(started: float, text: str) -> None:
    print(f"[{time.monotonic() - started:4.0f} s] {text}", file=sys.stderr, flush=True)


def _line(row: Row) -> str:
    figures = "" if row.difference is None else f" difference {row.difference:.1e}"
    figures += "" if row.cosine is None else f" cosine {row.cosine:.6f}"
    name = f"{row.board} {row.system} {row.what} {row.variant}".strip()
    return f"{'ok  ' if row.ok else 'FAIL'} {name}{figures} {row.detail}"


def _table(rows: Sequence[Row]) -> str:
    """Return the table as text, with columns as wide as necessary."""
    head = ("board", "system", "what", "variant", "engine", "difference", "cosine", "result")
    lines = [head]
    for row in rows:
        difference = "" if row.difference is None else f"{row.difference:.1e}"
        cosine = "" if row.cosine is None else f"{row.cosine:.6f}"
        engine = row.detail if row.engine else ""
        detail = "" if row.engine else row.detail
        result = f"{'ok' if row.ok else 'FAIL'}{': ' + detail if detail else ''}"
        lines.append((row.board, row.system, row.what, row.variant, engine, difference, cosine, result))
    widths = [max(len(line[column]) for line in lines) for column in range(len(head) - 1)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[-1]]).rstrip()
        for line in lines
    )


if __name__ == "__main__":
    sys.exit(main())
