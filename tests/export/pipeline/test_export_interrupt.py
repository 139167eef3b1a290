"""`edgefeat export` ended by Ctrl-C: no file and no converter is left."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

for name in ("tensorflow", "keras", "tf2onnx", "onnx", "onnxruntime", "ai_edge_litert", "ai_edge_quantizer"):
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"the export extra is not installed: {name} is missing", allow_module_level=True)


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="looks for processes in Linux's /proc")
def test_an_interrupt_leaves_nothing_and_no_converter_running(tiny_model: Path, tmp_path: Path) -> None:
    import pty
    import termios

    scratch = tmp_path / "scratch"
    scratch.mkdir()
    leader, follower = pty.openpty()
    termios.tcsetwinsize(follower, (24, 80))
    process = subprocess.Popen(
        [sys.executable, "-m", "edgefeat", "export", str(tiny_model), "--preprocess", "raw", "-o", "out.edgefeat"],
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(scratch)},
        stdout=subprocess.PIPE,
        stderr=follower,
    )
    os.close(follower)
    deadline = time.monotonic() + 60
    while not converters(scratch) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert converters(scratch) != []
    shown = ""
    while "network:   0%|" not in shown:
        shown += os.read(leader, 4096).decode()
    process.send_signal(signal.SIGINT)  # to it alone, so that it must end the converter itself
    output, _ = process.communicate(timeout=60)
    shown += read_all(leader)
    assert (process.returncode, output) == (130, b"")
    assert shown.rstrip().endswith("edgefeat: interrupted")
    assert "Traceback" not in shown
    assert converters(scratch) == []
    assert sorted(tmp_path.rglob("*")) == [scratch]


def converters(scratch: Path) -> list[int]:
    """The processes that work in `scratch`."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"TMPDIR={scratch}/".encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:  # it has just ended
            continue
    return found


def read_all(leader: int) -> str:
    """All that was written to a pseudo-terminal whose other end is closed."""
    parts = []
    try:
        while part := os.read(leader, 4096):
            parts.append(part)
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(leader)
    return b"".join(parts).decode()
