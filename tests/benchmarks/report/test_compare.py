"""`edgefeat-bench compare`: side by side, never merged."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("scipy", reason="needs the bench extra")

from tests.benchmarks.report.plausible import FEW, MANY, plausible_run

BUNDLE = Path(__file__).parents[2] / "data" / "one_tap.edgefeat"
FRAMES = BUNDLE.with_name("frames.edgefeat")


def bench(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edgefeat_bench._commands.main", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("results")
    plausible_run(MANY, processor="Raspberry Pi 4 Model B").write(made / "pi4.json")
    plausible_run(FEW, processor="Raspberry Pi 5 Model B", network="resnet50", seed=1).write(made / "pi5.json")
    return made


def test_unlike_machines_and_bundles_are_named_and_set_side_by_side(folder: Path) -> None:
    done = bench("compare", folder / "pi4.json", folder / "pi5.json")
    assert done.returncode == 0, done.stderr
    assert "different machine: pi4: 2 cores of Raspberry Pi 4 Model B (x86_64); pi5: 2 cores of" in done.stdout
    assert "different network: " in done.stdout
    assert "not measured in pi4: broken on" in done.stdout
    lines = done.stdout.splitlines()
    header = next(line for line in lines if "pi4 ms" in line and "pi5 ms" in line)
    assert header.index("pi4 ms") < header.index("pi5 ms")
    peer = next(line for line in lines if "640x480  openvino plain" in line)
    assert peer.split()[-1] == "-"  # the other run has no such contender: an empty place, not another's figure
    assert "edgefeat extract" in done.stdout


def test_json_has_each_runs_own_estimates(folder: Path) -> None:
    done = bench("compare", "--json", folder / "pi4.json", folder / "pi5.json")
    told = json.loads(done.stdout)
    assert [run["machine"]["processor"] for run in told["runs"]] == ["Raspberry Pi 4 Model B", "Raspberry Pi 5 Model B"]
    assert set(told["unlike"]) == {"machine", "network"}
    row = next(row for row in told["rows"] if (row["photos"], row["contender"]) == ("640x480", "edgefeat tuned"))
    for column, plans, seed in ((0, MANY, 0), (1, FEW, 1)):
        by_name = {
            one.contender.name: one.series[0].seconds for one in plausible_run(plans, seed=seed).results if one.series
        }
        ours, theirs = np.array(by_name["edgefeat tuned"]), np.array(by_name["keras predict"])
        figures = row["runs"][column]
        assert figures["seconds"]["median"] == pytest.approx(float(np.median(ours)))
        assert figures["times_as_fast"]["median"] == pytest.approx(float(np.median(theirs / ours)))
        assert figures["times_as_fast"]["low"] < figures["times_as_fast"]["high"]
    wrong = next(row for row in told["rows"] if row["contender"].startswith("broken"))
    assert wrong["runs"][0]["status"] == "wrong"
    assert wrong["runs"][0]["times_as_fast"] is None
    assert wrong["runs"][1] is None
    assert [len(cold) for cold in told["cold_starts"]] == [3, 3]


def test_one_run_has_nothing_beside_it(folder: Path) -> None:
    done = bench("compare", folder / "pi4.json")
    assert done.returncode == 2
    assert "expected: two or more" in done.stderr


@pytest.fixture(scope="module")
def devices(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Path:
    """Results of `edgefeat bench`: of one thread, of two, and of a board that was slowed down."""
    made = tmp_path_factory.mktemp("devices")
    for threads in (1, 2):
        measured = [sys.executable, "-m", "edgefeat", "bench", str(BUNDLE), str(photos), "--seconds", "0"]
        output = made / f"{threads}-threads.json"
        subprocess.run([*measured, "--threads", str(threads), "-o", str(output)], check=True, capture_output=True)
    run = json.loads((made / "1-threads.json").read_text())
    run |= {"device": "Raspberry Pi 3 Model B", "cores": 4, "identity": "0" * 64}
    run["after"]["throttled"] = "0x50005"
    (made / "pi3.json").write_text(json.dumps(run))
    return made


def test_devices_are_set_side_by_side(devices: Path) -> None:
    done = bench("compare", *sorted(devices.glob("*.json")))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("different bundle: 1-threads: ")
    assert lines[1] == "pi3 was throttled or had too little voltage: 0x50005"
    header, *rows = (line.split("  ") for line in lines[2:])
    assert header[0] == "file"
    assert [row[0] for row in rows] == ["1-threads", "2-threads", "pi3"]
    total = json.loads((devices / "pi3.json").read_text())["total"]["p50"]
    assert f" {total:.2f} " in lines[-1]
    assert "Raspberry Pi 3 Model B, 4 cores" in lines[-1]


def test_devices_as_json_keep_every_sample(devices: Path) -> None:
    paths = sorted(devices.glob("*.json"))
    told = json.loads(bench("compare", "--json", *paths).stdout)
    assert told == [{"name": path.stem, **json.loads(path.read_text())} for path in paths]


def test_frames_of_devices_are_set_side_by_side(devices: Path, tmp_path: Path) -> None:
    for frame in ("bgr-64x48", "i420-64x48"):
        measured = [sys.executable, "-m", "edgefeat", "bench", str(FRAMES), "--frame", frame, "--seconds", "0"]
        subprocess.run([*measured, "-o", str(tmp_path / f"{frame}.json")], check=True, capture_output=True)
    done = bench("compare", *sorted(tmp_path.glob("*.json")))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "different frame: bgr-64x48: bgr-64x48; i420-64x48: i420-64x48"
    assert lines[1].split() == ["file", "device", "variant", "threads", "load", "feature", "p90", "MB"]
    assert [line.split()[0] for line in lines[2:]] == ["bgr-64x48", "i420-64x48"]
    done = bench("compare", devices / "pi3.json", tmp_path / "bgr-64x48.json")
    assert done.returncode == 2
    assert "(allowed: all of one kind)" in done.stderr


def test_devices_and_runs_are_not_mixed(devices: Path, folder: Path) -> None:
    done = bench("compare", devices / "pi3.json", folder / "pi4.json")
    assert done.returncode == 2
    assert "pi4.json is not a result of `edgefeat bench`, and the others are" in done.stderr
    done = bench("compare", devices / "pi3.json", folder / "absent.json")
    assert done.returncode == 2
    assert "absent.json cannot be read: No such file or directory" in done.stderr


def test_a_file_of_a_later_format_is_refused_with_what_to_do(devices: Path, tmp_path: Path) -> None:
    one = next(devices.glob("*.json"))
    (tmp_path / "later.json").write_text(json.dumps({**json.loads(one.read_text()), "format": 7}))
    done = bench("compare", one, tmp_path / "later.json")
    assert done.returncode == 2
    assert "later.json has format 7, this edgefeat-bench reads 1: measure again with: edgefeat bench" in done.stderr
