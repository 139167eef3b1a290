"""`--service 'watch ~/incoming --into ~/photos.db'` as a systemd user unit."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from edgefeat._errors import ArgumentError

__all__ = ["SERVICES", "Service", "parse_service"]

#: The commands that can run as a service.
SERVICES = ("watch", "serve")
_FOLDER = "%h/.local/share/edgefeat/current"

# `notify`: both commands say when they are ready, and then that they are alive. A user unit's limits on memory hold
# where the kernel has its memory controller on; Raspberry Pi OS needs cgroup_enable=memory in cmdline.txt for that.
_UNIT = """\
[Unit]
Description=edgefeat {command}
StartLimitIntervalSec=300
StartLimitBurst=5

[Service]
Type=notify
ExecStart={start}
WorkingDirectory=%h
Environment=PYTHONUNBUFFERED=1
Restart=on-failure
RestartSec=10
TimeoutStartSec=180
WatchdogSec=120
Nice=10
MemoryMax=60%
TasksMax=128
LimitNOFILE=4096
NoNewPrivileges=yes

[Install]
WantedBy=default.target
"""


@dataclass(frozen=True, slots=True)
class Service:
    """A command of edgefeat that systemd keeps running. `text` is what the user wrote."""

    command: str
    arguments: tuple[str, ...]
    text: str

    @property
    def name(self) -> str:
        """Return the name of its unit, without the ending."""
        return f"edgefeat-{self.command}"

    def unit(self) -> str:
        """Return the unit file. `~/` at the start of an argument, or after `=`, is the home folder on the board."""
        words = [f"{_FOLDER}/venv/bin/edgefeat", self.command, f"{_FOLDER}/bundle"]
        start = " ".join([*map(_quoted, words), *(_quoted(_on_board(word)) for word in self.arguments)])
        return _UNIT.format(command=self.command, start=start)


def parse_service(text: str) -> Service:
    """Return the service for the text after `--service`. Raises ArgumentError with what is allowed."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ArgumentError(f"--service {text!r} cannot be read: {error} (close the quotes)") from None
    if not words or words[0] not in SERVICES:
        raise ArgumentError(
            f"--service {text!r} starts with {words[0] if words else 'nothing'!r} (allowed: {', '.join(SERVICES)}, "
            "such as 'watch ~/incoming --into ~/photos.db')"
        )
    if not text.isprintable():
        raise ArgumentError(f"--service {text!r} has a control character (allowed: printable text on one line)")
    return Service(words[0], tuple(words[1:]), text.strip())


def _on_board(word: str) -> str:
    """Return the word with systemd's own characters escaped and `~` replaced by its name of the home folder."""
    name, equals, value = word.partition("=")
    if name.startswith("--") and equals:
        return f"{_escaped(name)}={_on_board(value)}"
    if word == "~" or word.startswith("~/"):
        return f"%h{_escaped(word[1:])}"
    return _escaped(word)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")


def _quoted(text: str) -> str:
    return f'"{text}"'
