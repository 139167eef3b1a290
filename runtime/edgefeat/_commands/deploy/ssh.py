"""A host reached through the user's own `ssh`: its configuration, keys, agent, jump hosts and known hosts.

No password passes through edgefeat: `ssh` asks for it on the terminal. No option here weakens the check of host keys.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO, cast

from edgefeat._commands.cli.terminal import reason
from edgefeat._errors import ArgumentError, EdgefeatError

__all__ = ["HostError", "Ssh", "opened"]

# Seconds. `ssh` itself would wait for minutes for a host that is off.
_CONNECT = 15
# Dead connections are noticed: the board's side then ends what it was doing.
_ALIVE = ("-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=4")
# What ssh says when it could log in if it were allowed to ask.
_WOULD_ASK = ("Permission denied", "Host key verification failed", "passphrase")
_asking = threading.Lock()


class HostError(EdgefeatError):
    """A host cannot be reached, or something failed on it. The text is one line."""


class Ssh:
    """One host. Its commands share a connection, so that `ssh` asks for a password once."""

    def __init__(self, host: str, options: Sequence[str], folder: str) -> None:
        self.host = host
        self._program = [*options, *_ALIVE]
        if os.name == "posix":  # OpenSSH for Windows cannot share connections
            # The path of a socket has at most 104 bytes, so the name is short.
            self._program += ["-o", f"ControlPath={os.path.join(folder, os.urandom(3).hex())}"]
            self._program += ["-o", "ControlPersist=60", "-o", "ControlMaster=auto"]
        self._running: subprocess.Popen[bytes] | None = None
        self._mode = "BatchMode=yes"

    def connect(self) -> None:
        """Open the connection. Where `ssh` has a question and there is a terminal, the user is asked, one at a time."""
        done = self._try(self._mode)
        if done.returncode and any(words in done.stderr for words in _WOULD_ASK) and _has_terminal():
            self._mode = "BatchMode=no"
            with _asking:
                done = self._try(self._mode)
        if done.returncode:
            raise HostError(_reason(done.stderr) or f"ssh ended with status {done.returncode}")

    def _try(self, mode: str) -> subprocess.CompletedProcess[str]:
        command = self._command("true", "-o", mode, "-o", f"ConnectTimeout={_CONNECT}")
        # Standard error goes to a file: the connection in the background would hold a pipe open.
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
            status = subprocess.call(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said)
            said.seek(0)
            return subprocess.CompletedProcess(command, status, "", said.read())

    def run(
        self,
        command: str,
        *,
        write: Callable[[BinaryIO], None] | None = None,
        tell: Callable[[str], None] | None = None,
        attached: bool = False,
    ) -> str:
        """Run a command there and return what it prints; `tell` gets each line when it comes.

        `write` feeds its standard input, which is empty otherwise; with `attached` it is empty and stays open until the
        command ends. Raises HostError with the last line of standard error if the status is not 0.
        """
        with tempfile.TemporaryFile() as said, self._started(command, said, attached or write is not None) as process:
            feeding = None
            if write is not None and process.stdin is not None:
                feeding = _Feed(cast(BinaryIO, process.stdin), write)
                feeding.start()
            lines = []
            for line in process.stdout or ():
                text = line.decode("utf-8", "replace").rstrip("\n")
                lines.append(text)
                if tell is not None:
                    tell(text)
            status = process.wait()
            if feeding is not None:
                feeding.join()
            if status:
                said.seek(0)
                reason = _reason(said.read().decode("utf-8", "replace"))
                raise HostError(reason or f"the connection was lost (ssh ended with status {status})")
            if feeding is not None and feeding.error is not None:
                raise HostError(f"the copy was cut off: {feeding.error}")
            return "\n".join(lines)

    def close(self) -> None:
        """End a command that is running, and the shared connection."""
        process = self._running
        if process is not None and process.poll() is None:
            process.terminate()
        if os.name == "posix":
            subprocess.call(
                ["ssh", *self._program, "-O", "exit", "--", self.host],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip

    @contextlib.contextmanager
    def _started(self, command: str, said: BinaryIO, fed: bool) -> Iterator[subprocess.Popen[bytes]]:
        stdin = subprocess.PIPE if fed else subprocess.DEVNULL
        words = self._command(command, "-o", self._mode)
        with subprocess.Popen(words, stdin=stdin, stdout=subprocess.PIPE, stderr=said) as process:
            self._running = process
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.terminate()
                self._running = None

    def _command(self, command: str, *options: str) -> list[str]:
        # After `--` a host that begins with a dash is no option of ssh's.
        return ["ssh", "-T", *self._program, *options, "--", self.host, command]


class _Feed(threading.Thread):
    """Writes to a process's standard input while another thread reads its output."""

    def __init__(self, stream: BinaryIO, write: Callable[[BinaryIO], None]) -> None:
        super().__init__(daemon=True)
        self._stream = stream
        self._write = write
        self.error: OSError | None = None

    def run(self) -> None:
        try:
            self._write(self._stream)
            self._stream.close()
        except OSError as error:
            self.error = error
            with contextlib.suppress(OSError):
                self._stream.close()


@contextlib.contextmanager
def opened(hosts: Sequence[str], options: Sequence[str] = ()) -> Iterator[list[Ssh]]:
    """Open nothing yet, but close every connection at the end. Raises ArgumentError if `ssh` is not installed."""
    if shutil.which("ssh") is None:
        raise ArgumentError("ssh is not installed: apt-get install openssh-client")
    for host in hosts:
        if not host or host.startswith("-") or any(not char.isprintable() or char.isspace() for char in host):
            raise ArgumentError(f"host {host!r} is not valid (allowed: NAME or USER@NAME, as for ssh)")
    with tempfile.TemporaryDirectory(prefix="edgefeat-") as folder:
        found = [Ssh(host, options, folder) for host in hosts]
        try:
            yield found
        finally:
            for one in found:
                one.close()


def _has_terminal() -> bool:
    return sys.stderr.isatty()


def _reason(said: str) -> str:
    """Return the last line of what ssh or the board said, without the prefix that this program adds itself."""
    lines = [one for one in said.splitlines() if not one.startswith(("Connection to ", "Warning: Permanently added"))]
    return (reason("\n".join(lines)) or reason(said)).removeprefix("edgefeat: ")
