"""README's and docs' commands run as printed, in a new home folder; those that cannot are listed with the reason.

`make test-docs` also runs those that install something or take many seconds.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.docs.commands import PAGES, REASONS, ROOT, Command, commands, reason_against, slow
from tests.runtime.deploy.boards import network, require_sshd

ALL = os.environ.get("EDGEFEAT_DOCS") == "all"
EVERY = [command for page in PAGES for command in commands(page)]
LOCAL = (".venv", ".venv-*", ".git", ".arm", "dist", "build", "results", "node_modules", "__pycache__", ".*_cache")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's home folder with a clone of the project, photos and a bundle, as the pages assume them."""
    home = tmp_path_factory.mktemp("reader")
    clone = home / "edgefeat-clone"
    shutil.copytree(ROOT, clone, ignore=shutil.ignore_patterns(*LOCAL), symlinks=True)
    random = np.random.default_rng(1)
    for folder in (clone / "photos", home / "Pictures"):
        folder.mkdir(exist_ok=True)
        for index in range(4):
            pixels = random.integers(0, 255, (96, 128, 3), np.uint8)
            Image.fromarray(pixels).save(folder / f"{index}.jpg")
    for name in ("query.jpg", "another.jpg", "reference.jpg"):
        shutil.copy(clone / "photos" / "0.jpg", clone / name)
    for name in ("mobilenet_v2.edgefeat", "mobilenet_v2_0.35_224.edgefeat"):
        shutil.copytree(ROOT / "tests" / "data" / "one_tap.edgefeat", clone / name)
    # As `edgefeat deploy` leaves it on a board.
    shutil.copytree(clone / "mobilenet_v2.edgefeat", home / ".local" / "share" / "edgefeat" / "current" / "bundle")
    return home


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_commands_of_a_page_run_as_printed(page: Path, home: Path) -> None:
    todo = [one for one in commands(page) if reason_against(one) is None and (ALL or not slow(one))]
    if not todo:
        pytest.skip("no command of this page is run here")
    failed = []
    for command in todo:
        done = _run(command, home)
        if done.returncode:
            failed.append(f"{command}\n{done.stdout[-1000:]}{done.stderr[-2000:]}")
    if any("No matching distribution" in said or "NewConnectionError" in said for said in failed):
        pytest.skip("no package index here")
    assert not failed, "\n".join(failed)


def test_a_command_that_is_not_run_has_a_reason_and_every_reason_a_command() -> None:
    for command in EVERY:
        if (reason := reason_against(command)) is not None:
            print(f"not run: {command} ({reason})")
    unused = [pattern for pattern, _ in REASONS if not any(re.search(pattern, one.text) for one in EVERY)]
    # Reasons for pages that may come: whoever adds such a command need not look here.
    assert [one for one in unused if not one.startswith((r"^make (test-", "^edgefeat (watch", "^(curl"))] == []


def test_every_edgefeat_command_can_be_parsed() -> None:
    """Options that no longer exist would be found here, also in commands that are not run."""
    import shlex

    import click

    from edgefeat._commands.cli.click_group import edgefeat as group

    parsed = 0
    for one in EVERY:
        found = re.search(r"(?:^|\| )(?:~/edgefeat/bin/)?edgefeat (\S.*)$", one.text)
        if found is None:
            continue
        name, *words = shlex.split(found[1])
        command = group.get_command(click.Context(group), name)
        assert command is not None, f"{one}: there is no command {name}"
        if "(not installed)" in (command.short_help or ""):
            continue
        command.make_context(name, words)
        parsed += 1
    assert parsed > 30


def test_the_pages_install_the_version_of_the_sources() -> None:
    command: list[str | Path] = [sys.executable, ROOT / ".ci" / "install_lines.py", "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_once_published_one_constant_changes_every_line(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    for name in ("README.md", "docs", ".ci", "runtime/edgefeat/_version.py"):
        target = clone / name
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, target)
    version = clone / "runtime" / "edgefeat" / "_version.py"
    version.write_text(version.read_text().replace("PUBLISHED = False", "PUBLISHED = True"))
    command: list[str | Path] = [sys.executable, clone / ".ci" / "install_lines.py"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    pages = "".join(page.read_text() for page in [clone / "README.md", *(clone / "docs").rglob("*.md")])
    assert "pip install 'edgefeat[litert]'" in pages
    assert "pip install 'edgefeat[export]'" in pages
    assert not re.search(r"pip install '\.", pages)
    assert "a wheel is no longer needed" in done.stdout


def test_the_playbook_installs_the_pack(tmp_path: Path) -> None:
    require_sshd()
    if not ALL or not shutil.which("ansible-playbook"):
        pytest.skip("`make test-docs` runs it, with ansible-core")
    page = (ROOT / "docs" / "deploy.md").read_text()
    (playbook,) = re.findall(r"^```yaml\n(- hosts.*?)^```", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "deploy.yml").write_text(playbook)
    (tmp_path / "inventory.ini").write_text("[boards]\nboard\n")
    pack = ["pack", str(ROOT / "tests" / "data" / "one_tap.edgefeat"), "--for", "this", "-o", "board.tar.gz"]
    subprocess.run([sys.executable, "-m", "edgefeat", *pack], cwd=tmp_path, check=True, capture_output=True)
    with network(tmp_path) as hosts:
        board = hosts.board("board")
        environment = {**hosts.environment, "ANSIBLE_SSH_TRANSFER_METHOD": "piped", "HOME": str(tmp_path)}
        command = ["ansible-playbook", "-i", "inventory.ini", "deploy.yml"]
        for changed in ("changed=2", "changed=0"):
            done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
            assert changed in done.stdout
            assert board.current is not None


def _run(command: Command, home: Path) -> subprocess.CompletedProcess[str]:
    """Run it in a shell in the clone, with the environments that the pages make before the one of the tests."""
    wheel = home / "edgefeat-clone"
    for built in (wheel / "dist").glob("*.whl"):  # copied with scp
        shutil.copy(built, wheel)
    made = [home / "edgefeat-env" / "bin"] if (ALL and "pip" in command.text) or command.text.startswith("make") else []
    path = os.pathsep.join([*map(str, made), str(Path(sys.executable).parent), "/usr/local/bin:/usr/bin:/bin"])
    environment = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH")}
    environment |= {"HOME": str(home), "PATH": path, "EDGEFEAT_CACHE": str(home / "cache")}
    return subprocess.run(
        ["sh", "-ec", command.text], cwd=wheel, env=environment, stdin=subprocess.DEVNULL, capture_output=True,
        text=True, check=False,
    )  # fmt: skip


@pytest.fixture(autouse=True)
def _no_warning_of_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONWARNINGS", "ignore:Pillow")
