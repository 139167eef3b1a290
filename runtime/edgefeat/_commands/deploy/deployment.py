"""Putting one bundle on several hosts, side by side."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Any, BinaryIO, Literal, cast

from edgefeat._bundle.reader import Bundle
from edgefeat._commands.deploy.facts import BoardFacts, parse_facts
from edgefeat._commands.deploy.pack import Pack, make_pack
from edgefeat._commands.deploy.services import Service, parse_service
from edgefeat._commands.deploy.ssh import Ssh, opened
from edgefeat._commands.deploy.target import Target, board_target
from edgefeat._errors import EdgefeatError

__all__ = ["Action", "HostReport", "Request", "deploy"]

Action = Literal["install", "rollback", "remove"]

# Below the home folder, where a command of ssh starts.
_ROOT = ".local/share/edgefeat"
# Hosts at a time. Each has a connection, and the same wheels are resolved once.
_AT_ONCE = 16
# Bytes from which a copy tells how far it is.
_LARGE = 5_000_000


@dataclass(frozen=True, slots=True)
class Request:
    """What to do on each host. Without `services` those on the board stay; `fresh` asks the package index again."""

    action: Action
    bundle: Bundle | None = None
    engine: str | None = None
    offline: bool = False
    services: tuple[Service, ...] | None = None
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class HostReport:
    """What came of one host. Figures are None where nothing was measured; `error` is None if it worked.

    `milliseconds` is the median time for one photo, `photos_per_second` its inverse from the mean, `memory` in bytes,
    `temperature` in degrees Celsius, `copied` in bytes, `seconds` the whole of it.
    """

    host: str
    error: str | None = None
    changed: bool = False
    release: str | None = None
    board: str | None = None
    system: str | None = None
    python: str | None = None
    bundle: str | None = None
    variant: str | None = None
    engine: str | None = None
    engine_version: str | None = None
    threads: int | None = None
    milliseconds: float | None = None
    photos_per_second: float | None = None
    memory: int | None = None
    temperature: float | None = None
    services: tuple[tuple[str, str], ...] = ()
    journal: tuple[str, ...] = ()
    copied: int = 0
    seconds: float = 0.0


class _Packs:
    """The packs of one request: boards of the same kind get the same, and it is made once."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._made: dict[tuple[object, ...], Pack] = {}
        self._lock = threading.Lock()

    def pack(self, bundle: Bundle, target: Target, services: tuple[Service, ...]) -> Pack:
        with self._lock:
            key = (target, services)
            if key not in self._made:
                request = self._request
                self._made[key] = make_pack(
                    bundle, target, engine=request.engine, offline=request.offline, services=services,
                    fresh=request.fresh,
                )  # fmt: skip
            return self._made[key]


class _Counted:
    """A stream that tells how much of `size` bytes was written, each fifth of it."""

    def __init__(self, stream: BinaryIO, size: int, said: Callable[[str], None]) -> None:
        self._stream = stream
        self._size = size
        self._said = said
        self._written = 0

    def write(self, data: bytes) -> int:
        before = 5 * self._written // self._size
        self._written += len(data)
        if self._size >= _LARGE and before < 5 * self._written // self._size < 5:
            self._said(f"copied {self._written / 1e6:.0f} of {self._size / 1e6:.0f} MB")
        return self._stream.write(data)


def deploy(
    hosts: Sequence[str],
    request: Request,
    *,
    options: Sequence[str] = (),
    tell: Callable[[str, str], None] = lambda host, text: None,
) -> list[HostReport]:
    """Carry out the request on every host at once and return a report for each, in the order of the hosts.

    `tell` gets the host and what happens there, from several threads. `options` go to ssh. A host that fails does not
    stop the others. Raises ArgumentError if ssh is missing or a host's name is not valid.
    """
    reports: dict[str, HostReport] = {}
    with opened(hosts, options) as connections, ThreadPoolExecutor(min(len(hosts), _AT_ONCE)) as pool:
        packs = _Packs(request)
        running = {pool.submit(_report, ssh, request, packs, tell): ssh for ssh in connections}
        try:
            for done in as_completed(running):
                reports[running[done].host] = done.result()
        except BaseException:  # Ctrl-C: what runs on the boards ends with its connection
            for job, ssh in running.items():
                job.cancel()
                ssh.close()
            raise
    return [reports[host] for host in hosts]


def _report(ssh: Ssh, request: Request, packs: _Packs, tell: Callable[[str, str], None]) -> HostReport:
    started = time.monotonic()

    def said(text: str) -> None:
        tell(ssh.host, text.removeprefix("edgefeat: "))

    try:
        ssh.connect()
        facts = _facts(ssh)
        if request.action == "install":
            report = _installed(ssh, facts, request, packs, said)
        else:
            report = _changed(ssh, facts, request.action, said)
    except (EdgefeatError, OSError) as error:
        report = HostReport(ssh.host, str(error))
    return replace(report, seconds=time.monotonic() - started)


def _installed(ssh: Ssh, facts: BoardFacts, request: Request, packs: _Packs, said: Callable[[str], None]) -> HostReport:
    if request.bundle is None:
        raise ValueError("an installation needs a bundle")
    said(f"{facts.name}, {facts.values.get('system', 'Linux')}, Python {facts.values.get('python', 'none')}")
    services = request.services
    if services is None:
        services = tuple(parse_service(text) for text in facts.wanted)
    pack = packs.pack(request.bundle, board_target(facts.values), services)
    if facts.complete and facts.current == pack.identity and "bench" in facts.reports:
        said("has it already")
        return _figures(HostReport(ssh.host, release=pack.identity), facts, pack)
    copied = _copy(ssh, facts, pack, said)
    ssh.run(f"sh {_ROOT}/incoming/{pack.identity}/install.sh --measure --attached", attached=True, tell=said)
    facts = _facts(ssh)
    return _figures(HostReport(ssh.host, changed=True, release=pack.identity, copied=copied), facts, pack)


def _copy(ssh: Ssh, facts: BoardFacts, pack: Pack, said: Callable[[str], None]) -> int:
    """Copy what the board lacks, and return how many bytes that was."""
    size = pack.missing(facts.have)
    said(
        f"copying {size / 1e6:.1f} MB" + ("; the rest is there" if size < sum(one.size for one in pack.files()) else "")
    )
    folder = f"{_ROOT}/incoming/{pack.identity}"

    def write(stream: BinaryIO) -> None:
        pack.write(cast(BinaryIO, _Counted(stream, size, said)), without=facts.have)

    ssh.run(f"mkdir -p {folder} && tar -x -f - -C {folder}", write=write)
    return size


def _changed(ssh: Ssh, facts: BoardFacts, action: Action, said: Callable[[str], None]) -> HostReport:
    """Roll back or remove with the board's own installer."""
    if facts.current is None:
        if action == "remove":
            said("has no edgefeat")
            return HostReport(ssh.host, board=facts.name, system=facts.values.get("system"))
        raise EdgefeatError("there is no edgefeat on it: nothing to go back to")
    ssh.run(f"sh {_ROOT}/current/pack/install.sh --{action}", tell=said)
    facts = _facts(ssh)
    return _figures(HostReport(ssh.host, changed=True, release=facts.current), facts, None)


def _facts(ssh: Ssh) -> BoardFacts:
    script = files("edgefeat._commands.deploy.board").joinpath("probe.sh").read_bytes()
    return parse_facts(ssh.run("sh -s", write=lambda stream: _send(stream, script)))


def _send(stream: BinaryIO, data: bytes) -> None:
    stream.write(data)
    stream.flush()


def _figures(report: HostReport, facts: BoardFacts, pack: Pack | None) -> HostReport:
    """Add what the board is and what was measured there."""
    bench: dict[str, Any] = facts.reports.get("bench", {})
    total = bench.get("total", {})
    samples = total.get("samples") or [0.0]
    mean = statistics.fmean(samples)
    return replace(
        report,
        board=facts.name,
        system=facts.values.get("system"),
        python=facts.values.get("python"),
        bundle=bench.get("bundle") or (pack.bundle if pack else None),
        variant=bench.get("variant"),
        engine=bench.get("engine") or (pack.engine if pack else None),
        engine_version=bench.get("engine_version"),
        threads=bench.get("threads"),
        milliseconds=total.get("p50"),
        photos_per_second=1e3 / mean if mean else None,
        memory=bench.get("peak_memory_bytes"),
        temperature=(bench.get("after") or {}).get("temperature"),
        services=facts.services,
        journal=facts.journal,
    )
