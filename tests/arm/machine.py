"""An emulated machine: Debian's Python for ARM, and a virtual environment in it whose interpreter is the emulator."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.arm.boards import Board, System
from tests.arm.packages import ArmError, Release, UnavailableError, fetch_alone, sysroot, unpack

__all__ = ["EMULATOR", "Machine", "arm_machine", "complete", "pip_install", "project_wheel", "qemu", "x86_machine"]

#: The variable that names another emulator for one run.
EMULATOR = "EDGEFEAT_ARM_EMULATOR"

# QEMU 10 makes /proc/cpuinfo from the processor that it emulates. Before, libraries read the host's, and crashed.
_QEMU = "trixie"
# pip looks into the interpreter's file to learn whether 32-bit ARM has a floating-point unit; ours is a script.
_RUN_PIP = """
import runpy, sys
sys.executable = sys.argv[1]
del sys.argv[:2]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
_SIBLINGS = ("cluster_cpus_list", "core_siblings_list", "package_cpus_list")
_TESTING = ("pytest>=8", "pytest-timeout>=2.3", "hypothesis>=6.100")
_TRIPLETS = {"arm64": "aarch64-linux-gnu", "armhf": "arm-linux-gnueabihf", "amd64": "x86_64-linux-gnu"}


@dataclass(frozen=True, slots=True)
class Machine:
    """A system that can run programs: `python` is a script that starts its interpreter, wherever it is called from."""

    system: System
    root: Path
    python: Path
    native: bool

    def run(
        self,
        arguments: Sequence[str | os.PathLike[str]],
        *,
        board: Board | None = None,
        cwd: Path | None = None,
        environment: dict[str, str] | None = None,
        timeout: float | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Runs its Python with those arguments; what it prints is there as text."""
        return subprocess.run(
            [self.python, *arguments],
            env={**clean_environment(board), **(environment or {})},
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=timeout,
            cwd=cwd,
        )


def clean_environment(board: Board | None) -> dict[str, str]:
    """Return this process's environment without the host's Python variables, and with the board's processor."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV", "QEMU"))}
    return kept if board is None else {**kept, "QEMU_CPU": board.cpu}


def qemu(work: Path, target: str, suite: str = _QEMU) -> Path:
    """The emulator of that target, `aarch64` or `arm`, for programs of Linux; it is linked statically."""
    name, suffix = ("qemu-user", "") if suite == _QEMU else ("qemu-user-static", "-static")
    folder = work / f"qemu-{suite}"
    if not folder.is_dir():
        making = folder.with_name(f"{folder.name}.part")
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir(parents=True)
        unpack([fetch_alone(Release(suite, "amd64"), name, work=work)], making)
        making.rename(folder)
    return folder.resolve() / "usr" / "bin" / f"qemu-{target}{suffix}"


def x86_machine(system: System, *, work: Path, wheel: Path) -> Machine:
    """The same system on x86, run without an emulator: what features are compared with, and who compiles byte code."""
    root = sysroot(Release(system.suite, "amd64"), system.reference_packages, work=work).resolve()
    libraries = f"{root}/usr/lib/{_TRIPLETS['amd64']}"
    start = f'"{root}/lib64/ld-linux-x86-64.so.2" --library-path "{libraries}" --argv0'
    python = _environment(work / "x86" / system.key, f"{start} @PYTHON@", root, system, shared=False)
    machine = Machine(system, root, python, native=True)
    _install(machine, machine, work=work, wheel=wheel, testing=False)
    return machine


def arm_machine(system: System, *, x86: Machine, work: Path, wheel: Path, testing: bool = True) -> Machine:
    """The system on ARM with the project's wheel and its engines, installed by pip as on the board itself.

    With `testing` also what `tests/runtime` needs. `x86` compiles byte code where its Python is of the same version.
    """
    root = sysroot(Release(system.suite, system.architecture), system.packages, work=work).resolve()
    complete(root, system)
    target = "aarch64" if system.bits == 64 else "arm"
    cpu = "cortex-a72" if system.bits == 64 else "cortex-a7"
    start = f'"${{{EMULATOR}:-{qemu(work, target)}}}" -cpu "${{QEMU_CPU:-{cpu}}}" -L "{root}" -0'
    python = _environment(work / "arm" / system.key, f"{start} @PYTHON@", root, system, shared=system.debian_python)
    machine = Machine(system, root, python, native=False)
    _install(machine, x86, work=work, wheel=wheel, testing=testing)
    return machine


def project_wheel(checkout: Path, work: Path) -> Path:
    """The project's wheel, built from the checkout as it is now."""
    with tempfile.TemporaryDirectory(dir=work) as folder:
        build: list[str | Path] = ["wheel", "--quiet", "--no-deps", "--wheel-dir", folder, checkout]
        done = subprocess.run([sys.executable, "-m", "pip", *build], check=False, capture_output=True, text=True)
        if done.returncode:
            raise ArmError(f"the project's wheel cannot be built: {done.stderr.strip()}")
        built = next(Path(folder).glob("*.whl"))
        kept = work / "wheels" / _content(built) / built.name  # another run may be installing another
        kept.parent.mkdir(parents=True, exist_ok=True)
        return built.replace(kept)


def _environment(folder: Path, start: str, root: Path, system: System, *, shared: bool) -> Path:
    """A virtual environment made by hand; `@PYTHON@` in the start stands for its own interpreter.

    Python finds its environment by the name it was started by, so `sys.executable` is this script, and a child started
    with it runs as its parent does.
    """
    binaries = folder.resolve() / "bin"
    binaries.mkdir(parents=True, exist_ok=True)
    (folder / "lib" / f"python{system.python}" / "site-packages").mkdir(parents=True, exist_ok=True)
    # The host's path of it: in 32 bits the emulator asks for a file's state without looking below the sysroot.
    settings = f"home = {root}/usr/bin\ninclude-system-site-packages = {str(shared).lower()}\n"
    (folder / "pyvenv.cfg").write_text(settings)
    python = binaries / "python"
    program = f'"{root}/usr/bin/python{system.python}"'
    python.write_text(f'#!/bin/sh\nexec {start.replace("@PYTHON@", str(python))} {program} "$@"\n')
    python.chmod(0o755)
    return python


def complete(root: Path, system: System) -> None:
    """Add what an unconfigured sysroot lacks: links to alternatives, and a board's processors."""
    libraries = root / "usr" / "lib" / _TRIPLETS[system.architecture]
    for name in ("blas/libblas.so.3", "lapack/liblapack.so.3"):
        link = libraries / Path(name).name
        if (libraries / name).exists() and not link.is_symlink():
            link.symlink_to(name)
    # A file below the sysroot stands for the host's: four cores in one cluster, as each board since the Pi 2 has.
    # The library by which LiteRT and ONNX Runtime know a processor crashes where that says less, or another thing.
    processors = root / "sys" / "devices" / "system" / "cpu"
    for core in range(4):
        folder = processors / f"cpu{core}"
        _write({folder / "topology" / name: "0-3" for name in _SIBLINGS})
        _write({folder / "topology" / "physical_package_id": 0, folder / "topology" / "core_id": core})
        _write({folder / "cpufreq" / "cpuinfo_max_freq": 1400000, folder / "cpufreq" / "cpuinfo_min_freq": 600000})
        cache = folder / "cache" / "index2"
        _write({cache / "level": 2, cache / "size": "1024K", cache / "shared_cpu_list": "0-3"})
    _write({processors / name: "0-3" for name in ("possible", "present", "online")})
    _write({processors / "kernel_max": 255})


def _write(facts: dict[Path, object]) -> None:
    for path, value in facts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n")


def _install(machine: Machine, x86: Machine, *, work: Path, wheel: Path, testing: bool) -> None:
    """Run pip with the machine's own Python, so that its markers and tags apply."""
    folder = machine.python.parents[1]
    done = folder / ".installed"
    stamp = f"{wheel.parent.name}, with tests" if testing else wheel.parent.name
    if done.exists() and done.read_text().startswith(stamp):  # what has the tests is good without them too
        return
    is_there = any((folder / "lib").rglob("edgefeat-*.dist-info"))
    extras = f"[{','.join(machine.system.extras)}]" if machine.system.extras else ""
    wanted = [f"{wheel}{extras}", *(_TESTING if testing else ())]
    library = machine.root / "usr" / "lib"
    _compile(x86, machine, _pip(work), library / f"python{machine.system.python}", library / "python3")
    pip_install(machine, wanted, work)
    if is_there:  # of the same version, and perhaps with other content
        pip_install(machine, ["--force-reinstall", "--no-deps", str(wheel)], work)
    _compile(x86, machine, folder / "lib")
    done.write_text(stamp)


def pip_install(machine: Machine, arguments: Sequence[str], work: Path) -> None:
    """`pip install` on that machine: wheels only, without byte code."""
    program = machine.root / "usr" / "bin" / f"python{machine.system.python}"
    options = ["--quiet", "--no-compile", "--no-warn-script-location", "--only-binary=:all:"]
    told = machine.run(
        ["-c", _RUN_PIP, program, _pip(work), "install", *options, *arguments],
        environment={"PIP_CACHE_DIR": str((work / "pip-cache").resolve()), "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
    )
    if told.returncode:
        # No package for this board, or an emulator that cannot run pip, which is no fault of ours.
        beyond_us = ("No matching distribution", "Could not fetch", "stack smashing detected", "uncaught target signal")
        kind = UnavailableError if any(words in told.stderr for words in beyond_us) else ArmError
        raise kind(f"pip cannot install {arguments[0]} on {machine.system.key}: {told.stderr.strip()}")


def _compile(x86: Machine, machine: Machine, *folders: Path) -> None:
    """Byte code: without it each import costs seconds under emulation."""
    if x86.system.python == machine.system.python:
        x86.run(["-m", "compileall", "-q", "-j0", *(folder for folder in folders if folder.is_dir())])


def _content(wheel: Path) -> str:
    """A hash of what the wheel holds, leaving out when it was packed."""
    with zipfile.ZipFile(wheel) as archive:
        facts = [f"{entry.filename} {entry.CRC}" for entry in archive.infolist()]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]


def _pip(work: Path) -> Path:
    """A pip to be run by any Python, unpacked from its wheel."""
    folder = work / "pip"
    if not (folder / "pip").is_dir():
        fetch: list[str | Path] = ["download", "--quiet", "--no-deps", "--dest", folder, "pip>=25"]
        done = subprocess.run([sys.executable, "-m", "pip", *fetch], check=False, capture_output=True, text=True)
        if done.returncode:
            raise UnavailableError(f"pip cannot be downloaded: {done.stderr.strip()}")
        shutil.unpack_archive(next(folder.glob("pip-*.whl")), folder, "zip")
    return (folder / "pip").resolve()
