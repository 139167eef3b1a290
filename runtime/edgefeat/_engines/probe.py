"""Whether an engine works on this processor at all: tested once in its own process, then remembered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgefeat._bundle.reader import Bundle
from edgefeat._engines.device.cache import cache_folder, read_cache, write_cache
from edgefeat._engines.device.processor import processor_key
from edgefeat._engines.engine import Engine
from edgefeat._errors import EngineError

if TYPE_CHECKING:
    from edgefeat._engines.isolated_run import Trial

__all__ = ["unusable"]

_TIMEOUT = 60.0

# The findings of this process, by engine and version, and by model hash if the model was refused. Used when the cache
# cannot be written.
_found: dict[str, str] = {}


def unusable(engine: Engine, bundle: Bundle, variant: str) -> str | None:
    """Return why the engine cannot be used on this processor, or None. Starts a process the first time only.

    Only a crash or a hang counts: an engine that refuses a model reports that when it is opened. A crash is remembered
    until the engine's version changes, a hang only in this process, since a busy machine looks the same.
    """
    name = f"{engine.name} {engine.version()}"
    this_model = f"{name} {bundle.variant(variant).file.sha256[:16]}"
    file = f"probes-{processor_key()}.json"
    again = ""
    verdict = _found.get(name, _found.get(this_model))
    if verdict is None:
        known = read_cache(file)
        if not isinstance(known, dict):
            known = {}
        verdict = known.get(name, known.get(this_model))
        if isinstance(verdict, str):
            again = f" (found earlier; delete {cache_folder() / file} to try again)"
        else:
            trial = _tried(engine.name, str(bundle.path), variant)
            verdict = trial.detail if trial.status in ("crashed", "hung") else ""
            # A refused model says nothing about other models, so it is remembered by its hash.
            tried = this_model if trial.status == "failed" else name
            _found[tried] = verdict
            if trial.status != "hung":
                write_cache(file, {**known, tried: verdict})
    return f"engine {engine.name} cannot be used on this processor: {verdict}{again}" if verdict else None


def _tried(engine: str, bundle: str, variant: str) -> Trial:
    from edgefeat._engines.isolated_run import Trial, run_trial  # needed once on a device

    try:
        return run_trial(bundle, variant=variant, engine=engine, threads=1, timeout=_TIMEOUT)
    except EngineError:  # no process can be started: it can only be opened here
        return Trial("ok", "")
