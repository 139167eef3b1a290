"""A Pillow with known flaws is used and warned of, in one sentence."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import edgefeat
from edgefeat._errors import EdgefeatWarning

BUNDLE = Path(__file__).parents[2] / "data" / "one_tap.edgefeat"


def run(version: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line in a process whose Pillow says that it is of another version."""
    code = f"import sys, PIL.Image; PIL.__version__ = {version!r}; from edgefeat.__main__ import main; sys.exit(main())"
    command = [sys.executable, "-c", code, *arguments]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"}
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=100, env=environment)


@pytest.mark.parametrize("version", ["9.4.0", "10.2.0", "10.0.0.dev0"])
def test_an_old_pillow_is_named_and_used(version: str, tmp_path: Path) -> None:
    done = run(version, "info")
    assert done.returncode == 0
    assert f"warning: Pillow {version} has known vulnerabilities" in done.stdout
    assert "pip install -U pillow" in done.stdout
    assert len(json.loads(run(version, "info", "--json").stdout)["warnings"]) == 1
    photo = tmp_path / "photo.png"
    photo.write_bytes(_png())
    done = run(version, "extract", str(BUNDLE), str(photo), "-o", str(tmp_path / "features.npz"))
    assert done.returncode == 0
    assert [line for line in done.stderr.splitlines() if "known vulnerabilities" in line] == [
        line for line in done.stderr.splitlines() if line.startswith(f"edgefeat: Pillow {version} has")
    ]
    assert done.stderr.count("known vulnerabilities") == 1


@pytest.mark.parametrize("version", ["10.3.0", "11.0.0", "13.1.0.dev0"])
def test_a_sound_pillow_is_not_spoken_of(version: str) -> None:
    assert "Pillow" not in run(version, "info").stdout.partition("\n")[2]
    assert json.loads(run(version, "info", "--json").stdout)["warnings"] == []


def test_code_is_warned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("PIL.__version__", "9.4.0")
    with pytest.warns(EdgefeatWarning, match="malicious image") as caught:
        edgefeat.load(BUNDLE)
    assert caught[0].filename == __file__


def _png() -> bytes:
    import io

    from PIL import Image

    stream = io.BytesIO()
    Image.new("RGB", (40, 40), "red").save(stream, "PNG")
    return stream.getvalue()
