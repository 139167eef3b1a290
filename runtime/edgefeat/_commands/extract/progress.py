"""Progress of a bulk run: a bar on a terminal, JSON lines for a script, otherwise failures only."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import click

from edgefeat._bulk.progress import Progress
from edgefeat._commands.cli.terminal import printable

__all__ = ["progress_for"]

_LINE_SECONDS = 2.0


def progress_for(*, as_json: bool) -> Progress:
    """Return the progress display for the current standard output and standard error."""
    if as_json:
        return _Lines()
    return _Bar() if sys.stderr.isatty() else _Quiet()


class _Quiet:
    """Prints failures and notes, one a line, to standard error."""

    def note(self, text: str) -> None:
        click.echo(f"edgefeat: {printable(text)}", err=True)

    def start(self, total: int, facts: dict[str, Any]) -> None:
        pass

    def done(self, path: str, error: str | None) -> None:
        if error is not None:
            click.echo(f"{printable(path)}: {error}", err=True)

    def close(self) -> None:
        pass


class _Bar:
    """The same with a bar: photos per second, time left, and failures."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._failed = 0

    def note(self, text: str) -> None:
        self._say(f"edgefeat: {printable(text)}")

    def start(self, total: int, facts: dict[str, Any]) -> None:
        from tqdm import tqdm

        self._bar = tqdm(total=total, unit=" photos", smoothing=0.1, dynamic_ncols=True)

    def done(self, path: str, error: str | None) -> None:
        if error is not None:
            self._failed += 1
            self._say(f"{printable(path)}: {error}")
            self._bar.set_postfix_str(f"{self._failed} failed", refresh=False)
        self._bar.update()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()

    def _say(self, text: str) -> None:
        if self._bar is None:
            click.echo(text, err=True)
        else:
            shown = text.encode(sys.stderr.encoding or "utf-8", "backslashreplace").decode(
                sys.stderr.encoding or "utf-8", "replace"
            )
            self._bar.write(shown, file=sys.stderr)


class _Lines:
    """Prints one line of ASCII JSON an event to standard output: `start`, `progress`, `failed`, `note`."""

    def __init__(self) -> None:
        self._done = self._failed = self._total = 0
        self._begun = self._said = time.monotonic()

    def note(self, text: str) -> None:
        _line("note", text=text)

    def start(self, total: int, facts: dict[str, Any]) -> None:
        self._total = total
        self._begun = self._said = time.monotonic()
        _line("start", total=total, **facts)

    def done(self, path: str, error: str | None) -> None:
        self._done += 1
        if error is not None:
            self._failed += 1
            _line("failed", path=path, reason=error)
        now = time.monotonic()
        if now - self._said >= _LINE_SECONDS:
            self._said = now
            rate = self._done / (now - self._begun)
            left = (self._total - self._done) / rate
            facts = {"done": self._done, "total": self._total, "failed": self._failed}
            _line("progress", **facts, photos_per_second=round(rate, 2), seconds_left=round(left))

    def close(self) -> None:
        pass


def _line(event: str, **facts: object) -> None:
    click.echo(json.dumps({"event": event, **facts}))
