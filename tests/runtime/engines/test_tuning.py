"""`tune` measures every candidate apart and remembers the fastest; `load` uses it where, and only where, it holds."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgefeat
from edgefeat._engines.device.processor import processor_key
from edgefeat._engines.engine import Engine
from edgefeat._engines.isolated_run import run_trial
from edgefeat._engines.registry import ENGINES

Altered = Callable[..., Path]
Run = Callable[..., subprocess.CompletedProcess[str]]

DEATH = "import os, signal\nos.kill(os.getpid(), signal.SIGILL)\n"
DIED = "it died of an illegal instruction: it was built for another processor"

pytestmark = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="lets the children use one core only")


def one_core() -> None:
    """Fewer cores, fewer numbers of threads to try."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def only(*names: str, unfaithful: tuple[str, ...] = ()) -> Callable[[dict[str, Any], Path], None]:
    def change(manifest: dict[str, Any], folder: Path) -> None:
        for variant in manifest["variants"]:
            if variant["name"] not in names:
                (folder / variant["file"]["name"]).unlink()
            if variant["name"] in unfaithful:
                variant["fidelity"]["last"]["mean_cosine"] = 0.5
        manifest["variants"] = [variant for variant in manifest["variants"] if variant["name"] in names]

    return change


@dataclasses.dataclass(frozen=True)
class Tuned:
    """A bundle tuned once by the real command, where one engine died."""

    bundle: Path
    cache: Path
    engine: Engine
    dead: Engine
    result: dict[str, Any]

    @property
    def file(self) -> Path:
        (found,) = self.cache.glob("tuned-*.json")
        return found


def tune(bundle: Path, cache: Path, *options: str | Path, site: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edgefeat", "tune", str(bundle), *map(str, options)],
        env={**os.environ, "EDGEFEAT_CACHE": str(cache), "PYTHONPATH": paths(site)},
        preexec_fn=one_core,
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )


def paths(first: Path) -> str:
    return os.pathsep.join(filter(None, [str(first), os.environ.get("PYTHONPATH")]))


@pytest.fixture(scope="module")
def tuned(one_tap: Path, altered: Altered, installed: list[Engine], tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    folder = tmp_path_factory.mktemp("tuned")
    engine = installed[0]
    dead = ENGINES[1] if engine.format == "tflite" else ENGINES[0]
    (folder / "site" / dead.module).mkdir(parents=True)
    (folder / "site" / dead.module / "__init__.py").write_text(DEATH)
    small = f"{engine.format}-int8"
    names = (f"{engine.format}-float32", small, f"{dead.format}-float32")
    bundle = altered(one_tap, only(*names, unfaithful=(small,)))
    done = tune(bundle, folder / "cache", "--json", site=folder / "site")
    assert done.returncode == 0, done.stderr
    return Tuned(bundle, folder / "cache", engine, dead, json.loads(done.stdout))


@pytest.fixture
def cache(tuned: Tuned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of what `tune` left, to be spoilt; `load` looks there."""
    folder = Path(shutil.copytree(tuned.cache, tmp_path / "cache"))
    monkeypatch.setenv("EDGEFEAT_CACHE", str(folder))
    return folder / tuned.file.name


def edit(file: Path, change: Callable[[dict[str, Any]], object]) -> None:
    value = json.loads(file.read_text())
    change(value)
    file.write_text(json.dumps(value))


def candidate(value: dict[str, Any], variant: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in value["candidates"] if one["variant"] == variant)
    return found


def by_tune(extractor: edgefeat.Extractor) -> bool:
    return extractor.reason.startswith("the fastest here, measured by `edgefeat tune`")


def test_candidates_are_measured_marked_and_named(tuned: Tuned) -> None:
    found = {(one["variant"], one["engine"]): one for one in tuned.result["candidates"]}
    engine, dead = tuned.engine, tuned.dead
    assert tuned.result["identity"] == edgefeat.Bundle.open(tuned.bundle).identity
    assert tuned.result["processor"] == processor_key()
    assert tuned.result["remembered"] is True

    good = found[f"{engine.format}-float32", engine.name]
    assert (good["status"], good["threads"], good["engine_version"]) == ("ok", 1, engine.version())
    assert 0 < good["milliseconds"] < 1000

    crashed = found[f"{dead.format}-float32", dead.name]
    assert (crashed["status"], crashed["detail"], crashed["milliseconds"]) == ("crashed", DIED, None)

    for engine_name in {name for variant, name in found if variant.endswith("int8")}:
        small = found[f"{engine.format}-int8", engine_name]
        assert (small["status"], small["threads"], small["milliseconds"]) == ("unfaithful", 0, None)
        assert small["detail"].startswith("its mean cosine to Keras over 32 images is 0.5000 for tap last (allowed: ")
    assert (f"{engine.format}-int8", engine.name) in found

    times = [one["milliseconds"] for one in tuned.result["candidates"]]
    measured = [time for time in times if time is not None]
    assert times == [*sorted(measured), *[None] * (len(times) - len(measured))]


def test_what_was_printed_was_kept_and_nothing_else(tuned: Tuned) -> None:
    assert json.loads(tuned.file.read_text()) == tuned.result
    assert [path.name for path in tuned.cache.iterdir()] == [tuned.file.name]


def test_load_takes_the_fastest_and_says_so(tuned: Tuned, cache: Path) -> None:
    best = tuned.result["candidates"][0]
    extractor = edgefeat.load(tuned.bundle)
    assert extractor.reason == f"the fastest here, measured by `edgefeat tune`: {best['milliseconds']:.2f} ms"
    assert (extractor.variant, extractor.engine, extractor.threads) == (best["variant"], best["engine"], 1)
    assert np.linalg.norm(np.asarray(extractor.extract(np.zeros((40, 40, 3), np.uint8)))) == pytest.approx(1, abs=1e-3)


def test_the_first_in_the_cache_wins_even_over_the_default_order(tuned: Tuned, cache: Path) -> None:
    small = f"{tuned.engine.format}-int8"

    def small_first(value: dict[str, Any]) -> None:
        one = candidate(value, small)
        one.update(engine=tuned.engine.name, engine_version=tuned.engine.version(), threads=1)
        one.update(status="ok", detail="", milliseconds=0.25)
        value["candidates"].sort(key=lambda other: other is not one)

    edit(cache, small_first)
    extractor = edgefeat.load(tuned.bundle)
    assert (extractor.variant, extractor.engine, extractor.threads) == (small, tuned.engine.name, 1)
    assert extractor.reason == "the fastest here, measured by `edgefeat tune`: 0.25 ms"


def test_with_threads_the_fastest_of_so_many_is_taken(
    tuned: Tuned, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgefeat._engines.tuning_record.available_cores", lambda: 2)
    small, full = f"{tuned.engine.format}-int8", f"{tuned.engine.format}-float32"

    def faster_with_two(value: dict[str, Any]) -> None:
        one, two = candidate(value, full), candidate(value, small)
        one.update(engine=tuned.engine.name, engine_version=tuned.engine.version(), threads=1, milliseconds=4.0)
        two.update(engine=tuned.engine.name, engine_version=tuned.engine.version(), threads=2, milliseconds=3.0)
        two.update(status="ok", detail="")
        value["candidates"] = [two, one]

    edit(cache, faster_with_two)
    for threads, variant, milliseconds in ((None, small, "3.00"), (2, small, "3.00"), (1, full, "4.00")):
        extractor = edgefeat.load(tuned.bundle, threads=threads)
        assert (extractor.variant, extractor.threads) == (variant, threads or 2)
        assert extractor.reason == f"the fastest here, measured by `edgefeat tune`: {milliseconds} ms"


def test_what_is_asked_for_wins(tuned: Tuned, cache: Path) -> None:
    small, full = f"{tuned.engine.format}-int8", f"{tuned.engine.format}-float32"
    extractor = edgefeat.load(tuned.bundle, variant=small)
    assert (extractor.variant, by_tune(extractor)) == (small, False)
    extractor = edgefeat.load(tuned.bundle, variant=full, engine=tuned.engine.name)
    assert (extractor.variant, extractor.engine, by_tune(extractor)) == (full, tuned.engine.name, True)
    extractor = edgefeat.load(tuned.bundle, threads=2)
    assert (extractor.threads, by_tune(extractor)) == (2, True)
    assert extractor.reason.endswith(" ms with 1 thread")
    with pytest.raises(edgefeat.ArgumentError):
        edgefeat.load(tuned.bundle, variant="tflite-int4")


SPOILT: dict[str, Callable[[dict[str, Any]], object]] = {
    "another processor": lambda value: value.update(processor="0" * 16),
    "another bundle": lambda value: value.update(identity="0" * 64),
    "another engine version": lambda value: [one.update(engine_version="0.0.1") for one in value["candidates"]],
    "an unknown engine": lambda value: [one.update(engine="tpu") for one in value["candidates"]],
    "an unknown variant": lambda value: [one.update(variant="tflite-int4") for one in value["candidates"]],
    "no time": lambda value: [one.update(milliseconds=None) for one in value["candidates"]],
    "a time that is none": lambda value: [one.update(milliseconds=float("nan")) for one in value["candidates"]],
    "no threads": lambda value: [one.update(threads=0) for one in value["candidates"]],
    "absurdly many threads": lambda value: [one.update(threads=10**9) for one in value["candidates"]],
    "a field too many": lambda value: value.update(extra=1),
    "no candidates": lambda value: value.update(candidates=[]),
    "candidates of another kind": lambda value: value.update(candidates=[1, None]),
}


@pytest.mark.parametrize("what", SPOILT)
def test_what_does_not_hold_here_is_ignored(tuned: Tuned, cache: Path, what: str) -> None:
    assert by_tune(edgefeat.load(tuned.bundle))
    edit(cache, SPOILT[what])
    extractor = edgefeat.load(tuned.bundle)
    assert "default order" in extractor.reason
    assert 1 <= extractor.threads <= 4


def test_an_altered_bundle_is_another_bundle(tuned: Tuned, cache: Path, altered: Altered) -> None:
    def reworded(manifest: dict[str, Any], folder: Path) -> None:
        (folder / "README.md").write_text("Another card.")

    bundle = altered(tuned.bundle, reworded)
    assert not by_tune(edgefeat.load(bundle))
    identity = edgefeat.Bundle.open(bundle).identity
    cache.rename(cache.with_name(f"tuned-{identity[:16]}-{processor_key()}.json"))
    assert not by_tune(edgefeat.load(bundle))


def test_photos_and_a_table_and_a_cache_that_cannot_be_written(
    tuned: Tuned, altered: Altered, photos: list[str], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    shutil.copytree(Path(photos[0]).parent, tmp_path / "photos")
    (tmp_path / "photos" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nxxxx")
    full = f"{tuned.engine.format}-float32"
    bundle = altered(tuned.bundle, only(full))
    others = [one.name for one in ENGINES if one.format == tuned.engine.format and one.name != tuned.engine.name]
    site = tmp_path / "site"
    for name in others:  # one candidate is enough here
        package = site / next(one.module for one in ENGINES if one.name == name)
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(DEATH)
    done = tune(bundle, tmp_path / "file", "--photos", tmp_path / "photos", site=site)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["variant", "engine", "threads", "ms", "cosine"]
    assert lines[1].split()[:3] == [full, tuned.engine.name, "1"]
    assert lines[-1].startswith(f"fastest here: {full} on {tuned.engine.name}, 1 thread, ")
    assert "broken.png: cannot be decoded" in done.stderr
    assert f"not stored: {tmp_path / 'file'} cannot be written" in done.stderr


def test_where_nothing_may_run_nothing_is_kept(
    tuned: Tuned, edgefeat_command: Run, altered: Altered, cache: Path, tmp_path: Path
) -> None:
    small = f"{tuned.engine.format}-int8"
    bundle = altered(tuned.bundle, only(small))
    before = sorted(cache.parent.iterdir())
    done = edgefeat_command("tune", bundle, "--json")
    assert (done.returncode, done.stdout) == (1, "")
    assert f"no candidate works on this device: {small} on {tuned.engine.name}: its mean cosine to Keras" in done.stderr
    for wrong in (["--min-fidelity", "high"], ["--photos", tmp_path]):
        assert edgefeat_command("tune", tuned.bundle, *wrong).returncode == 2
    assert sorted(cache.parent.iterdir()) == before


def test_a_trial_runs_on_the_pictures_given(one_tap: Path, installed: list[Engine], tmp_path: Path) -> None:
    variant = f"{installed[0].format}-float32"
    np.save(tmp_path / "good.npy", np.arange(2 * 32 * 32 * 3, dtype=np.uint8).reshape(2, 32, 32, 3))
    np.save(tmp_path / "bad.npy", np.zeros((2, 31, 32, 3), np.uint8))
    options: dict[str, Any] = {"variant": variant, "engine": installed[0].name, "threads": 1, "seconds": 0.05}
    found = run_trial(str(one_tap), pictures=str(tmp_path / "good.npy"), **options)
    assert found.status == "ok"
    assert min(found.milliseconds) > 0
    assert run_trial(str(one_tap), pictures=str(tmp_path / "bad.npy"), **options).status == "failed"
