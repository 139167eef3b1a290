"""What a board says of itself when `probe.sh` asks: what it is, what edgefeat it has, what was measured there."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from edgefeat._errors import EdgefeatError

__all__ = ["BoardFacts", "parse_facts"]

# A shell may greet before it runs a command.
_MARKER = "edgefeat-probe 1"
_REPORTS = ("verify", "tune", "bench")


@dataclass(frozen=True, slots=True)
class BoardFacts:
    """The answers by name; the SHA-256 of the files that are there; and the reports of `verify`, `tune` and `bench`.

    `current` is the release that runs and `complete` whether its services were started too. `services` has each unit
    and its state, `journal` the last lines of each, and `wanted` the texts that they were made of.
    """

    values: dict[str, str]
    have: frozenset[str] = frozenset()
    reports: dict[str, dict[str, Any]] = field(default_factory=dict)
    services: tuple[tuple[str, str], ...] = ()
    journal: tuple[str, ...] = ()
    wanted: tuple[str, ...] = ()

    @property
    def current(self) -> str | None:
        return self.values.get("current")

    @property
    def complete(self) -> bool:
        return self.current is not None and self.values.get("activated") == self.current

    @property
    def name(self) -> str:
        """Return what the board calls itself, or its processor."""
        return self.values.get("board") or self.values.get("machine") or "unknown"


def parse_facts(text: str) -> BoardFacts:
    """Return the facts in what the probe printed. Raises EdgefeatError if that is something else, or another kernel."""
    _, marker, told = text.partition(f"{_MARKER}\n")
    values: dict[str, str] = {}
    several: dict[str, list[str]] = {"have": [], "release": [], "service": [], "journal": [], "wanted": []}
    for line in told.split("\n"):
        name, tab, value = line.partition("\t")
        if tab and name in several:
            several[name].append(value)
        elif tab:
            values[name] = value  # of several Pythons the last one is the one to take
    if not marker or "kernel" not in values:
        greeting = text.strip().splitlines()[-1:] or ["nothing"]
        raise EdgefeatError(f"its shell does not run a script: it says {greeting[0][:200]!r} (needed: a POSIX sh)")
    if values["kernel"] != "Linux":
        raise EdgefeatError(f"it runs {values['kernel']} (needed: Linux)")
    return BoardFacts(
        {name: value for name, value in values.items() if name not in _REPORTS},
        frozenset(several["have"]),
        {name: report for name in _REPORTS if (report := _json(values.get(name, ""))) is not None},
        tuple(_pair(service) for service in several["service"]),
        tuple(several["journal"]),
        tuple(several["wanted"]),
    )


def _pair(text: str) -> tuple[str, str]:
    name, _, state = text.partition(" ")
    return name, state or "unknown"


def _json(text: str) -> dict[str, Any] | None:
    """Return the object, or None for what is none: a report that is damaged is as good as none."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
