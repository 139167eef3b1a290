"""Whether an engine works on this processor at all, tried once in a process of its own and remembered."""

from __future__ import annotations

import sys

from edgefeat._bundle import Bundle
from edgefeat._device import cache_folder, processor_key, read_cache, write_cache
from edgefeat._engines import Engine
from edgefeat._trial import Trial, run_trial

__all__ = ["unusable"]

_TIMEOUT = 60.0

# What this process found, by engine and version: it holds where no cache can be written.
_found: dict[str, str] = {}


def unusable(engine: Engine, bundle: Bundle, variant: str) -> str | None:
    """Why the engine cannot be used on this processor, or None. Costs a process the first time, then a small file.

    Only a crash or a hang counts: an engine that merely refuses a model says so itself when it is opened here.
    """
    name = f"{engine.name} {engine.version()}"
    file = f"probes-{processor_key()}.json"
    again = ""
    verdict = _found.get(name)
    if verdict is None:
        known = read_cache(file)
        if not isinstance(known, dict):
            known = {}
        verdict = known.get(name)
        if isinstance(verdict, str):
            again = f" (found earlier; delete {cache_folder() / file} to try again)"
        else:
            trial = _tried(engine.name, str(bundle.path), variant)
            verdict = _found[name] = trial.detail if trial.status in ("crashed", "hung") else ""
            if trial.status != "failed":  # a model that was refused says nothing of the next one
                write_cache(file, {**known, name: verdict})
    return f"engine {engine.name} cannot be used on this processor: {verdict}{again}" if verdict else None


def _tried(engine: str, bundle: str, variant: str) -> Trial:
    if not sys.executable:  # Python is embedded in another program: there is no process to try it in
        return Trial("ok", "")
    return run_trial(bundle, variant=variant, engine=engine, threads=1, timeout=_TIMEOUT)
