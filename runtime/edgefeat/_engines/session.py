"""Opening a session for a bundle: as requested, else the result of `tune`, else the first in the default order."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

from edgefeat._bundle.reader import Bundle
from edgefeat._engines.device.cache import cache_folder, tuned_file
from edgefeat._engines.engine import Session, open_variant
from edgefeat._engines.probe import unusable
from edgefeat._engines.selection import Choice, candidates, default_threads
from edgefeat._errors import EngineError

__all__ = ["Opened", "open_session"]


class Opened(NamedTuple):
    """A loaded model, the reason for this choice, and the number of threads."""

    choice: Choice
    session: Session
    threads: int


def open_session(
    bundle: Bundle, variant: str | None, engine: str | None, threads: int | None, frame: str | None = None
) -> Opened:
    """Open the first choice that works on this processor, of those that take `frame` or, without it, prepared images.

    Engines that do not work are skipped and named in the choice's reason. If none works, EngineError has every engine's
    message. Raises ArgumentError and MissingExtraError as `candidates` does.
    """
    refused: list[str] = []
    for choice, own_threads in _choices(bundle, variant, engine, threads, frame):
        count = threads if threads is not None else own_threads
        model = bundle.read(choice.variant.file)
        why = unusable(choice.engine, bundle, choice.variant.name)
        try:
            if why is not None:
                raise EngineError(why)
            session = open_variant(choice.engine, bundle.manifest, choice.variant, model, count)
        except EngineError as error:
            if str(error) not in refused:
                refused.append(str(error))
            continue
        skipped = f"; skipped: {'; '.join(refused)}" if refused else ""
        return Opened(choice._replace(reason=choice.reason + skipped), session, count)
    raise EngineError("; ".join(refused))


def _choices(
    bundle: Bundle, variant: str | None, engine: str | None, threads: int | None, frame: str | None
) -> Iterator[tuple[Choice, int]]:
    """Yield every choice with its number of threads. The result of `tune` comes first if it matches the arguments."""
    found = list(candidates(bundle, variant, engine, frame=frame))
    tuned = None
    if os.path.exists(cache_folder() / tuned_file(bundle.identity)):  # false for a folder that may not be read
        from edgefeat._engines.tuning_record import remembered

        tuned = remembered(bundle, variant, engine, threads)
    if tuned is not None and frame is not None:
        # `tune` measures variants that take prepared images: behind a frame the same one is the fastest.
        same = [one for one in found if (one.variant.base, one.engine) == (tuned[0].variant.base, tuned[0].engine)]
        reason = f"{tuned[0].reason} for {tuned[0].variant.name}"
        tuned = (same[0]._replace(reason=reason), tuned[1]) if same else None
    if tuned is not None:
        yield tuned
    for choice in found:
        if tuned is None or (choice.variant.name, choice.engine.name) != (tuned[0].variant.name, tuned[0].engine.name):
            yield choice, default_threads()
