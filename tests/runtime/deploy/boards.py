"""Boards for tests: each a real OpenSSH server on loopback, with keys that are thrown away."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

__all__ = ["Board", "Network", "network", "require_sshd"]

_SERVER = shutil.which("sshd", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"]))
# Without the settings of this machine's user: a board has its own.
_LOGIN = """\
#!/bin/sh
for name in $(env | cut -d= -f1 | grep -E '^(PIP_|EDGEFEAT_|XDG_)'); do unset "$name"; done
HOME='{home}'
PATH='{path}'
export HOME PATH
cd "$HOME" || exit 255
{before}
exec sh -c "$SSH_ORIGINAL_COMMAND"
"""


@dataclass(frozen=True)
class Board:
    """A host that `ssh NAME` reaches. `home` is the home folder there."""

    name: str
    home: Path

    @property
    def root(self) -> Path:
        """Return the folder of all that `edgefeat deploy` puts there."""
        return self.home / ".local" / "share" / "edgefeat"

    @property
    def current(self) -> str | None:
        """Return the release that runs there."""
        link = self.root / "current"
        return link.readlink().name if link.is_symlink() else None

    def runs(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run the installed command there."""
        command: list[str | Path] = [self.home / ".local" / "bin" / "edgefeat", *words]
        environment = {**os.environ, "HOME": str(self.home)}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=self.home)


class Network:
    """Servers on loopback. `environment` is for a process whose `ssh` is to find them by name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ssh = shutil.which("ssh") or "ssh"
        self._servers: dict[str, subprocess.Popen[bytes]] = {}
        (folder / "bin").mkdir()
        self._config = folder / "config"
        for name in ("host", "user"):
            command: list[str | Path] = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name]
            subprocess.run(command, check=True, capture_output=True)
        # The user's own ssh, with another file of settings.
        wrapper = folder / "bin" / "ssh"
        wrapper.write_text(f"#!/bin/sh\nexec '{self._ssh}' -F '{self._config}' \"$@\"\n")
        wrapper.chmod(0o755)
        self._config.write_text(
            f"IdentityFile {folder}/user\nIdentitiesOnly yes\nUserKnownHostsFile {folder}/known\n"
            "StrictHostKeyChecking yes\nHostName 127.0.0.1\nHostKeyAlias boards\n"
        )
        (folder / "known").write_text(f"boards {(folder / 'host.pub').read_text()}")

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"}

    def board(
        self, name: str, *, home: Path | None = None, path: Sequence[Path] = (), before: str = "", listens: bool = True
    ) -> Board:
        """Start a board. Programs in `path` come before the system's; `before` is run at each login."""
        folder = self.folder / name
        folder.mkdir()
        home = home or folder / "home"
        home.mkdir(exist_ok=True)
        port = _free_port()
        system = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
        login = folder / "login"
        login.write_text(_LOGIN.format(home=home, path=os.pathsep.join([*map(str, path), *system]), before=before))
        login.chmod(0o755)
        settings = folder / "sshd_config"
        settings.write_text(
            f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {self.folder}/host\n"
            f"AuthorizedKeysFile {self.folder}/user.pub\nPidFile none\nUsePAM no\nStrictModes no\n"
            f"PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n"
            f'ForceCommand "{login}"\n'
        )
        with self._config.open("a") as stream:
            stream.write(f"Host {name}\n  Port {port}\n")
        if listens:
            self._start(name, settings, port)
        return Board(name, home)

    def _start(self, name: str, settings: Path, port: int) -> None:
        if os.geteuid() == 0:
            os.makedirs("/run/sshd", exist_ok=True)
        log = settings.with_name("log")
        command: list[str | Path] = [_SERVER or "sshd", "-D", "-f", settings, "-E", log]
        server = self._servers[name] = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
        until = time.monotonic() + 60
        while time.monotonic() < until and server.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
                return
            time.sleep(0.05)
        pytest.skip(f"sshd does not start: {log.read_text() if log.exists() else 'it says nothing'}")

    def cut(self) -> None:
        """Cut every connection that is open. The servers go on."""
        for server in self._servers.values():
            listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(server.pid)], capture_output=True, check=False)
            for session in map(int, listed.stdout.split()):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(session, signal.SIGKILL)

    def close(self) -> None:
        """Stop the servers."""
        for server in self._servers.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGTERM)
            server.wait(60)

    def deploy(self, *words: str | Path, timeout: float = 500) -> subprocess.CompletedProcess[str]:
        """Run `edgefeat deploy`."""
        return subprocess.run(
            [sys.executable, "-m", "edgefeat", "deploy", *words],
            env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            timeout=timeout,
        )  # fmt: skip


@contextlib.contextmanager
def network(folder: Path) -> Iterator[Network]:
    """Yield a network that is taken down at the end."""
    found = Network(folder)
    try:
        yield found
    finally:
        found.close()


def require_sshd() -> None:
    """Skip the test where there is no OpenSSH server and client, or no Linux that could be a board."""
    if not sys.platform.startswith("linux"):
        pytest.skip("a board runs Linux")
    if _SERVER is None or not shutil.which("ssh") or not shutil.which("ssh-keygen"):
        pytest.skip("no OpenSSH server: apt-get install openssh-server")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
