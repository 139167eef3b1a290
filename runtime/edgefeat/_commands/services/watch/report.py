"""What a watch says: one line for each event, for a terminal or the journal, or as JSON."""

from __future__ import annotations

import json

from edgefeat._commands.cli.terminal import counted, echo, printable
from edgefeat._commands.services.watch.results.protocol import Written

__all__ = ["Report"]


class Report:
    """Lines on standard error, or JSON objects on standard output."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._added = self._failed = self._removed = 0
        self._troubles: set[str] = set()

    def note(self, text: str) -> None:
        """Say something about the watch itself."""
        self._say("note", f"edgefeat: {text}", text=text)

    def trouble(self, text: str) -> None:
        """Say once, until it works again, that something does not work now."""
        # The advice of `extract --into` to start it again does not apply.
        text = text.partition("; the same `edgefeat extract")[0].partition(", the same `edgefeat extract")[0]
        if text not in self._troubles:
            self._troubles.add(text)
            self._say("trouble", f"edgefeat: {text}; trying again until it works", text=text)

    def written(self, written: Written) -> None:
        """Say what was written, one line a photo."""
        if self._troubles:
            self._troubles.clear()
            self.note("it works again")
        for path in (*written.added, *written.moved):
            self._say("added", f"{path}: added", path=path)
        for path, reason in written.failed:
            self._say("failed", f"{path}: {reason}", path=path, reason=reason)
        for path in written.removed:
            self._say("removed", f"{path}: removed", path=path)
        self._added += len(written.added) + len(written.moved)
        self._failed += len(written.failed)
        self._removed += len(written.removed)

    def status(self) -> str:
        """Return the counts so far as a line."""
        removed = f", {self._removed} removed" if self._removed else ""
        failed = f", {self._failed} failed" if self._failed else ""
        return f"{counted(self._added, 'photo')} added{removed}{failed}"

    def _say(self, event: str, line: str, **facts: str) -> None:
        if self._as_json:
            echo(json.dumps({"event": event, **facts}))
        else:
            echo(printable(line), err=True)
