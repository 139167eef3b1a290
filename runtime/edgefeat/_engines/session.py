"""The session that runs: what was asked for, else what `tune` found fastest, else the first of the default order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from edgefeat._bundle.reader import Bundle
from edgefeat._engines.device.cache import cache_folder, tuned_file
from edgefeat._engines.engine import Session
from edgefeat._engines.probe import unusable
from edgefeat._engines.selection import Choice, candidates, default_threads
from edgefeat._errors import EngineError

__all__ = ["Opened", "open_session"]


class Opened(NamedTuple):
    """A loaded model, why it is this one, and how many threads it uses."""

    choice: Choice
    session: Session
    threads: int


def open_session(bundle: Bundle, variant: str | None, engine: str | None, threads: int | None) -> Opened:
    """The first choice that works on this processor and that its engine opens.

    Engines that do not are passed over, and named in the choice's reason. EngineError has every engine's own words
    where none works. Raises ArgumentError and MissingExtraError as `candidates` does.
    """
    taps = tuple(tap.name for tap in bundle.manifest.taps)
    refused: list[str] = []
    for choice, own_threads in _choices(bundle, variant, engine):
        count = threads if threads is not None else own_threads
        model = bundle.read(choice.variant.file)
        why = unusable(choice.engine, bundle, choice.variant.name)
        try:
            if why is not None:
                raise EngineError(why)
            session = choice.engine.open(model, taps, count)
        except EngineError as error:
            if str(error) not in refused:
                refused.append(str(error))
            continue
        passed_over = f"; passed over: {'; '.join(refused)}" if refused else ""
        return Opened(choice._replace(reason=choice.reason + passed_over), session, count)
    raise EngineError("; ".join(refused))


def _choices(bundle: Bundle, variant: str | None, engine: str | None) -> Iterator[tuple[Choice, int]]:
    """Every choice with its number of threads. One asked for is looked up too: `tune` knows its best engine."""
    found = list(candidates(bundle, variant, engine))
    tuned = None
    if (cache_folder() / tuned_file(bundle.identity)).exists():
        from edgefeat._engines.tuning_record import remembered

        tuned = remembered(bundle, variant, engine)
    if tuned is not None:
        yield tuned
    for choice in found:
        if tuned is None or (choice.variant.name, choice.engine.name) != (tuned[0].variant.name, tuned[0].engine.name):
            yield choice, default_threads()
