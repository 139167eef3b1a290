"""One step in a process of its own: the converters leak, are big, and some die rather than raise."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import edgefeat
from edgefeat import EdgefeatError, ExportError, OutputError
from edgefeat_export._workspace import Workspace

__all__ = ["run_step", "stop_steps"]

_FULL_DISK = 1_000_000


_running: set[subprocess.Popen[bytes]] = set()


def stop_steps() -> None:
    """Kills every step that runs, in whatever thread."""
    for process in tuple(_running):
        process.kill()


def run_step(work: Workspace, step: str) -> None:
    """Runs `step` to its end. Raises the edgefeat error that it raised, or ExportError with its last words."""
    log = work.folder / f"{step}.log"
    _error_file(work.folder, step).unlink(missing_ok=True)
    # Its converters print pages; they are kept for the one case in which they matter.
    environment = {
        "ORT_DISABLE_TELEMETRY": "1",
        **os.environ,
        "TMPDIR": str(work.folder),  # what a killed converter leaves behind goes with the rest
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "-1",
        "KERAS_BACKEND": "tensorflow",
    }
    with log.open("wb") as stream:
        process = subprocess.Popen(
            # -P: a file lying in the user's folder is no module of ours
            [sys.executable, "-P", "-m", "edgefeat_export._pipeline.processes", str(work.folder), step],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            env=environment,
        )
        _running.add(process)
        try:
            status = process.wait()
        except BaseException:  # Ctrl-C, or a deadline of the caller's: leave no converter running
            process.kill()
            process.wait()
            raise
        finally:
            _running.discard(process)
    if status != 0:
        raise _error(work.folder, step, status, log)


def _error(folder: Path, step: str, status: int, log: Path) -> EdgefeatError:
    with contextlib.suppress(FileNotFoundError, ValueError):  # on a full disk it can be cut
        said = json.loads(_error_file(folder, step).read_text())
        kind: type[EdgefeatError] = getattr(edgefeat, said["kind"])
        return kind(said["message"])
    if shutil.disk_usage(folder).free < _FULL_DISK:
        return OutputError(f"step {step} failed: the disk that holds {folder} is full; TMPDIR names another folder")
    if status < 0:
        name = signal.Signals(-status).name
        hint = ": was there enough memory?" if name == "SIGKILL" else ""
        return ExportError(f"step {step} was ended by {name}{hint}")
    words = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return ExportError(f"step {step} failed: {words[-1].strip() if words else f'exit status {status}'}")


def _error_file(folder: Path, step: str) -> Path:
    """Where a step leaves its error; each has its own, since an export goes on past some of them."""
    return folder / f"{step}.error.json"


def _main(folder: str, step: str) -> int:
    from edgefeat_export._pipeline.steps import STEPS

    work = Workspace(Path(folder))
    try:
        STEPS[step](work)
    except EdgefeatError as error:
        said = {"kind": type(error).__name__, "message": str(error)}
        _error_file(work.folder, step).write_text(json.dumps(said))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
