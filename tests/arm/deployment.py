"""`edgefeat deploy` to an emulated Raspberry Pi: a real SSH server whose logins are inside the board's own system.

A login gets namespaces of its own, so no root is needed: in them the emulator is registered with the kernel for ARM
programs, and the board's files are the root folder. Shell, tar, Python and all that they start are the board's.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.arm.boards import Board as Processor
from tests.arm.boards import System
from tests.arm.checks import Row
from tests.arm.machine import complete, qemu
from tests.arm.packages import Release, UnavailableError, sysroot
from tests.runtime.deploy.boards import Board, Network, network

__all__ = ["DEPLOYED", "deployment_rows"]

#: The systems that `edgefeat deploy` installs on, each with the engine that it chooses there.
DEPLOYED = ("bookworm", "trixie", "bookworm-32")

# What Raspberry Pi OS Lite has of all that the installer uses. It has no python3-venv.
_PACKAGES = (
    *("base-files", "dash", "coreutils", "tar", "gzip", "grep", "sed", "findutils", "util-linux", "libc-bin"),
    *("python3-minimal", "libpython3-stdlib", "libstdc++6"),
)
_DEBIAN = ("python3-numpy", "python3-pil", "python3-click", "python3-tqdm")
# The first bytes of a program for that processor, as the kernel's binfmt_misc takes them.
_ELF = {
    64: r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00",
    32: r"\x7fELF\x01\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x28\x00",
}
_MASK = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
_ENTER = """\
#!/bin/sh
set -e
mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
printf '%s' {registration} >/proc/sys/fs/binfmt_misc/register
mkdir -p {root}/proc {root}/dev {root}/tmp {root}/home/pi
mount --rbind /proc {root}/proc
mount --rbind /dev {root}/dev
mount -t tmpfs tmp {root}/tmp
mount --bind {home} {root}/home/pi
{network}exec chroot {root} /usr/bin/env -i HOME=/home/pi PATH=/usr/bin:/bin QEMU_CPU={cpu} {variables} \\
    /bin/sh -c 'cd && exec sh -c "$1"' sh "$1"
"""
# This machine's way to names and to the package index, for a board that is online.
_ONLINE = """\
for file in resolv.conf hosts; do
    touch {root}/etc/$file
    mount --bind /etc/$file {root}/etc/$file
done
"""
_CERTIFICATES = "cp {file} {root}/tmp/certificates\n"


def deployment_rows(system: System, processor: Processor, bundle: Path, work: Path) -> Iterator[Row]:
    """Return a row for each claim of `edgefeat deploy` on that board. Only for the last claim has it a network."""
    root = _root(system, work)
    with tempfile.TemporaryDirectory(dir=work, prefix="deploy-") as folder, network(Path(folder)) as hosts:
        board = _board(hosts, system, processor, root, work, online=False)

        def row(what: str, good: bool, detail: str) -> Row:
            return Row(processor.key, system.key, f"deploy {what}", good, detail)

        first = _deploy(hosts, bundle, board, "--offline")
        yield row("--offline", first.get("error") is None and first.get("engine") in system.engines, _detail(first))
        again = _deploy(hosts, bundle, board, "--offline")
        same = again.get("error") is None and not again.get("changed") and again.get("copied") == 0
        yield row("of the same", same and again["seconds"] < 5, f"{again.get('seconds', 0):.1f} s")
        spoilt = _spoilt(bundle, Path(folder))
        kept = board.current
        refused = _deploy(hosts, spoilt, board, "--offline")
        good = "verify failed" in str(refused.get("error")) and board.current == kept
        yield row("of other features", good, str(refused.get("error")))
        removed = _deploy(hosts, None, board, "--remove")
        yield row("--remove", removed.get("error") is None and not board.root.exists(), _detail(removed))
        online = _deploy(hosts, bundle, _board(hosts, system, processor, root, work, online=True))
        yield row("online", online.get("error") is None and online.get("engine") in system.engines, _detail(online))


def _root(system: System, work: Path) -> Path:
    packages = (*_PACKAGES, *(_DEBIAN if system.debian_python else ()))
    root = sysroot(Release(system.suite, system.architecture), packages, work=work).resolve()
    complete(root, system)
    if f"{sys.version_info.major}.{sys.version_info.minor}" == system.python:
        library = root / "usr" / "lib"
        folders = [library / f"python{system.python}", library / "python3"]
        # Byte code: without it each start of Python costs seconds under emulation.
        command: list[str | Path] = [
            sys.executable,
            "-m",
            "compileall",
            "-q",
            *(folder for folder in folders if folder.is_dir()),
        ]
        subprocess.run(command, check=False, capture_output=True)
    return root


def _board(hosts: Network, system: System, processor: Processor, root: Path, work: Path, *, online: bool) -> Board:
    name = f"{processor.key}-online" if online else processor.key
    home = hosts.folder / f"home-{name}"
    emulator = qemu(work, "aarch64" if system.bits == 64 else "arm")
    registration = shlex.quote(f":board:M::{_ELF[system.bits]}:{_MASK}:{emulator}:F")
    enter = hosts.folder / f"enter-{name}"
    steps, variables = _way_out(root) if online else ("", "")
    enter.write_text(
        _ENTER.format(
            registration=registration, root=root, home=home, cpu=processor.cpu, network=steps, variables=variables
        )
    )
    spaces = "--user --map-root-user --mount" + ("" if online else " --net")
    board = hosts.board(name, home=home, before=f'exec unshare {spaces} sh {enter} "$SSH_ORIGINAL_COMMAND"')
    told = subprocess.run(["ssh", name, "uname -m"], env=hosts.environment, capture_output=True, text=True, check=False)
    if told.returncode:
        raise UnavailableError(f"an emulated board cannot be logged in to: {told.stderr.strip()}")
    return board


def _way_out(root: Path) -> tuple[str, str]:
    """Return the steps and the variables that give a board this machine's network and its index of packages."""
    steps, variables = _ONLINE.format(root=root), {}
    if index := os.environ.get("PIP_INDEX_URL"):
        variables["PIP_INDEX_URL"] = index
    if file := os.environ.get("PIP_CERT"):
        steps += _CERTIFICATES.format(file=shlex.quote(file), root=root)
        variables["PIP_CERT"] = "/tmp/certificates"
    return steps, shlex.join(f"{name}={value}" for name, value in variables.items())


def _deploy(hosts: Network, bundle: Path | None, board: Board, *words: str) -> dict[str, Any]:
    given = [*([str(bundle)] if bundle is not None else []), board.name, *words, "--json"]
    done = hosts.deploy(*given, timeout=7200)
    try:
        found: dict[str, Any] = json.loads(done.stdout)["hosts"][0]
    except (ValueError, LookupError):
        return {"error": done.stderr.strip() or f"exit status {done.returncode}"}
    return found


def _spoilt(bundle: Path, folder: Path) -> Path:
    """Return a bundle that is whole, but whose golden features are not those of its files."""
    spoilt = folder / "spoilt.edgefeat"
    script = Path(__file__).parents[1] / "runtime" / "spoilt_bundles.py"
    subprocess.run([sys.executable, script, bundle, spoilt], check=True)
    return spoilt


def _detail(report: dict[str, Any]) -> str:
    if report.get("error") is not None:
        return str(report["error"])
    words = (report.get(name) for name in ("system", "variant", "engine", "engine_version"))
    return f"{' '.join(str(word) for word in words if word)}, {float(str(report.get('seconds', 0))):.0f} s"
