"""One bulk run: plan, workers, rows. Only this process writes to the database; it computes no features."""

from __future__ import annotations

import os
import queue
import shlex
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType

from edgefeat._bulk.messages import Loaded, WorkerSettings
from edgefeat._bulk.options import BulkOptions, BulkResult, default_memory, default_workers
from edgefeat._bulk.plan import Plan, plan
from edgefeat._bulk.progress import Progress
from edgefeat._bulk.rows import Rows
from edgefeat._bulk.temperature import TemperatureWatch
from edgefeat._bulk.worker_pool import Workers
from edgefeat._bulk.worker_process import EarlyWorkers, Event
from edgefeat._bundle.reader import Bundle
from edgefeat._engines.selection import NOT_TUNED
from edgefeat._errors import ArgumentError
from edgefeat._store.records import StoreIdentity, StoreTap
from edgefeat._store.writer import StoreWriter

__all__ = ["BulkOptions", "BulkResult", "check_same", "extract_into"]

# How often the run checks for stuck workers and temperature when no answers arrive.
_LOOK_SECONDS = 0.1
_HELD = "as recorded in the database"
# With so many photos, what `edgefeat tune` takes is little beside what it can save.
_MANY = 1000


def extract_into(options: BulkOptions, progress: Progress, early: EarlyWorkers) -> BulkResult:
    """Update the database: compute the features of new and changed photos. Nothing is removed. `early` are used first.

    SIGINT and SIGTERM end the run early; what was computed so far is in the database. Raises ArgumentError if the
    database was made with a different bundle or options, StoreError if it cannot be written, and the errors of `load`.
    """
    bundle = Bundle.open(options.bundle)
    store, repaired = StoreWriter.open(options.into, check=options.check)
    try:
        if repaired:
            progress.note(repaired)
        with _signals(early.events) as stopped:
            result = _Run(options, bundle, store, early, stopped, progress).run()
    except BaseException:
        store.abandon()
        raise
    store.close()
    return result


class _Stopped:
    """The number of the signal that stopped the run, or None.

    While a list is read, which may come from a terminal or another program, a signal interrupts the reading.
    """

    signal: int | None = None
    is_reading = False


@contextmanager
def _signals(events: queue.SimpleQueue[list[Event]]) -> Iterator[_Stopped]:
    """Record SIGINT and SIGTERM and wake the run. A second signal has its usual effect."""
    stopped = _Stopped()
    if threading.current_thread() is not threading.main_thread():  # signals can be handled in the main thread only
        yield stopped
        return
    before = {number: signal.getsignal(number) or signal.SIG_DFL for number in (signal.SIGINT, signal.SIGTERM)}

    def note(number: int, frame: FrameType | None) -> None:
        stopped.signal = number
        events.put([Event(None)])
        signal.signal(number, before[signal.Signals(number)])
        if stopped.is_reading:
            raise KeyboardInterrupt

    try:
        for number in before:
            signal.signal(number, note)
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Run:
    def __init__(
        self,
        options: BulkOptions,
        bundle: Bundle,
        store: StoreWriter,
        early: EarlyWorkers,
        stopped: _Stopped,
        progress: Progress,
    ) -> None:
        self._options = options
        self._bundle = bundle
        self._store = store
        self._early = early
        self._stopped = stopped
        self._progress = progress
        self._plan: Plan | None = Plan()
        self._loaded = Loaded(options.variant or "", options.engine or "", "")

    def run(self) -> BulkResult:
        options, began = self._options, time.monotonic()
        count = options.workers or default_workers()
        settings = self._settings(count)
        temperature = None if options.pause_at is None else TemperatureWatch(options.pause_at)
        workers = Workers(settings, count, self._early.events, seconds=options.seconds, waiting=self._early.processes)
        rows = Rows(self._store, self._progress)
        try:
            # The first worker loads the bundle while the folders are searched.
            workers.start_first()
            self._plan = self._planned()
            if self._plan is not None and self._is_needed(self._plan):
                workers.start_others(self._plan.count)
                if self._await_first(workers):
                    self._begin(workers, self._plan)
                    self._work(workers, rows, self._plan, temperature)
        finally:
            workers.end()
            if temperature is not None:
                temperature.close()
            self._progress.close()
        rows.commit()
        return self._result(rows, workers, time.monotonic() - began)

    def _planned(self) -> Plan | None:
        """Return what there is to compute, or None if a signal stopped the search."""
        options = self._options
        self._stopped.is_reading = bool(options.lists)
        try:
            return plan(
                options.named(),
                self._store,
                repeats=len(options.paths) > 1 or bool(options.lists),
                retry_failed=options.retry_failed,
                looked=lambda _: self._stopped.signal is None,
            )
        except KeyboardInterrupt:
            return None
        finally:
            self._stopped.is_reading = False

    def _settings(self, workers: int) -> WorkerSettings:
        """Return what workers load: the options given, else the database's, else None for the worker to choose."""
        options, held = self._options, self._store.identity
        if held is not None:
            check_same(options, self._bundle, held)
        return WorkerSettings(
            bundle=os.path.abspath(options.bundle),
            identity=self._bundle.identity,
            variant=held.variant if held else options.variant,
            engine=held.engine if held else options.engine,
            threads=options.threads,
            decoding=held.decoding if held else options.decoding or "fast",
            precision=held.precision if held else options.precision or "float32",
            memory=options.memory or default_memory(options.limits, workers),
            max_pixels=options.limits.max_pixels,
            least_share=options.limits.least_share,
        )

    def _is_needed(self, found: Plan) -> bool:
        """Return whether there is anything to compute. If not, no run is recorded."""
        held = self._store.identity
        if not found.count and held is not None:
            self._loaded = Loaded(held.variant, held.engine, _HELD)
        for path, reason in found.unlisted:
            self._progress.note(f"{path}: {reason}")
        return found.count > 0

    def _await_first(self, workers: Workers) -> bool:
        """Return whether the first worker loaded the bundle before a signal arrived."""
        while self._stopped.signal is None:
            loaded = workers.first_loaded(_LOOK_SECONDS)
            if loaded is not None:
                self._loaded = loaded if self._store.identity is None else replace(loaded, reason=_HELD)
                return True
        return False

    def _begin(self, workers: Workers, found: Plan) -> None:
        self._advise_tuning(found.count)
        settings = workers.settings
        taps = tuple(StoreTap(tap.name, tap.shape) for tap in self._bundle.manifest.taps)
        identity = StoreIdentity(
            self._bundle.manifest.name,
            settings.bundle,
            self._bundle.identity,
            self._loaded.variant,
            self._loaded.engine,
            settings.decoding,  # type: ignore[arg-type]  # a Decoding and a Precision became text on their way
            settings.precision,  # type: ignore[arg-type]
            taps,
        )
        self._store.begin(identity, self._loaded.versions)
        earlier = self._store.last_engine_version()
        if earlier not in (None, self._loaded.engine_version):
            self._progress.note(
                f"earlier rows were computed by {self._loaded.engine} {earlier}, new ones by "
                f"{self._loaded.engine_version}: the last digits may differ"
            )
        facts = {"unchanged": found.unchanged, "failed_before": found.failed_before, "workers": workers.count}
        about = {"bundle": identity.bundle, "variant": identity.variant, "engine": identity.engine}
        self._progress.start(found.count, {**facts, **about})

    def _advise_tuning(self, count: int) -> None:
        """Say, before a new database keeps a choice that nobody made, that another can be faster."""
        if count >= _MANY and self._loaded.reason.startswith(NOT_TUNED):
            options, loaded = self._options, self._loaded
            self._progress.note(
                f"{options.into} will keep {loaded.variant} on {loaded.engine} for all photos. edgefeat tune may find "
                f"a choice that is several times faster here: to try, stop this run, delete {options.into} and run: "
                f"{shlex.join(['edgefeat', 'tune', options.bundle])}"
            )

    def _work(self, workers: Workers, rows: Rows, found: Plan, temperature: TemperatureWatch | None) -> None:
        workers.take(found.work(), found.count, rows.task)
        resting = None
        while self._stopped.signal is None:
            hot = temperature.hot if temperature is not None else None
            if hot != resting and (hot is None or resting is None):
                self._progress.note(f"paused: {hot}" if hot else "resumed: the device has cooled down")
            resting = hot
            if not workers.feed(resting=resting is not None):
                return
            for task, answer, payload in workers.answers(_LOOK_SECONDS):
                if not rows.put(task, answer, payload):
                    workers.again(task)
            for task, reason in workers.given_up():
                rows.fail(task, reason)
            for note in workers.notes():
                self._progress.note(note)
            rows.commit_if_due()

    def _result(self, rows: Rows, workers: Workers, seconds: float) -> BulkResult:
        found = self._plan or Plan()
        return BulkResult(
            self._loaded.variant,
            self._loaded.engine,
            self._loaded.reason,
            workers.count,
            rows.computed,
            rows.moved,
            rows.failed,
            found.unchanged,
            found.failed_before,
            len(found.unlisted),
            seconds,
            self._stopped.signal,
            rows.truncated,
        )


def _from_lists(options: BulkOptions) -> list[str]:
    return [f"--from-file={file}" for file in options.lists] + (["-0"] if options.by_nul else [])


def check_same(options: BulkOptions, bundle: Bundle, held: StoreIdentity, *, command: str = "extract") -> None:
    """Raise ArgumentError if the database was made with another bundle or options, with the `command` to continue."""
    into = options.into
    if held.manifest_sha256 != bundle.identity:
        again = ["edgefeat", command, held.place, *options.paths, *_from_lists(options), "--into", str(into)]
        raise ArgumentError(
            f"{into} holds features of bundle {held.bundle} ({held.manifest_sha256[:12]}), but {options.bundle} is "
            f"{bundle.manifest.name} ({bundle.identity[:12]}). Start another database with --into other.db, or "
            f"continue with that bundle: {shlex.join(again)}"
        )
    asked = {
        "variant": (options.variant, held.variant),
        "engine": (options.engine, held.engine),
        "decoding": (options.decoding, held.decoding),
        "precision": (options.precision, held.precision),
    }
    for name, (wanted, there) in asked.items():
        if wanted is not None and wanted != there:
            option = "--exact" if name == "decoding" else f"--{name}"
            raise ArgumentError(
                f"{into} holds features of {name} {there}, not {wanted}: leave out {option} to continue with this "
                "database, or start another with --into other.db"
            )
