"""The checks on an emulated board: the command line, features compared with x86, and the tests of the device side."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.arm.boards import Board
from tests.arm.machine import Machine

__all__ = ["CHECKOUT", "Row", "bundle_rows", "last_line", "reference_features", "test_row"]

_HERE = Path(__file__).parent
#: What runs on the board.
_SCRIPTS = _HERE / "on_board"
CHECKOUT = _HERE.parents[1]
# Of a test run's last line, such as "== 3 failed, 620 passed, 5 skipped in 812.31s ==".
_COUNTS = re.compile(r"(\d+) (passed|failed|skipped|error|deselected)")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. `difference` and `cosine` are the worst to x86, None where nothing is compared."""

    board: str
    system: str
    what: str
    ok: bool
    detail: str
    engine: str = ""
    variant: str = ""
    difference: float | None = None
    cosine: float | None = None


def reference_features(x86: Machine, bundles: Sequence[Path], work: Path) -> dict[Path, Path]:
    """Return the features of each bundle on x86, with the photos in `work` that boards and x86 both prepare."""
    photos = work / "photos"
    photos.mkdir(parents=True, exist_ok=True)
    _must(x86, [_SCRIPTS / "photos.py", photos])
    found = {}
    for index, bundle in enumerate(bundles):
        found[bundle] = work / f"x86-{index}.npz"
        _must(x86, [_SCRIPTS / "features.py", found[bundle], photos, bundle])
    return found


def bundle_rows(machine: Machine, x86: Machine, board: Board, bundle: Path, reference: Path, work: Path) -> list[Row]:
    """Run `edgefeat verify` on the board and compare its features with those of the same engines on x86."""
    rows = []
    cache = {"EDGEFEAT_CACHE": str(work / f"cache-{machine.system.key}-{board.key}")}
    told = machine.run(["-m", "edgefeat", "verify", bundle, "--json"], board=board, environment=cache)
    checks = json.loads(told.stdout)["checks"] if told.returncode in (0, 1) and told.stdout else []
    engines = {check["engine"]: check["engine_version"] for check in checks}
    off = [f"{check['variant']} on {check['engine']}: {check['detail']}" for check in checks if check["status"] != "ok"]
    absent = [name for name in machine.system.engines if name not in engines]
    detail = "; ".join(off) or last_line(told.stderr) if told.returncode else f"{len(checks)} variants and engines"
    if absent:
        detail = f"did not run: {', '.join(absent)}; {detail}"
    good = told.returncode == 0 and not absent
    rows.append(Row(board.key, machine.system.key, f"verify {bundle.name}", good, detail))
    output = work / "board.npz"
    told = machine.run([_SCRIPTS / "features.py", output, work / "photos", bundle], board=board, environment=cache)
    if told.returncode:
        detail = last_line(told.stderr) or f"exit status {told.returncode}"
        return [*rows, Row(board.key, machine.system.key, f"features {bundle.name}", False, detail)]
    for found in json.loads(_must(x86, [_SCRIPTS / "comparison.py", output, reference])):
        what = found.get("what", "features")
        engine = found.get("engine", "")
        rows.append(
            Row(
                board.key,
                machine.system.key,
                f"{what} {bundle.name}",
                found["ok"],
                f"{engine} {engines.get(engine, '')}" if engine else "",
                engine=engine,
                variant=found.get("variant", ""),
                difference=found["difference"],
                cosine=found.get("cosine"),
            )
        )
    return rows


def test_row(machine: Machine, board: Board, tests: Sequence[str], work: Path) -> Row:
    """Run `tests/runtime`, or the named tests in it, from the installed wheel."""
    log = work / f"tests-{machine.system.key}-{board.key}.log"
    told = machine.run(
        # Seconds become half minutes under emulation.
        ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "tests.arm.on_board.unfit", "-o", "timeout=3600",
         f"--basetemp={work / f'tmp-{machine.system.key}-{board.key}'}", *tests],
        board=board, cwd=CHECKOUT,
    )  # fmt: skip
    log.write_text(told.stdout + told.stderr)
    last = last_line(told.stdout)
    counts = {kind: int(number) for number, kind in _COUNTS.findall(last)}
    good = told.returncode == 0 and counts.get("passed", 0) > 0
    detail = ", ".join(f"{number} {kind}" for kind, number in counts.items()) or f"{last} ({log})"
    return Row(board.key, machine.system.key, "tests/runtime", good, detail if good else f"{detail}: {log}")


def _must(machine: Machine, arguments: Sequence[str | Path]) -> str:
    done = machine.run(arguments)
    if done.returncode:
        raise RuntimeError(f"{arguments[0]} failed on x86: {done.stderr}")
    return done.stdout


def last_line(text: str) -> str:
    """Return the last non-empty line, or an empty string."""
    lines = text.strip().splitlines()
    return lines[-1].strip("= ") if lines else ""
