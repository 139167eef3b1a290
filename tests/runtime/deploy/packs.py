"""Parts and packs for the tests of `edgefeat deploy`: unpacked, altered, installed, interrupted."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.runtime.deploy.boards import Network

DATA = Path(__file__).parents[2] / "data"

KEPT = ("tflite-float32", "onnx-float32")


def part_of(name: str, folder: Path) -> Path:
    """Return a bundle with two of its variants: every one is measured on the board."""
    part = folder / f"{name}.edgefeat"
    shutil.copytree(DATA / part.name, part)
    (part / "variants.json").write_text(json.dumps(KEPT))
    for file in [*part.glob("*.tflite"), *part.glob("*.onnx")]:
        if file.stem not in KEPT:
            file.unlink()
    return part


def interrupted_at(moment: str, hosts: Network, two: Path) -> None:
    """Kill a deployment, with the connection, when it tells that step."""
    command = [sys.executable, "-m", "edgefeat", "deploy", str(two), "board", "--offline"]
    with subprocess.Popen(
        command, env=hosts.environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as run:
        assert run.stderr is not None
        told = next((line for line in run.stderr if moment in line), None)
        os.killpg(run.pid, signal.SIGKILL)
    assert told is not None, f"it never came to {moment!r}"


# A systemd for this user alone, in a namespace: it sees neither the system's nor is it seen by it.
WITH_SYSTEMD = """\
mount -t tmpfs run /run && mkdir -p /run/systemd/system "/run/user/$(id -u)" && chmod 700 "/run/user/$(id -u)"
mount -t cgroup2 none /sys/fs/cgroup || exit 99
group=/sys/fs/cgroup/edgefeat-test-$$
mkdir -p $group/init && echo $$ >$group/init/cgroup.procs || exit 99
export XDG_RUNTIME_DIR="/run/user/$(id -u)"
/lib/systemd/systemd --user >/dev/null 2>&1 &
manager=$!
for turn in $(seq 600); do
    systemctl --user show-environment >/dev/null 2>&1 && break
    kill -0 $manager 2>/dev/null || exit 99
    sleep 0.1
done
service() { echo "$1 $(basename "$(readlink "$root/current")") $(systemctl --user is-active edgefeat-watch)"; }
root=$HOME/.local/share/edgefeat
sh "$1/install.sh" >&2; service good
sh "$2/install.sh" >&2; service bad
sh "$root/current/pack/install.sh" --rollback >&2; service back
kill $manager; wait $manager 2>/dev/null
echo $$ >/sys/fs/cgroup/cgroup.procs
rmdir $group/* $group 2>/dev/null
exit 0
"""


def unpacked(bundle: Path, folder: Path, *options: str) -> Path:
    """Return the folder of a pack, unpacked as on a board."""
    archive = folder / "board.tar.gz"
    command: list[str | Path] = [sys.executable, "-m", "edgefeat", "pack", bundle, *options, "-o", archive]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "pip cannot download" in done.stderr:
        pytest.skip("no package index here")
    assert done.returncode == 0, done.stderr
    subprocess.run(["tar", "-xf", archive, "-C", folder], check=True)
    return folder / "edgefeat-board"


def set_in_pack(pack: Path, name: str, value: str) -> None:
    """Change a setting of a pack as if it had been made so."""
    lines = (pack / "pack.env").read_text().splitlines()
    replace_in_pack(
        pack, "pack.env", "".join(f"{name}={value}\n" if one.startswith(f"{name}=") else f"{one}\n" for one in lines)
    )


def replace_in_pack(pack: Path, name: str, content: str) -> None:
    """Replace a file of a pack as if it had been made so."""
    (pack / name).write_text(content)
    sums = pack / "SHA256SUMS"
    known = [line for line in sums.read_text().splitlines() if not line.endswith(f"  {name}")]
    sums.write_text("\n".join([*known, f"{hashlib.sha256(content.encode()).hexdigest()}  {name}"]) + "\n")


def install(pack: Path, home: Path) -> subprocess.CompletedProcess[str]:
    with contextlib.suppress(FileExistsError):
        home.mkdir()
    environment = {**os.environ, "HOME": str(home)}
    command = ["sh", str(pack / "install.sh")]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
