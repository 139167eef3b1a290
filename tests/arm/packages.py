"""Debian packages of another release or processor, fetched and unpacked without root and without installing them."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ArmError", "Release", "UnavailableError", "fetch", "fetch_alone", "fetch_source", "sysroot", "unpack"]

# Seconds between two tries of apt-get.
_PAUSES = (5.0, 30.0)
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


class ArmError(Exception):
    """The emulated machine cannot be made or something on it failed; the text is a sentence for the user."""


class UnavailableError(ArmError):
    """A tool, mirror or package index that the emulated machine requires is not available here."""


@dataclass(frozen=True, slots=True)
class Release:
    """A Debian release for one processor, such as `Release("bookworm", "arm64")`."""

    suite: str
    architecture: str

    def __str__(self) -> str:
        return f"{self.suite}-{self.architecture}"


def sysroot(release: Release, names: Sequence[str], *, work: Path) -> Path:
    """A folder with those packages and all they need, unpacked but never configured: made once, then kept.

    What maintainers' scripts would do, links to alternatives above all, is not done.
    """
    root = work / "sysroots" / f"{release}-{_digest(names)}"
    if root.is_dir():
        return root
    archives = fetch(release, names, work=work)
    making = root.with_name(f"{root.name}.part")
    shutil.rmtree(making, ignore_errors=True)
    for name in ("bin", "sbin", "lib"):
        (making / "usr" / name).mkdir(parents=True)
        (making / name).symlink_to(f"usr/{name}")
    # A 64-bit x86 loader lies in /lib64.
    (making / "usr" / "lib64").mkdir()
    (making / "lib64").symlink_to("usr/lib64")
    unpack(archives, making)
    making.rename(root)
    return root


def fetch(release: Release, names: Sequence[str], *, work: Path) -> list[Path]:
    """The `.deb` files of those packages and of all that they need, downloaded once."""
    folder = _apt_folder(release, work)
    archives = folder / f"archives-{_digest(names)}"
    done = archives / "complete"
    if not done.exists():
        (archives / "partial").mkdir(parents=True, exist_ok=True)
        _run_apt(folder, ["update"])
        _run_apt(folder, ["--yes", "--download-only", "-o", f"Dir::Cache::archives={archives}", "install", *names])
        done.touch()
    return sorted(archives.glob("*.deb"))


def fetch_alone(release: Release, name: str, *, work: Path) -> Path:
    """The `.deb` file of one package without what it needs, downloaded once: for programs that need nothing."""
    folder = _apt_folder(release, work)
    found = sorted((folder / "cache").glob(f"{name}_*.deb"))
    if not found:
        _run_apt(folder, ["update"])
        _run_apt(folder, ["download", name], cwd=folder / "cache")
        found = sorted((folder / "cache").glob(f"{name}_*.deb"))
    return found[0]


def unpack(packages: Iterable[Path], root: Path) -> None:
    """Unpack the files of `.deb` packages into the folder."""
    for package in packages:
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE) as archive:
            subprocess.run(
                ["tar", "-x", "--keep-directory-symlink", "--no-same-owner", "-C", root],
                stdin=archive.stdout,
                check=True,
            )
        if archive.returncode:
            raise ArmError(f"{package.name} cannot be unpacked: delete {package} and try again")


def fetch_source(suite: str, name: str, *, work: Path) -> Path:
    """The original source archive of a package, downloaded once."""
    folder = _apt_folder(Release(suite, "amd64"), work)
    found = sorted((folder / "cache").glob(f"{name}_*.orig.tar.*"))
    if not found:
        _run_apt(folder, ["update"])
        _run_apt(folder, ["source", "--download-only", name], cwd=folder / "cache")
        found = sorted((folder / "cache").glob(f"{name}_*.orig.tar.*"))
    return found[0]


def _digest(names: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:8]


def _apt_folder(release: Release, work: Path) -> Path:
    """An apt configuration of its own that knows nothing of what this machine has installed."""
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise UnavailableError(
            "apt-get and dpkg-deb are needed to fetch Debian's packages (allowed: Debian or its kin)"
        )
    keyring = os.environ.get("DEB_KEYRING", _KEYRING)
    if not os.path.exists(keyring):
        raise UnavailableError(
            f"Debian's keys are not at {keyring}: apt-get install debian-archive-keyring, or set DEB_KEYRING"
        )
    folder = (work / "apt" / str(release)).resolve()
    for part in ("lists/partial", "cache/archives/partial", "preferences"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    (folder / "status").touch()
    lines = [f"{kind} [arch={release.architecture} signed-by={keyring}] {_mirror()} {release.suite} main"
             for kind in ("deb", "deb-src")]  # fmt: skip
    (folder / "sources.list").write_text("\n".join(lines) + "\n")
    settings = {
        "APT::Architecture": release.architecture,
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "",
        "Dir::State": folder,
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder / "cache",
        "Dir::Etc::sourcelist": folder / "sources.list",
        "Dir::Etc::sourceparts": "-",
        "Dir::Etc::preferencesparts": folder / "preferences",
        "Acquire::Languages": "none",
        "Acquire::Retries": 3,
        "Debug::NoLocking": "true",
        # The machine's own settings may say to throw packages away.
        "Binary::apt::APT::Keep-Downloaded-Packages": "true",
        "APT::Keep-Downloaded-Packages": "true",
    }
    text = [f'{name} "{value}";' for name, value in settings.items()]
    text += [
        f'APT::Architectures {{ "{release.architecture}"; }};',
        "#clear DPkg::Post-Invoke;",
        "#clear APT::Update::Post-Invoke;",
        "#clear APT::Update::Post-Invoke-Success;",
    ]
    (folder / "apt.conf").write_text("\n".join(text) + "\n")
    return folder


def _mirror() -> str:
    """The Debian mirror that this machine already uses; $DEB_MIRROR names another."""
    if named := os.environ.get("DEB_MIRROR"):
        return named
    told = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(REPO_URI)", "Created-By: Packages"],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    for line in told.stdout.splitlines():
        origin, label, address = line.split("|", 2)
        if origin == label == "Debian":
            return address
    raise UnavailableError("apt knows no Debian mirror here: run apt-get update, or set DEB_MIRROR to one's address")


def _run_apt(folder: Path, arguments: Sequence[str], cwd: Path | None = None) -> None:
    """Run apt, and try again on failure: a mirror refuses requests for some seconds while it is updated."""
    for pause in (*_PAUSES, None):
        done = subprocess.run(
            ["apt-get", "-qq", *arguments],
            env={**os.environ, "APT_CONFIG": str(folder / "apt.conf"), "DEBIAN_FRONTEND": "noninteractive"},
            cwd=cwd, check=False, capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode == 0:
            return
        if pause is not None:
            time.sleep(pause)
    raise UnavailableError(f"apt-get {' '.join(arguments)} failed for {folder.name}: {done.stderr.strip()}")
