"""`edgefeat watch`: photos are taken once and whole, however they arrive."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tests.runtime.services.services import Service, running, service_manager, wait_for
from tests.runtime.services.watches import paths, watching

import edgefeat


def test_a_photo_that_is_there_or_arrives_is_added_with_its_feature(
    one_tap: Path, incoming: Path, photos: list[str], tmp_path: Path
) -> None:
    shutil.copy(photos[0], incoming / "early.png")
    database = tmp_path / "features.db"
    with running(*watching(one_tap, incoming, "--into", database)) as service:
        service.said("early.png: added")
        (incoming / "sub").mkdir()
        shutil.copy(photos[1], incoming / "sub" / "late.png")
        service.said("late.png: added")
        assert service.stop() == 0
    with edgefeat.FeatureStore.open(database) as store:
        extractor = edgefeat.load(one_tap, variant=store.identity.variant, engine=store.identity.engine)
        for path in (incoming / "early.png", incoming / "sub" / "late.png"):
            np.testing.assert_allclose(store.feature(str(path)), extractor.extract(path), atol=1e-6)  # type: ignore[arg-type]  # one tap
        assert len(store.runs) == 1


def test_a_photo_is_taken_when_its_writer_has_closed_it(one_tap: Path, incoming: Path, tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("only Linux says whether a file is being written")
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (90, 90, 3), np.uint8)).save(tmp_path / "whole.png")
    whole = (tmp_path / "whole.png").read_bytes()
    with running(*watching(one_tap, incoming, "--into", tmp_path / "features.db")) as service:
        with open(incoming / "slow.png", "wb") as stream:
            stream.write(whole[:9000])
            stream.flush()
            service.said("watching")
            shutil.copy(tmp_path / "whole.png", incoming / "other.png")
            service.said("other.png: added")
            assert not service.count("slow.png")
            stream.write(whole[9000:])
        assert service.said("slow.png").endswith("added")


def test_temporary_and_hidden_names_are_left_alone(
    one_tap: Path, incoming: Path, photos: list[str], tmp_path: Path
) -> None:
    with running(*watching(one_tap, incoming, "--into", tmp_path / "features.db")) as service:
        service.said("watching")
        for name in (".photo.png.X1y2", "photo.png.part", ".hidden.png", "note.txt"):
            shutil.copy(photos[0], incoming / name)
        os.rename(incoming / ".photo.png.X1y2", incoming / "photo.png")
        service.said("photo.png: added")
        shutil.copy(photos[1], incoming / "last.png")
        service.said("last.png: added")
    assert paths(tmp_path / "features.db") == {"photo.png", "last.png"}


def test_a_photo_that_cannot_be_read_is_reported_once_and_taken_when_it_is_mended(
    one_tap: Path, incoming: Path, photos: list[str], tmp_path: Path
) -> None:
    (incoming / "bad.png").write_text("these are words")
    database = tmp_path / "features.db"
    with running(*watching(one_tap, incoming, "--into", database, "--poll", "--interval", "0.1")) as service:
        assert "not an image in a supported format" in service.said("bad.png")
        shutil.copy(photos[0], incoming / "good.png")
        service.said("good.png: added")
        shutil.copy(photos[1], incoming / "bad.png")
        service.said("bad.png: added")
        assert service.count("bad.png") == 2


def _without_power_over_permissions() -> None:
    """Take from the command what lets root read every file."""
    for capability in (1, 2):  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH of capabilities(7)
        ctypes.CDLL(None).prctl(24, capability)  # PR_CAPBSET_DROP of prctl(2); without effect for others than root


@pytest.mark.skipif(sys.platform != "linux", reason="root may read every file, but on Linux that can be taken from it")
@pytest.mark.parametrize("into", [("--into", "features.db"), ("-o", "features.jsonl")])
def test_a_photo_that_may_not_be_read_is_reported_once_and_taken_when_it_may(
    one_tap: Path, incoming: Path, photos: list[str], tmp_path: Path, into: tuple[str, str]
) -> None:
    shutil.copy(photos[0], incoming / "mine.png")
    (incoming / "mine.png").chmod(0)
    command = watching(one_tap, incoming, into[0], tmp_path / into[1], "--poll", "--interval", "0.1")
    with running(*command, preexec_fn=_without_power_over_permissions) as service:
        assert "permission denied" in service.said("mine.png")
        for index in (1, 2, 3):  # each found by a search
            shutil.copy(photos[index], incoming / f"{index}.png")
            service.said(f"{index}.png: added")
        assert service.count("mine.png") == 1
        (incoming / "mine.png").chmod(0o644)
        service.said("mine.png: added")
        assert service.count("mine.png") == 2


def test_lines_are_appended_once_each_and_an_incomplete_one_is_removed(
    one_tap: Path, incoming: Path, photos: list[str], tmp_path: Path
) -> None:
    output = tmp_path / "features.jsonl"
    for index in range(2):
        shutil.copy(photos[index], incoming / f"{index}.png")
    with running(*watching(one_tap, incoming, "-o", output)) as service:
        service.said(": added", times=2)
    whole = output.read_bytes()
    output.write_bytes(whole + whole[:50])  # as after a power failure
    shutil.copy(photos[2], incoming / "2.png")
    with running(*watching(one_tap, incoming, "-o", output)) as service:
        service.said("2.png: added")
        assert service.count(": added") == 1
    assert output.read_bytes().startswith(whole)
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert [os.path.basename(row["path"]) for row in rows[2:]] == ["2.png"]
    assert {os.path.basename(row["path"]) for row in rows} == {"0.png", "1.png", "2.png"}
    extractor = edgefeat.load(one_tap)
    for row in rows:
        np.testing.assert_allclose(row["features"], np.asarray(extractor.extract(row["path"])), atol=1e-6)


def test_lines_are_written_by_one_watch_only(one_tap: Path, incoming: Path, tmp_path: Path) -> None:
    output = tmp_path / "features.jsonl"
    with running(*watching(one_tap, incoming, "-o", output)) as first:
        first.said("watching")
        with running(*watching(one_tap, incoming, "-o", output)) as second:
            second.said("in use by another")
            assert second.process.wait(timeout=60) == 2


def test_a_full_disk_is_reported_and_survived(one_tap: Path, incoming: Path, photos: list[str], tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    output = tmp_path / "features.jsonl"
    script = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))\n"
        "from edgefeat.__main__ import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    (tmp_path / "limited.py").write_text(script)
    shutil.copy(photos[0], incoming / "0.png")
    command = [sys.executable, str(tmp_path / "limited.py"), *map(str, watching(one_tap, incoming, "-o", output))]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        service = Service(process)
        try:
            service.said("cannot be written: File too large")
            assert output.read_bytes() == b""
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (10**9, 10**9))
            service.said("0.png: added")
            assert service.count("cannot be written") == 1
        finally:
            process.kill()
    assert len(output.read_text().splitlines()) == 1


def test_a_killed_watch_loses_and_doubles_nothing(
    one_tap: Path, incoming: Path, pictures: list[NDArray[np.uint8]], tmp_path: Path
) -> None:
    database = tmp_path / "features.db"
    names = set()
    for kill in range(3):
        for index, picture in enumerate(pictures):
            Image.fromarray(picture).save(incoming / f"{kill}-{index}.png")
            names.add(f"{kill}-{index}.png")
        with running(*watching(one_tap, incoming, "--into", database)) as service:
            if kill < 2:
                service.said(": added", times=1)
                service.process.send_signal(signal.SIGKILL)
            else:
                wait_for(lambda: paths(database) == names)
    with edgefeat.FeatureStore.open(database) as store:
        assert sorted(os.path.basename(path) for path in store.paths()) == sorted(names)


def test_a_database_of_another_bundle_is_refused(
    one_tap: Path, two_taps: Path, incoming: Path, photos: list[str], tmp_path: Path
) -> None:
    shutil.copy(photos[0], incoming / "0.png")
    with running(*watching(one_tap, incoming, "--into", tmp_path / "features.db")) as service:
        service.said("0.png: added")
    with running(*watching(two_taps, incoming, "--into", tmp_path / "features.db")) as service:
        assert "continue with that bundle: edgefeat watch " in service.said("holds features of bundle")
        assert service.process.wait(timeout=60) == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "say where the features go"),
        (("-o", "features.csv"), "unknown file extension"),
        (("--into", "a.db", "-o", "b.jsonl"), "-o and --into cannot be combined"),
        (("--into", "a.db", "--photo-seconds", "nan"), "--photo-seconds is nan"),
        (("--into", "a.db", "--settle", "nan"), "--settle is nan"),
    ],
)
def test_wrong_use_is_refused_with_what_is_allowed(
    one_tap: Path, incoming: Path, tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    with running("watch", one_tap, incoming, *options, cwd=tmp_path) as service:
        assert service.process.wait(timeout=60) == 2
        service.said(said)


def test_a_name_of_two_lines_is_an_error_of_one(one_tap: Path, tmp_path: Path) -> None:
    with running("watch", one_tap, tmp_path / "new\nline.jpg", "--into", tmp_path / "a.db") as service:
        assert service.process.wait(timeout=60) == 2
        assert "new\\x0aline.jpg does not exist" in service.said("does not exist")


def test_the_service_manager_is_told(one_tap: Path, incoming: Path, photos: list[str], tmp_path: Path) -> None:
    with (
        service_manager(tmp_path) as (manager, environment),
        running(*watching(one_tap, incoming, "--into", tmp_path / "a.db"), env=environment) as service,
    ):
        heard: set[str] = set()
        while not {"READY=1", "WATCHDOG=1"} <= heard:
            heard |= set(manager.recv(4096).decode().splitlines())
        service.process.terminate()
        while "STOPPING=1" not in heard:
            heard |= set(manager.recv(4096).decode().splitlines())
        assert service.process.wait(timeout=60) == 0
