"""`edgefeat deploy` and the installer of a pack, on a board that is this machine, reached by a real SSH server."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.runtime.bundle.spoilt_bundles import spoil
from tests.runtime.deploy.boards import Board, Network, network, require_sshd
from tests.runtime.deploy.packs import (
    WITH_SYSTEMD,
    install,
    interrupted_at,
    part_of,
    replace_in_pack,
    set_in_pack,
    unpacked,
)


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return part_of("one_tap", tmp_path_factory.mktemp("one"))


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return part_of("two_taps", tmp_path_factory.mktemp("two"))


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    require_sshd()
    with network(tmp_path_factory.mktemp("network")) as found:
        yield found


@pytest.fixture(scope="module")
def first(hosts: Network, one: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Board, dict[str, Any], str]:
    """A board after its first deployment, together with a host that is down: the board, the JSON, the steps told."""
    home = tmp_path_factory.mktemp("a home with spaces")
    board = hosts.board("board", home=home)
    hosts.board("down", listens=False)
    done = hosts.deploy(one, "board", "down", "--offline", "--json")
    if "pip cannot download" in done.stderr + done.stdout:
        pytest.skip("no package index here")
    assert done.returncode == 1, done.stderr
    return board, json.loads(done.stdout), done.stderr


@pytest.fixture
def board(first: tuple[Board, dict[str, Any], str], hosts: Network, one: Path) -> Board:
    """The board with the bundle `one` running on it."""
    there = first[0]
    if there.current != first[1]["hosts"][0]["release"]:
        assert hosts.deploy(one, "board", "--offline").returncode == 0
    return there


def test_a_board_gives_the_features_and_is_measured_while_another_host_is_down(
    first: tuple[Board, dict[str, Any], str],
) -> None:
    there, told, said = first
    good, down = told["hosts"]
    assert not told["ok"]
    assert good["error"] is None
    assert good["changed"]
    assert good["engine"] == "litert"
    assert good["variant"].startswith("tflite-")
    assert good["milliseconds"] > 0
    assert good["photos_per_second"] > 0
    assert good["memory"] > 1e7
    assert good["copied"] > 1e6
    assert down["error"] is not None
    assert "Connection refused" in down["error"]
    assert "board: comparing features with Keras" in said
    verified = there.runs("verify", f"{there.root}/current/bundle", "--json")
    assert verified.returncode == 0
    assert {check["engine"] for check in json.loads(verified.stdout)["checks"]} == {"litert"}


def test_the_board_has_the_variants_of_its_engine_and_the_identity_of_the_whole_bundle(board: Board, one: Path) -> None:
    told = json.loads(board.runs("info", f"{board.root}/current/bundle", "--json").stdout)
    assert {variant["format"] for variant in told["manifest"]["variants"]} == {"tflite"}
    assert told["identity"] == hashlib.sha256((one / "manifest.json").read_bytes()).hexdigest()
    assert not list((board.root / "current" / "bundle").glob("*.onnx"))


def test_what_is_there_is_not_copied_again(board: Board, hosts: Network, one: Path) -> None:
    done = hosts.deploy(one, "board", "--offline", "--json")
    again = json.loads(done.stdout)["hosts"][0]
    assert done.returncode == 0, done.stderr
    assert (again["changed"], again["copied"]) == (False, 0)
    assert again["milliseconds"] > 0


def test_an_environment_whose_python_is_gone_is_made_again(board: Board, hosts: Network, one: Path) -> None:
    """As after an upgrade of the system."""
    for python in (board.root / "current" / "venv" / "bin").glob("python*"):
        python.unlink()
        python.symlink_to("/nowhere/python")
    assert board.runs("info").returncode != 0
    done = hosts.deploy(one, "board", "--offline")
    assert done.returncode == 0, done.stderr
    assert board.runs("info").returncode == 0


def test_interrupted_at_each_step_it_leaves_the_old_one_and_then_brings_only_what_is_new(
    board: Board, hosts: Network, two: Path
) -> None:
    before = board.current
    for moment in ("copying", "comparing features", "finding the fastest"):  # tests/stress/deploy.py: at random ones
        interrupted_at(moment, hosts, two)
        assert board.current == before
        assert board.runs("verify", f"{board.root}/current/bundle").returncode == 0
    table = hosts.deploy(two, "board", "--offline")
    assert table.returncode == 0, table.stderr
    assert table.stdout.splitlines()[0].split()[:3] == ["host", "board", "system"]
    assert "the rest is there" in table.stderr
    assert "installing" not in table.stderr
    assert board.current != before
    assert len(list((board.root / "environments").iterdir())) == 1
    assert hosts.deploy("--rollback", "board").returncode == 0
    assert board.current == before
    assert board.runs("verify", f"{board.root}/current/bundle").returncode == 0


def test_a_bundle_whose_features_differ_there_changes_nothing(
    board: Board, hosts: Network, tmp_path: Path, one: Path
) -> None:
    before = board.current
    done = hosts.deploy(spoil(one, tmp_path / "spoilt.edgefeat"), "board", "--offline")
    assert done.returncode == 1
    assert (
        "edgefeat: board: verify failed on this board, so nothing was changed: tflite-float32 on litert" in done.stderr
    )
    assert board.current == before
    assert len(list((board.root / "releases").iterdir())) <= 2


def test_a_service_without_systemd_changes_nothing(board: Board, hosts: Network, one: Path) -> None:
    if subprocess.run(["systemctl", "--user", "show-environment"], capture_output=True, check=False).returncode == 0:
        pytest.skip("systemd for users runs here: this would start a service")
    before = board.current
    done = hosts.deploy(one, "board", "--offline", "--service", "watch ~/incoming --into ~/photos.db")
    assert done.returncode == 1
    assert "a service needs systemd for users" in done.stderr
    assert board.current == before


def test_a_service_starts_with_the_release_and_if_it_does_not_the_old_one_runs_again(
    board: Board, two: Path, one: Path, tmp_path: Path
) -> None:
    if os.geteuid() or not Path("/lib/systemd/systemd").exists() or not shutil.which("unshare"):
        pytest.skip("needs root and systemd, to run a manager in a namespace")
    packs = []
    (board.home / "incoming").mkdir(exist_ok=True)
    for name, bundle, start in (("good", two, ""), ("bad", one, "/bin/false")):
        (tmp_path / name).mkdir()
        options = ("--for", "this", "--offline", "--service", "watch ~/incoming --into ~/photos.db")
        pack = unpacked(bundle, tmp_path / name, *options)
        if start:
            unit = (pack / "services" / "edgefeat-watch.service").read_text()
            lines = [f"ExecStart={start}" if line.startswith("ExecStart=") else line for line in unit.splitlines()]
            replace_in_pack(pack, "services/edgefeat-watch.service", "".join(f"{line}\n" for line in lines))
        packs.append(pack)
    before = board.current
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", WITH_SYSTEMD, "sh", *packs],
        env={**os.environ, "HOME": str(board.home)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode == 99:
        pytest.skip(f"no manager of systemd can be run here: {done.stderr.strip()}")
    good, bad, back = (line.split() for line in done.stdout.splitlines())
    assert good[1] != before, done.stderr
    assert good[2] == "active", done.stderr
    assert "its service does not run" in done.stderr
    assert bad[1:] == [good[1], "active"], done.stderr
    assert back[1:] == [before, "inactive"], done.stderr
    assert not list((board.home / ".config" / "systemd" / "user").glob("edgefeat-*"))


def test_a_full_disk_changes_nothing(board: Board, tmp_path: Path, two: Path) -> None:
    pack = unpacked(two, tmp_path, "--for", "this", "--engine", "onnxruntime", "--offline")
    set_in_pack(pack, "pack_disk", "1")
    # The board's home with room for 30 MB more; root in a namespace of its own is allowed to make that.
    script = (
        'mount -t tmpfs -o size=30m tmp "$1" && mkdir "$1/upper" "$1/work" && '
        'mount -t overlay -o "userxattr,lowerdir=$2,upperdir=$1/upper,workdir=$1/work" overlay "$2" && '
        'HOME=$2 sh "$3/install.sh"; status=$?; readlink "$2/.local/share/edgefeat/current"; '
        '"$2/.local/bin/edgefeat" verify "$2/.local/share/edgefeat/current/bundle" >/dev/null; '
        'echo "$? $(ls "$2/.local/share/edgefeat/environments" | wc -l)"; exit $status'
    )
    room = tmp_path / "room"
    room.mkdir()
    environments = len(list((board.root / "environments").iterdir()))
    command: list[str | Path] = [
        "unshare",
        "--user",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        script,
        "sh",
        room,
        board.home,
        pack,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "mount" in done.stderr or "unshare" in done.stderr:
        pytest.skip(f"no overlay in a namespace here: {done.stderr.strip().splitlines()[0]}")
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stderr.startswith("edgefeat: the disk is full"), done.stderr
    assert done.stdout.splitlines()[-2:] == [f"releases/{board.current}", f"0 {environments}"]


def test_too_little_disk_is_said_before_anything_is_installed(board: Board, tmp_path: Path, two: Path) -> None:
    pack = unpacked(two, tmp_path, "--for", "this")
    set_in_pack(pack, "pack_disk", "999999999")
    done = install(pack, tmp_path / "home")
    assert done.returncode == 1
    assert "MB free at" in done.stderr
    assert "(needed: 999999999 MB)" in done.stderr


def test_a_pack_for_another_processor_is_refused(tmp_path: Path, first: object, one: Path) -> None:
    other = "linux-x86_64" if os.uname().machine == "aarch64" else "pi-trixie-64"
    done = install(unpacked(one, tmp_path, "--for", other), tmp_path / "home")
    assert done.returncode == 1
    assert done.stderr.startswith("edgefeat: this pack is for ")
    assert done.stderr.count("\n") == 1


def test_a_pack_that_was_damaged_is_refused(tmp_path: Path, first: object, one: Path) -> None:
    pack = unpacked(one, tmp_path, "--for", "this")
    with (pack / "bundle" / "tflite-float32.tflite").open("r+b") as stream:
        stream.write(b"damage")
    done = install(pack, tmp_path / "home")
    assert done.returncode == 1
    assert "damaged on its way" in done.stderr
    assert not (tmp_path / "home" / ".local" / "share" / "edgefeat" / "current").exists()


def test_removal_leaves_nothing_but_the_users_files(board: Board, hosts: Network) -> None:
    (board.home / "photos.db").write_bytes(b"mine")
    done = hosts.deploy("--remove", "board")
    assert done.returncode == 0, done.stderr
    assert not board.root.exists()
    assert not (board.home / ".local" / "bin" / "edgefeat").is_symlink()
    assert (board.home / "photos.db").read_bytes() == b"mine"


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is not installed")
@pytest.mark.parametrize("name", ["install.sh", "probe.sh"])
def test_the_scripts_have_no_fault_that_shellcheck_knows(name: str) -> None:
    import edgefeat

    script = Path(edgefeat.__file__).parent / "_commands" / "deploy" / "board" / name
    done = subprocess.run(["shellcheck", "-s", "sh", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
