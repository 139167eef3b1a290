"""Where edgefeat was run and what came of it: rows from test runs, merged into `docs/platforms.json` and its page.

    python tests/systems/platforms.py record --platform NAME --python 3.11.2 --how "make ..." --bundle NAME \
        --verify verify.json --output results/platforms/NAME.json      # rows of an `edgefeat verify --json`
    python tests/systems/platforms.py add --platform NAME ... --cosine 0.99999 --output ...  # one row of a test
    python tests/systems/platforms.py page                             # results/platforms -> docs/platforms.{json,md}

A row's key is (platform, Python up to the minor, engine, variant, how, bundle); a newer one replaces an older. Needs
only the standard library, so that emulated and foreign machines can write rows too.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import platform
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
RESULTS = REPOSITORY / "results" / "platforms"
KEPT = REPOSITORY / "docs" / "platforms.json"
WHEELS = REPOSITORY / "docs" / "wheels.json"
PAGE = REPOSITORY / "docs" / "platforms.md"
#: The variant of a row that is no variant's: of a run of tests.
TESTS = "all"
_PRECISIONS = ("float32", "float16", "dynamic", "int8")


@dataclasses.dataclass(frozen=True)
class Row:
    """One engine running one variant somewhere. `status` is "ok" or the reason why not.

    `cosine` is the lowest and `difference` the largest absolute one to the features that `how` compares with.
    """

    platform: str
    python: str
    engine: str
    engine_version: str
    variant: str
    how: str
    bundle: str
    status: str
    cosine: float | None
    difference: float | None
    date: str

    def key(self) -> tuple[str, ...]:
        """What a newer row replaces."""
        return (self.platform, ".".join(self.python.split(".")[:2]), self.engine, self.variant, self.how, self.bundle)


def read_rows(paths: Iterable[Path]) -> list[Row]:
    """The rows of several files. Raises TypeError for a row with other fields."""
    return [Row(**row) for path in paths for row in json.loads(path.read_text())]


def write_rows(rows: Iterable[Row], path: Path) -> None:
    """Writes them as JSON, one to a line, so that a change of one is a change of one line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(json.dumps(dataclasses.asdict(row), ensure_ascii=False) for row in rows)
    path.write_text(f"[\n{lines}\n]\n")


def verified(arguments: argparse.Namespace) -> list[Row]:
    """The rows of an `edgefeat verify --json`."""
    checks = json.loads(Path(arguments.verify).read_text())["checks"]
    return [
        dataclasses.replace(
            _row(arguments),
            engine=check["engine"],
            engine_version=check["engine_version"],
            variant=check["variant"],
            status=check["status"] if not check["detail"] else f"{check['status']}: {check['detail']}",
            cosine=check["cosine"],
            difference=check["difference"],
        )
        for check in checks
    ]


def _row(arguments: argparse.Namespace) -> Row:
    given: dict[str, Any] = {field.name: getattr(arguments, field.name, None) for field in dataclasses.fields(Row)}
    return Row(**{**given, "date": arguments.date or datetime.datetime.now(datetime.UTC).date().isoformat()})


def merged(kept: Sequence[Row], new: Sequence[Row]) -> list[Row]:
    """All keys once, the newest of each, in the page's order."""
    rows = {row.key(): row for row in sorted([*kept, *new], key=lambda row: row.date)}
    return [rows[key] for key in sorted(rows)]


def page(rows: Sequence[Row], wheels: Sequence[dict[str, str]]) -> str:
    """The Markdown of `docs/platforms.md`."""
    parts = [
        "# Tested platforms",
        "Find your system, Python and engine, and how closely their features match. To check a machine of yours:",
        "```sh\nedgefeat verify mobilenet_v2.edgefeat\n```",
        "`make platforms` writes this page from what the test targets measured. The column *how* names the command "
        "that repeats a row. [platforms.json](platforms.json) has each bundle separately. Emulated boards run the same "
        "wheels that a Raspberry Pi installs.",
        "## Features",
        "Each cell has the lowest cosine and the largest absolute difference over all bundles. An empty cell means "
        "that the engine does not run such files, or that the bundle has none. `make test-arm` requires a difference "
        "of at most 1e-4 for float32, and a cosine of 0.999 otherwise. The int8 of tflite-runtime fails that with "
        "larger networks: see [Raspberry Pi](raspberry-pi.md).",
        _table(
            ("how", "features are compared with"),
            [
                ("`make platforms`", "the bundle's golden features"),
                ("`make test-arm`", "the same engine's features on x86"),
                ("`make test-web`", "edgefeat's own features of the same photo"),
            ],
        ),
        _table(
            ("platform", "Python", "engine", *_PRECISIONS, "bundles", "how", "date"),
            _feature_lines([row for row in rows if row.variant != TESTS]),
        ),
        "## The device side: tests of the runtime",
        "The results of `tests/runtime`, run from the installed wheel with the system's Python. Tests that emulation "
        "itself breaks are skipped, each with its reason.",
        _table(
            ("platform", "Python", "engines", "result", "how", "date"),
            [
                (row.platform, row.python, row.engine, row.status, f"`{row.how}`", row.date)
                for row in rows
                if row.variant == TESTS
            ],
        ),
        "## What can be installed",
        "Whether pip finds wheels for everything that an [extra](install.md) needs, checked with a resolver that uses "
        "the target's tags and markers (`make check-wheels`). *wheels* means yes; otherwise the cell says what is "
        "missing. *left out* means that the engine has no wheels there and the markers skip it: pip succeeds, and "
        "edgefeat needs another engine.",
        _wheel_table(wheels),
        "32-bit ARM has no row here. Of the engines only tflite-runtime 2.14 has a wheel on PyPI for it (Python 3.11). "
        "NumPy and Pillow come from Debian there (1.24 and 9.4, the oldest that edgefeat supports): see "
        "[Raspberry Pi](raspberry-pi.md).",
    ]
    return "\n\n".join(parts) + "\n"


def _feature_lines(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """One line for all variants and bundles of an engine on a platform."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.platform, row.python, f"{row.engine} {row.engine_version}", row.how), []).append(row)
    return [
        (
            *key[:3],
            *(_worst([row for row in group if row.variant.partition("-")[2] == one]) for one in _PRECISIONS),
            ", ".join(sorted({row.bundle for row in group})),
            f"`{group[0].how}`",
            min(row.date for row in group),
        )
        for key, group in groups.items()
    ]


def _worst(rows: list[Row]) -> str:
    """The worst of several bundles: what was not well if something was not."""
    bad = [f"{row.bundle} {row.status}" for row in rows if row.status != "ok"]
    cosines = [row.cosine for row in rows if row.cosine is not None]
    differences = [row.difference for row in rows if row.difference is not None]
    parts = bad or ["ok"] if rows else []
    parts += [f"{min(cosines):.6f}"] if cosines else []
    parts += [f"{max(differences):.0e}" if max(differences) else "0"] if differences else []
    return ", ".join(parts)


def _wheel_table(wheels: Sequence[dict[str, str]]) -> str:
    pythons = list(dict.fromkeys(one["python"] for one in wheels))
    found = {(one["extra"], one["platform"], one["python"]): one["result"] for one in wheels}
    places = list(dict.fromkeys((one["extra"], one["platform"]) for one in wheels))
    rows = [
        (f"`{extra}`", platform, *(found.get((extra, platform, python), "") for python in pythons))
        for extra, platform in places
    ]
    return _table(("extra", "platform", *(f"Python {python}" for python in pythons)), rows)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(header)} |", "|" + "---|" * len(header)]
    for row in rows:
        lines.append("| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |")
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    """Runs the command line; 2 for wrong use, which argparse does itself."""
    parser = argparse.ArgumentParser(description="Rows of docs/platforms.md.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("record", "add"):
        command = commands.add_parser(name)
        for option in ("how", "bundle", "output"):
            command.add_argument(f"--{option}", required=True)
        command.add_argument(
            "--platform", default=f"{platform.system()} {platform.machine()}", help="default: this one"
        )
        command.add_argument("--python", default=platform.python_version(), help="default: this one; none: ''")
        command.add_argument("--date")
        if name == "record":
            command.add_argument("--verify", required=True, help="what edgefeat verify --json printed")
            continue
        for option in ("engine", "engine-version", "variant"):
            command.add_argument(f"--{option}", required=True)
        command.add_argument("--status", default="ok")
        command.add_argument("--cosine", type=float)
        command.add_argument("--difference", type=float)
    commands.add_parser("page")
    given = parser.parse_args(arguments)
    if given.command == "page":
        kept = read_rows([KEPT]) if KEPT.exists() else []
        rows = merged(kept, read_rows(sorted(RESULTS.glob("*.json"))))
        write_rows(rows, KEPT)
        PAGE.write_text(page(rows, json.loads(WHEELS.read_text()) if WHEELS.exists() else []))
        print(f"{len(rows)} rows in {PAGE}")
        return 0
    write_rows(verified(given) if given.command == "record" else [_row(given)], Path(given.output))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
