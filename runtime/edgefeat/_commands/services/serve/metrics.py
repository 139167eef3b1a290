"""What `/metrics` shows, in Prometheus' format."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

__all__ = ["METRICS_TYPE", "Metrics"]

METRICS_TYPE = CONTENT_TYPE_LATEST

_STAGES = ("wait", "prepare", "engine", "search")
_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


class Metrics:
    """Counters of requests and photos, times of each stage, and the server's state."""

    def __init__(self, version: str, bundle: str, variant: str, engine: str) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter("edgefeat_requests", "HTTP requests.", ("path", "status"), registry=self._registry)
        photos = Counter("edgefeat_photos", "Photos, by result.", ("result",), registry=self._registry)
        self._photos = {result: photos.labels(result) for result in ("ok", "unreadable", "failed")}
        stages = Histogram(
            "edgefeat_stage_seconds", "Time of a photo by stage.", ("stage",), registry=self._registry, buckets=_BUCKETS
        )
        self._stages = {stage: stages.labels(stage) for stage in _STAGES}
        self._answers: dict[tuple[str, int], Counter] = {}
        about = Gauge(
            "edgefeat_info", "What is served.", ("version", "bundle", "variant", "engine"), registry=self._registry
        )
        about.labels(version, bundle, variant, engine).set(1)
        ProcessCollector(registry=self._registry)

    def watch(self, name: str, help_text: str, value: Callable[[], float]) -> None:
        """Show the current `value` under `edgefeat_<name>`."""
        Gauge(f"edgefeat_{name}", help_text, registry=self._registry).set_function(value)

    def answered(self, path: str, status: int) -> None:
        """Count a request. `path` is one of the routes."""
        counter = self._answers.get((path, status))
        if counter is None:
            counter = self._answers[path, status] = self._requests.labels(path, str(status))
        counter.inc()

    def photo(self, result: str) -> None:
        """Count a photo: `ok`, `unreadable` or `failed`."""
        self._photos[result].inc()

    def took(self, stage: str, milliseconds: float) -> None:
        """Add the time of a stage."""
        self._stages[stage].observe(milliseconds / 1000)

    def text(self) -> bytes:
        """Return everything as text."""
        return generate_latest(self._registry)
