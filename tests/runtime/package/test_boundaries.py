"""What the device's half may load and name, and how the command line behaves at its edges."""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import edgefeat
from edgefeat._engines.registry import ENGINES
from edgefeat._version import install_command

Run = Callable[..., subprocess.CompletedProcess[str]]

SOURCES = Path(edgefeat.__file__).parent
WORKSTATION = {
    "tensorflow",
    "keras",
    "tf2onnx",
    "onnx",
    "edgefeat_export",
    "edgefeat_bench",
    "sklearn",
    "ai_edge_quantizer",
}
ENGINE_MODULES = {engine.module for engine in ENGINES}
DEVICE = {"edgefeat", "numpy", "PIL", "click", "tqdm", "pyarrow", "pillow_heif"} | ENGINE_MODULES


def loaded_by(program: str, cwd: Path) -> set[str]:
    """The top-level modules that a fresh process has loaded after `program`."""
    shown = f"{program}\nimport sys; print('loaded:', *{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", shown], cwd=cwd, check=True, capture_output=True, text=True)
    return set(done.stdout.rpartition("loaded:")[2].split())


def test_importing_edgefeat_loads_no_engine_and_nothing_of_the_workstation(tmp_path: Path) -> None:
    for program in ("import edgefeat", "from edgefeat import *"):
        loaded = loaded_by(program, tmp_path)
        assert "edgefeat" in loaded
        assert not loaded & (WORKSTATION | ENGINE_MODULES | {"tqdm", "click", "pyarrow"})


def test_extracting_loads_nothing_of_the_workstation(one_tap: Path, photos: list[str], tmp_path: Path) -> None:
    arguments = ["extract", str(one_tap), *photos]
    loaded = loaded_by(f"from edgefeat.__main__ import main\nassert main({arguments!r}) == 0", tmp_path)
    engine = edgefeat.load(one_tap).engine
    (module,) = [other.module for other in ENGINES if other.name == engine]
    assert module in loaded
    assert not loaded & (WORKSTATION | (ENGINE_MODULES - {module}) | {"tqdm", "pyarrow"})


def test_the_public_names_are_those_listed() -> None:
    assert dir(edgefeat) == sorted(edgefeat.__all__)
    assert len(set(edgefeat.__all__)) == len(edgefeat.__all__)
    assert all(getattr(edgefeat, name).__doc__ for name in edgefeat.__all__ if name[0].isupper() and name != "VARIANTS")


# Modules that are for another library's users, or for very many photos, and what they may import beyond that.
SERVER = {"starlette", "uvicorn", "python_multipart", "prometheus_client", "orjson", "uvloop"}
ADAPTERS = {"sklearn.py": {"sklearn"}, "_search/index.py": {"usearch"}}
SERVICES = {"_commands/services/serve/": SERVER, "_commands/services/watch/": {"watchfiles"}}


def test_the_sources_import_what_a_device_has_and_never_name_the_workstation() -> None:
    for path in SOURCES.rglob("*.py"):
        source = path.read_text(encoding="utf-8")
        name = path.relative_to(SOURCES).as_posix()
        allowed = DEVICE | set(sys.stdlib_module_names) | ADAPTERS.get(name, set())
        allowed |= {module for start, modules in SERVICES.items() if name.startswith(start) for module in modules}
        assert set(imported(ast.parse(source))) <= allowed, path
        assert not re.search(r"\b(tensorflow|tf2onnx|edgefeat_export|edgefeat_bench)\b", source), path


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            yield str(node.module).partition(".")[0]


@pytest.fixture
def bare(tmp_path: Path, edgefeat_command: Run) -> Run:
    """Runs the command line where edgefeat, NumPy, Pillow and click are, and no engine and nothing else at all."""
    folder = tmp_path / "bare"
    folder.mkdir()
    site = Path(str(importlib.metadata.distribution("numpy").locate_file(""))).resolve()
    names = ["numpy", "numpy.libs", "PIL", "pillow.libs", "Pillow.libs", "click"]
    wanted = [site / name for name in names if (site / name).exists()]
    wanted += Path(str(importlib.metadata.distribution("edgefeat").locate_file(""))).glob("edgefeat-*.dist-info")
    for package in ("edgefeat", "edgefeat_export"):
        spec = importlib.util.find_spec(package)  # imports neither
        wanted += [Path(str(spec.origin)).parent] if spec is not None else []
    for path in wanted:
        (folder / path.name).symlink_to(path, target_is_directory=True)

    def run(*arguments: str | os.PathLike[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-S", "-m", "edgefeat", *[os.fspath(argument) for argument in arguments]],
            env={**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
            cwd=tmp_path,
            check=False,
            capture_output=True,
            text=True,
        )

    return run


@pytest.mark.skipif(os.name != "posix", reason="makes symbolic links")
def test_without_its_extra_serve_names_the_command_that_brings_it(bare: Run, tmp_path: Path) -> None:
    done = bare("serve", tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.search(r": pip install \S.*\[serve\]'\n  see docs/install\.md\n$", done.stderr)
    for command in ("serve", "watch"):
        assert bare(command, "--help").returncode == 0


@pytest.mark.skipif(os.name != "posix", reason="makes symbolic links")
def test_without_its_extra_export_names_the_command_that_brings_it(bare: Run) -> None:
    expected = f"install with: {install_command('export')}\n  see docs/install.md\n"
    for arguments in (["mobilenet_v2", "--alpha", "0.35", "-o", "out"], [], ["--help"]):
        done = bare("export", *arguments)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("edgefeat: exporting requires tensorflow, keras, ")
        assert done.stderr.endswith(expected)
    done = bare("--help")
    assert done.returncode == 0
    assert re.search(r"^  export +\(not installed\) ", done.stdout, re.MULTILINE)


@pytest.mark.skipif(os.name != "posix", reason="makes symbolic links")
def test_without_any_engine_the_command_that_brings_one_is_named(bare: Run, one_tap: Path, photos: list[str]) -> None:
    for command in (["extract", str(one_tap), *photos], ["verify", str(one_tap)]):
        done = bare(*command)
        assert (done.returncode, done.stdout) == (1, "")
        assert re.fullmatch(
            r"edgefeat: no engine is installed; install one with: pip install (-e )?'.*\[.*\n  see docs/install\.md\n",
            done.stderr,
        )
    done = bare("info", one_tap)
    assert done.returncode == 0
    assert "cannot run here: no engine is installed" in done.stdout


def test_help_lists_the_commands(edgefeat_command: Run) -> None:
    for option in ("-h", "--help"):
        done = edgefeat_command(option)
        assert (done.returncode, done.stderr) == (0, "")
        assert {"extract", "info", "verify"} <= {line.split()[0] for line in done.stdout.splitlines() if line}
    workstation, _, device = done.stdout.partition("On the workstation:\n")[2].partition("\nOn the device:\n")
    for section, wanted in ((workstation, ("export",)), (device, ("extract", "search", "info", "verify"))):
        assert set(wanted) <= {line.split()[0] for line in section.splitlines() if line.startswith("  ")}
    assert "..." not in workstation + device  # no line is cut off
    for command in ("extract", "info", "verify"):
        done = edgefeat_command(command, "--help")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith(f"Usage: edgefeat {command} ")
    assert edgefeat_command("--version").stdout == f"edgefeat, version {edgefeat.__version__}\n"


def test_an_unknown_command_is_wrong_use(edgefeat_command: Run) -> None:
    done = edgefeat_command("extrakt", "x")
    assert (done.returncode, done.stdout) == (2, "")
    assert "No such command 'extrakt'" in done.stderr
    assert re.search(r"\(allowed: .*extract, info, .*verify, watch\)", done.stderr)


def test_the_installed_command_is_the_same(one_tap: Path) -> None:
    command = Path(sys.executable).with_name("edgefeat")
    if not command.exists():
        pytest.skip("edgefeat is not installed in this environment")
    done = subprocess.run([command, "verify", one_tap, "--engine", "tpu"], check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("edgefeat: engine 'tpu' is unknown")


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_a_file_name_that_cannot_be_printed_ends_nothing(edgefeat_command: Run, one_tap: Path, encoding: str) -> None:
    name = os.fsdecode(b"caf\xe9 ") + "写真.png"
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "1"}
    done = edgefeat_command("extract", one_tap, name, env=environment, errors="replace")
    assert done.returncode == 1
    assert ".png: no such file\n" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs Linux's /dev/full")
def test_a_full_disk_behind_standard_output_fails_in_a_sentence(edgefeat_command: Run) -> None:
    with open("/dev/full", "w") as full:
        done = edgefeat_command("info", stdout=full)
    assert (done.returncode, done.stderr) == (1, "edgefeat: [Errno 28] No space left on device\n")


def test_a_reader_that_leaves_is_no_failure(edgefeat_command: Run) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = edgefeat_command("info", stdout=writer)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")
