"""A worker process: reads paths, answers with features. Run as `python -m edgefeat._bulk.worker`.

While one image is decoded and inferred, the system already reads the next file.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import queue
import signal
import stat
import sys
import threading
from dataclasses import dataclass
from typing import BinaryIO, cast

import numpy as np
import PIL

from edgefeat._bulk.memory_limit import limit_memory
from edgefeat._bulk.messages import Answer, Loaded, Refusal, Task, WorkerSettings, read_record, write_records
from edgefeat._errors import BundleError, EdgefeatError, PictureError
from edgefeat._extractor import Extractor, load
from edgefeat._images.form import Decoding
from edgefeat._images.limits import truncation
from edgefeat._images.sources.archives import file_facts, member_path, read_member
from edgefeat._store.encoding import encode
from edgefeat._store.precision import Precision

__all__: list[str] = []

# Larger files are hashed in pieces and decoded from disk, so that the decoder alone determines the memory used.
_READ_AT_ONCE = 32_000_000
# The message for an image that exceeds the memory limit.
_TOO_LARGE = "does not fit into memory"


@dataclass(frozen=True, slots=True)
class _Read:
    """The facts of a file and its content. `data` is None if it must be decoded from disk or cannot be read."""

    task: Task
    data: bytes | None
    size: int | None
    mtime_ns: int | None
    sha256: str | None


def main() -> int:
    """Answer every task from standard input."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the run handles Ctrl-C
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # engines may print there: keep answers apart
    tasks = sys.stdin.buffer
    first = read_record(tasks)
    if first is None:
        return 0
    settings = cast(WorkerSettings, first)
    try:
        extractor = load(
            settings.bundle,
            variant=settings.variant,
            engine=settings.engine,
            threads=settings.threads,
            decoding=cast(Decoding, settings.decoding),
            max_pixels=settings.max_pixels,
            least_share=settings.least_share,
        )
        if extractor.bundle.identity != settings.identity:
            raise BundleError(f"bundle {settings.bundle} was replaced during the run")
    except EdgefeatError as error:
        write_records(answers, [Refusal(type(error).__name__, str(error))])
        return 0
    limit_memory(settings.memory)
    loaded = Loaded(
        extractor.variant,
        extractor.engine,
        extractor.reason,
        extractor.engine_version,
        np.__version__,
        PIL.__version__,
    )
    write_records(answers, [loaded])
    given: queue.SimpleQueue[Task] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(tasks, given), daemon=True).start()
    following = None
    while True:
        task = following or given.get()
        following = None if given.empty() else given.get()
        if following is not None:
            _announce(following.path)
        answer, payload = _answer(extractor, settings, _read(task))
        write_records(answers, [answer], payload)


def _listen(tasks: BinaryIO, given: queue.SimpleQueue[Task]) -> None:
    """Queue tasks as they arrive; only a few are waiting at a time."""
    try:
        while (task := read_record(tasks)) is not None:
            given.put(cast(Task, task))
    finally:
        os._exit(0)  # the run ended or was killed: stop the other thread too


def _announce(path: str) -> None:
    """Ask the system to read the next file ahead, where supported."""
    if hasattr(os, "posix_fadvise"):
        with contextlib.suppress(OSError, ValueError):  # reported when the file itself is read
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
            try:
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_WILLNEED)
            finally:
                os.close(descriptor)


def _read(task: Task) -> _Read:
    size = mtime_ns = sha256 = data = None
    try:
        if (member := member_path(task.path)) is not None:
            size, mtime_ns = file_facts(task.path)
            data = read_member(*member)
            return _Read(task, data, size, mtime_ns, hashlib.sha256(data).hexdigest())
        if stat.S_ISREG(os.stat(task.path).st_mode):  # opening a pipe would block
            with open(task.path, "rb") as stream:
                status = os.fstat(stream.fileno())
                if status.st_size <= _READ_AT_ONCE:
                    data = stream.read(status.st_size + 1)
                    if len(data) > status.st_size:  # the file is still being written; the next run sees it as changed
                        data = data[: status.st_size]
                    if len(data) < status.st_size:
                        data = None  # cut meanwhile, or the drive gives less than it has: decoding from disk says why
                    else:
                        sha256 = hashlib.sha256(data).hexdigest()
                else:
                    sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
                size, mtime_ns = status.st_size, status.st_mtime_ns
    except (OSError, ValueError, MemoryError, PictureError):
        data = None  # decoding from disk raises the same error with a clear message
    return _Read(task, data, size, mtime_ns, sha256)


def _answer(extractor: Extractor, settings: WorkerSettings, file: _Read) -> tuple[Answer, bytes]:
    scales = data = b""
    error = None
    same = file.sha256 is not None and file.sha256 in file.task.known
    if not same:
        try:
            picture, share = extractor.prepare_with_share(file.task.path if file.data is None else file.data)
            features = [rows[0] for rows in extractor.run(picture[np.newaxis])]
            scales, data = encode(features, cast(Precision, settings.precision))
            error = truncation(share)
        except EdgefeatError as reason:
            error = str(reason)
        except MemoryError:
            error = _TOO_LARGE
        if error == _TOO_LARGE:
            megabytes = f"{settings.memory / 1e6:.0f} MB"
            error = f"needs more memory than a worker may use ({megabytes}; raise the limit with --worker-memory)"
    return Answer(file.size, file.mtime_ns, file.sha256, same, error, len(scales), len(data)), scales + data


if __name__ == "__main__":
    sys.exit(main())
