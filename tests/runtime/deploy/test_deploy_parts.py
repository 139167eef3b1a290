"""The parts of a deployment: targets, services as units, what a board says of itself, the wheel, the pack."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import edgefeat
from edgefeat._commands.deploy.device_wheel import device_wheel
from edgefeat._commands.deploy.facts import parse_facts
from edgefeat._commands.deploy.services import parse_service
from edgefeat._commands.deploy.target import board_target, engine_for, target_named

DATA = Path(__file__).parents[2] / "data"
ONE = DATA / "one_tap.edgefeat"
PI5 = {"python": "3.13", "bits": "64", "machine": "aarch64", "glibc": "2.41"}


# --- targets --------------------------------------------------------------------------------------------------------


def test_a_board_takes_wheels_up_to_its_own_c_library() -> None:
    tags = target_named("pi-bookworm-64").platforms()
    assert "manylinux_2_36_aarch64" in tags
    assert "manylinux_2_17_aarch64" in tags
    assert "manylinux2014_aarch64" in tags
    assert "manylinux_2_39_aarch64" not in tags
    assert all(tag.endswith("_aarch64") for tag in tags)


def test_a_board_says_what_it_is_and_gets_the_engine_for_it() -> None:
    pi5 = board_target(PI5)
    assert (pi5.bits, pi5.version, pi5.from_system) == (64, "3.13", ())
    assert engine_for(pi5, formats={"tflite", "onnx"}).name == "litert"
    assert engine_for(pi5, formats={"onnx"}).name == "onnxruntime"
    pi2 = board_target({"python": "3.11", "bits": "32", "machine": "armv7l", "glibc": "2.36"})
    assert (pi2.bits, pi2.from_system) == (32, ("numpy", "PIL"))
    assert engine_for(pi2, formats={"tflite"}).name == "tflite-runtime"


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"python": "3.9"}, r"3\.9 is too old .*allowed: 3\.11 or newer.*bookworm"),
        ({"machine": "armv6l", "bits": "32"}, "'armv6l' is not supported"),
        ({"machine": "armv7l", "bits": "32"}, "32-bit Python 3.13.*use the 64-bit system"),
        ({"glibc": "0"}, "not glibc"),
    ],
)
def test_a_board_that_cannot_have_it_is_refused_with_the_reason(changed: dict[str, str], reason: str) -> None:
    with pytest.raises(edgefeat.ArgumentError, match=reason):
        board_target({**PI5, **changed})


def test_a_board_without_python_is_told_how_to_get_it() -> None:
    with pytest.raises(edgefeat.ArgumentError, match="sudo apt install python3"):
        board_target({"kernel": "Linux"})


def test_unknown_targets_and_versions_are_refused_with_the_allowed_ones() -> None:
    with pytest.raises(edgefeat.ArgumentError, match=r"allowed: pi-trixie-64, .*this"):
        target_named("pi-jessie-64")
    with pytest.raises(edgefeat.ArgumentError, match=r"allowed: two numbers, such as 3\.13"):
        target_named("linux-x86_64", python="three")
    assert target_named("linux-x86_64", python="3.12").version == "3.12"
    with pytest.raises(edgefeat.ArgumentError, match="allowed: litert, onnxruntime"):
        engine_for(target_named("pi-trixie-64"), formats={"tflite"}, wanted="tflite-runtime")


def test_the_installer_refuses_an_old_python_itself() -> None:
    script = Path(edgefeat.__file__).parent / "_commands" / "deploy" / "board" / "check.py"
    old = (
        "import importlib.util, platform, runpy, struct, sys; sys.version_info = (3, 9, 2, 'final', 0); "
        "runpy.run_path(sys.argv.pop(), run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", old, script], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == "Python 3.9 is too old (needed: 3.11 or newer): use Raspberry Pi OS bookworm or newer\n"


# --- services -------------------------------------------------------------------------------------------------------


def test_a_service_runs_the_current_release_on_the_boards_home_folder() -> None:
    unit = parse_service("watch ~/incoming --into=~/photos.db --note '100% $HOME'").unit()
    (start,) = [line for line in unit.splitlines() if line.startswith("ExecStart=")]
    root = "%h/.local/share/edgefeat/current"
    assert start == (
        f'ExecStart="{root}/venv/bin/edgefeat" "watch" "{root}/bundle" "%h/incoming" "--into=%h/photos.db" "--note" '
        '"100%% $$HOME"'
    )
    for line in ("Type=notify", "Restart=on-failure", "WatchdogSec=120", "MemoryMax=60%", "WantedBy=default.target"):
        assert line in unit.splitlines()


@pytest.mark.parametrize("text", ["", "extract photos/", "watch 'a", "watch a\nExecStartPre=/bin/false"])
def test_other_commands_and_what_cannot_be_read_are_refused(text: str) -> None:
    with pytest.raises(edgefeat.ArgumentError, match=r"--service .*(allowed|close the quotes)"):
        parse_service(text)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
def test_systemd_finds_no_fault_in_a_unit(tmp_path: Path) -> None:
    unit = parse_service("""watch ~/incoming '~/a "folder" with spaces' --into ~/100%/$x\\\\y.db""").unit()
    # The program is on the board; here any will do.
    program = re.escape('"%h/.local/share/edgefeat/current/venv/bin/edgefeat"')
    (tmp_path / "edgefeat-watch.service").write_text(re.sub(program, "/bin/true", unit))
    command = ["systemd-analyze", "--user", "verify", str(tmp_path / "edgefeat-watch.service")]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    about_it = [line for line in done.stderr.splitlines() if "edgefeat" in line]
    assert about_it == []


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1), max_size=4))
def test_any_argument_stays_one_argument_of_the_unit(words: list[str]) -> None:
    import shlex

    service = parse_service(shlex.join(["watch", *words]))
    (start,) = [line for line in service.unit().splitlines() if line.startswith("ExecStart=")]
    # Each is quoted as systemd.service(5) says: in double quotes, with these escapes.
    quoted = re.findall(r'"((?:[^"\\]|\\.)*)"', start.removeprefix("ExecStart="))
    assert [re.sub(r"%%|%h|\$\$|\\.", lambda found: _MEANING[found[0]], one) for one in quoted[3:]] == words


_MEANING = {"%%": "%", "%h": "~", "$$": "$", "\\\\": "\\", '\\"': '"'}


# --- what a board says ----------------------------------------------------------------------------------------------


def test_facts_are_read_behind_any_greeting() -> None:
    facts = parse_facts(
        "Welcome!\nedgefeat-probe 1\nkernel\tLinux\nboard\tRaspberry Pi 5\n"
        "have\taa\nhave\tbb\ncurrent\tx\nactivated\tx\n"
        'bench\t{"total": {}}\nverify\t{broken\nservice\tedgefeat-watch active\njournal\tedgefeat-watch ready\n'
    )
    assert facts.name == "Raspberry Pi 5"
    assert facts.have == {"aa", "bb"}
    assert facts.complete
    assert facts.reports == {"bench": {"total": {}}}
    assert facts.services == (("edgefeat-watch", "active"),)


@given(st.text())
def test_whatever_a_shell_prints_is_facts_or_one_error(text: str) -> None:
    for printed in (text, f"edgefeat-probe 1\nkernel\tLinux\n{text}"):
        try:
            read = parse_facts(printed).values["kernel"]
        except edgefeat.EdgefeatError as error:
            read = "Linux" if "needed:" in str(error) else str(error)
        assert read == "Linux"


def test_another_kernel_is_refused() -> None:
    with pytest.raises(edgefeat.EdgefeatError, match="it runs Darwin"):
        parse_facts("edgefeat-probe 1\nkernel\tDarwin\n")


# --- the wheel and the pack -----------------------------------------------------------------------------------------


def test_the_boards_wheel_is_whole_has_the_device_side_alone_and_is_the_same_each_time() -> None:
    wheel = device_wheel()
    assert wheel.data == device_wheel().data
    with zipfile.ZipFile(io.BytesIO(wheel.data)) as archive:
        names = set(archive.namelist())
        information = next(name.partition("/")[0] for name in names if name.endswith(".dist-info/RECORD"))
        record = list(csv.reader(io.StringIO(archive.read(f"{information}/RECORD").decode())))
        metadata = archive.read(f"{information}/METADATA").decode()
    assert {row[0] for row in record} == names
    assert {name.partition("/")[0] for name in names} == {"edgefeat", information}
    assert "edgefeat/_commands/deploy/board/install.sh" in names
    assert f"\nVersion: {edgefeat.__version__}\n" in metadata
    assert not any("__pycache__" in name for name in names)


def test_a_pack_holds_what_it_lists(tmp_path: Path) -> None:
    archive = tmp_path / "board.tar.gz"
    command: list[str | Path] = [sys.executable, "-m", "edgefeat", "pack", ONE, "--for", "pi-trixie-64", "--json"]
    done = subprocess.run([*command, "-o", archive], capture_output=True, text=True, check=False)
    if "pip cannot download" in done.stderr:
        pytest.skip("no package index here")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["variants"] == ["tflite-float32", "tflite-float16", "tflite-int8", "tflite-dynamic"]
    with tarfile.open(archive) as packed:
        members = {member.name.partition("/")[2]: packed.extractfile(member) for member in packed.getmembers()}
        found = {name: hashlib.sha256(stream.read()).hexdigest() for name, stream in members.items() if stream}
    assert found == {file["name"]: file["sha256"] for file in told["files"]}


def test_a_32_bit_board_gets_float_variants_alone(tmp_path: Path) -> None:
    command: list[str | Path] = [sys.executable, "-m", "edgefeat", "pack", ONE, "--for", "pi-bookworm-32", "--json"]
    done = subprocess.run([*command, "-o", tmp_path / "b.tar.gz"], capture_output=True, text=True, check=False)
    if "pip cannot download" in done.stderr:
        pytest.skip("no package index here")
    told = json.loads(done.stdout)
    assert (told["engine"], told["variants"]) == ("tflite-runtime", ["tflite-float32", "tflite-float16"])


def test_packing_refuses_what_it_cannot_write_and_a_board_without_an_engine(tmp_path: Path) -> None:
    for words, reason in (
        (["--for", "this", "-o", "board.zip"], "allowed: .tar.gz"),
        (["--for", "pi-bookworm-32", "--python", "3.13", "-o", "board.tar.gz"], "use the 64-bit system"),
        (["--for", "this", "--engine", "openvino", "-o", "board.tar.gz"], "allowed: litert, onnxruntime"),
        (["--for", "this", "--service", "extract", "-o", "board.tar.gz"], "allowed: watch, serve"),
    ):
        command: list[str | Path] = [sys.executable, "-m", "edgefeat", "pack", ONE, *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
        assert done.returncode == 2
        assert reason in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([ONE], "no host"),
        (["mobilenet_v2.edgefeat"], "no host"),
        (["pi.local"], "pi.local alone is not enough: edgefeat deploy BUNDLE USER@HOST"),
        (["pi@nohost.invalid"], "no bundle: edgefeat deploy BUNDLE pi@nohost.invalid"),
        ([ONE, "-oProxyCommand=x"], "No such option|is not valid|-o"),
        ([ONE, "two words"], "is not valid"),
        (["--rollback", "--remove", "pi"], "exclude each other"),
        (["--rollback", "pi", "--offline"], "takes only hosts"),
        ([ONE, "pi", "--service", "watch a", "--service", "watch b"], "names a command twice"),
        ([ONE, "pi", "--service", "watch a", "--no-service"], "exclude each other"),
    ],
)
def test_wrong_use_of_deploy_is_refused_before_anything_is_done(words: list[str | Path], reason: str) -> None:
    command: list[str | Path] = [sys.executable, "-m", "edgefeat", "deploy", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "ssh is not installed" not in done.stderr:
        assert done.returncode == 2
        assert re.search(reason, done.stderr)


# --- a bundle with some of its variants ----------------------------------------------------------------------------


def test_a_part_of_a_bundle_has_the_identity_of_the_whole(tmp_path: Path) -> None:
    part = tmp_path / "part.edgefeat"
    shutil.copytree(ONE, part)
    for file in part.glob("*.onnx"):
        file.unlink()
    with pytest.raises(edgefeat.BundleError, match=r"onnx.* is missing"):
        edgefeat.Bundle.open(part)
    kept = sorted(file.stem for file in part.glob("*.tflite"))
    # A bundle with many frames has a list that is as long.
    (part / "variants.json").write_text(json.dumps(kept, indent=1000))
    opened = edgefeat.Bundle.open(part)
    assert sorted(variant.name for variant in opened.manifest.variants) == kept
    assert opened.identity == edgefeat.Bundle.open(ONE).identity
    with pytest.raises(edgefeat.ArgumentError, match=r"onnx-int8.* is not in bundle"):
        opened.variant("onnx-int8")


@pytest.mark.parametrize("content", ["", "[]", "{}", '["tflite-float64"]', "[[]]", '"tflite-float32"', "[" * 5000])
def test_a_list_of_variants_that_is_none_is_refused(tmp_path: Path, content: str) -> None:
    part = tmp_path / "part.edgefeat"
    shutil.copytree(ONE, part)
    (part / "variants.json").write_text(content)
    with pytest.raises(edgefeat.BundleError, match=r"variants\.json"):
        edgefeat.Bundle.open(part)
