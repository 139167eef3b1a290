"""QEMU with plugins, which no Debian package has: built from Debian's source, with the plugin that counts."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.arm.packages import ArmError, Release, fetch, fetch_source, unpack

__all__ = ["counting_qemu"]

_SUITE = "trixie"  # QEMU 10
# Built against the older release's GLib, so that it runs on both.
_LIBRARIES = Release("bookworm", "amd64")
# QEMU's configure is offline: it takes these from the folder where its own release has them and Debian's has not.
_WHEELS = ("meson==1.5.0", "pycotap==1.3.1")
_TOOLS = ("gcc", "ninja", "pkg-config", "xz")


def counting_qemu(work: Path) -> tuple[Path, Path]:
    """The emulator for 64-bit ARM and the plugin, built once in some minutes and then kept."""
    folder = work.resolve() / "qemu-counting"
    emulator, plugin = folder / "qemu-aarch64", folder / "marks.so"
    source = Path(__file__).with_name("marks.c")
    if not emulator.exists() or not (folder / "include").is_dir():
        _build(folder, work)
    if not plugin.exists() or plugin.stat().st_mtime < source.stat().st_mtime:
        flags = subprocess.run(
            ["pkg-config", "--cflags", "glib-2.0"], env=_pkg_config(folder / "libraries"), check=True,
            capture_output=True, text=True,
        ).stdout.split()  # fmt: skip
        _run(["gcc", "-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-I", folder / "include", *flags,
              "-o", plugin, source], folder)  # fmt: skip
    return emulator, plugin


def _build(folder: Path, work: Path) -> None:
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if missing:
        packages = " ".join({"ninja": "ninja-build", "xz": "xz-utils"}.get(tool, tool) for tool in missing)
        raise ArmError(f"counting needs {', '.join(missing)} to build QEMU: apt-get install {packages} libc6-dev")
    shutil.rmtree(folder, ignore_errors=True)
    libraries, tree = folder / "libraries", folder / "source"
    for made in (libraries / "usr" / "lib", tree):
        made.mkdir(parents=True)
    (libraries / "lib").symlink_to("usr/lib")
    packages_ = fetch(_LIBRARIES, ["libglib2.0-dev"], work=work)
    # The compiler's own C library, not this older one.
    unpack((one for one in packages_ if not one.name.startswith(("libc6", "linux-libc-dev", "libc-bin"))), libraries)
    _run(["tar", "-x", "--strip-components=1", "-f", fetch_source(_SUITE, "qemu", work=work), "-C", tree], folder)
    _run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "-d", tree / "python" / "wheels", *_WHEELS],
         folder)  # fmt: skip
    build = tree / "build"
    build.mkdir()
    found = f"{libraries}/usr/lib/x86_64-linux-gnu"
    _run(
        [
            "../configure", f"--python={sys.executable}", "--target-list=aarch64-linux-user", "--enable-plugins",
            "--disable-system", "--disable-docs", "--disable-tools", "--disable-werror", "--disable-debug-info",
            "--disable-install-blobs", f"--extra-ldflags=-Wl,-rpath-link,{found} -Wl,-rpath,{found}",
        ],
        build, _pkg_config(libraries),
    )  # fmt: skip
    _run(["ninja", "qemu-aarch64"], build, _pkg_config(libraries))
    shutil.copytree(tree / "include" / "qemu", folder / "include")
    shutil.copy2(build / "qemu-aarch64", folder)
    shutil.rmtree(tree)


def _pkg_config(libraries: Path) -> dict[str, str]:
    folders = (libraries / "usr/lib/x86_64-linux-gnu/pkgconfig", libraries / "usr/share/pkgconfig")
    found = ":".join(map(str, folders))
    return {**os.environ, "PKG_CONFIG_LIBDIR": found, "PKG_CONFIG_SYSROOT_DIR": str(libraries)}


def _run(command: Sequence[str | Path], cwd: Path, environment: dict[str, str] | None = None) -> None:
    done = subprocess.run(command, cwd=cwd, env=environment, check=False, capture_output=True, text=True)
    if done.returncode:
        said = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise ArmError(f"{Path(command[0]).name} failed while QEMU was built: {said}")
