"""A process that runs `worker`, as seen from the process that started it."""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
from pathlib import Path

from edgefeat_export._pipeline.worker import Call, Reply

__all__ = ["WorkerProcess"]

_PROGRAM = "import sys; from edgefeat_export._pipeline.worker import main; sys.exit(main(sys.argv[1:]))"


class WorkerProcess:
    """One process that runs `edgefeat_export._pipeline.worker`; `called` counts its calls."""

    def __init__(self, folder: Path, modules: tuple[str, ...]) -> None:
        self.called = 0
        # Converters print a lot; the output is kept in case a step fails.
        environment = {
            "ORT_DISABLE_TELEMETRY": "1",
            **os.environ,
            "TMPDIR": str(folder),  # files that a killed converter leaves behind are deleted with this folder
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "CUDA_VISIBLE_DEVICES": "-1",
            "KERAS_BACKEND": "tensorflow",
            "PYTHONHASHSEED": "0",  # converters go through sets of names, and two exports must agree byte for byte
        }
        with (folder / "worker.log").open("ab") as stream:
            self._process = subprocess.Popen(
                # -P: never import a module from the user's current folder
                [sys.executable, "-P", "-c", _PROGRAM, *modules],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stream,
                env=environment,
            )

    def call(self, call: Call) -> Reply | None:
        """Return the reply to a call, or None if the process ended without one."""
        sent, replies = self._process.stdin, self._process.stdout
        assert sent is not None
        assert replies is not None
        self.called += 1
        try:
            pickle.dump(call, sent)
            sent.flush()
            reply: Reply = pickle.load(replies)  # trusted: this process started the worker
        except (EOFError, OSError, pickle.UnpicklingError):  # how a closed pipe is reported differs by system
            return None
        return reply

    def end(self, patience: float) -> int:
        """Stop the process, unless it exits within `patience` seconds, and return its exit status."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(patience)
        self._process.kill()
        status = self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        return status
