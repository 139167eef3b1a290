"""The protocol of the engines that execute variants on the device."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib.machinery import ModuleSpec
from typing import TYPE_CHECKING, NamedTuple, Protocol

from edgefeat._bundle.manifest import Format, Integers, Manifest, Tap, Variant
from edgefeat._errors import EngineError, MissingExtraError
from edgefeat._version import install_command

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Engine", "Session", "open_variant", "resize_threads", "run", "turns"]

# `key: "location"` in TensorProto.external_data, in protobuf encoding with optional padding: it means weights outside
# the hashed file.
_EXTERNAL_DATA = re.compile(rb"(?:\x0a|\x8a\x80*\x00)(?:\x08|\x88\x80*\x00)location")


_LONGEST = 300


class Session(Protocol):
    """A loaded model."""

    #: Whether several threads may call `run` at once.
    thread_safe: bool
    #: Whether its threads keep their cores busy for a while after a run, which slows down what follows.
    spins: bool

    def run(self, pictures: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """Return the features of `pictures` (N, H, W, 3) in the manifest's order of taps: each (N, *tap.shape),
        float32.
        """
        ...


class Engine(NamedTuple):
    """An engine: its name, the package and extra that provide it, and the model format it runs."""

    name: str
    module: str
    distribution: str
    extra: str
    format: Format

    def version(self) -> str | None:
        """Return the installed version, or None if the engine is not installed. The engine is not imported."""
        spec = importlib.util.find_spec(self.module)
        if spec is None:
            return None
        if (found := _version_beside(spec, self.distribution)) is not None:
            return found
        from importlib.metadata import PackageNotFoundError, version  # takes 25 ms to import

        try:
            return version(self.distribution)
        except PackageNotFoundError:
            return "unknown"

    def open(self, model: bytes, taps: Sequence[Tap], threads: int, integers: Integers | None = None) -> Session:
        """Open a session on `model`, whose outputs are named by `taps`; `integers` are those of a model without floats.

        Raises EngineError if the engine cannot be imported or rejects the model, or if an ONNX file keeps weights in
        another file.
        """
        if importlib.util.find_spec(self.module) is None:
            raise MissingExtraError(
                f"engine {self.name!r} is not installed; install it with: {install_command(self.extra)}"
            )
        if self.format == "onnx" and b"location" in model and _EXTERNAL_DATA.search(model):
            raise EngineError("the ONNX file keeps weights in another file (required: a single file)")
        try:
            adapter = importlib.import_module(f"edgefeat._engines.adapters.{self.name.replace('-', '_')}")
        except Exception as error:  # of another processor or system, or in need of a library that is missing
            raise EngineError(f"engine {self.name} cannot be imported: {_said(error)}") from error
        try:
            session = adapter.open_session(model, tuple(tap.name for tap in taps), threads)
        except EngineError:
            raise
        except Exception as error:  # engines raise their own exceptions, some of them undocumented
            raise EngineError(f"engine {self.name} cannot load the model: {_said(error)}") from error
        if integers is None:
            return session  # type: ignore[no-any-return]  # the adapter is imported by its name
        from edgefeat._engines.adapters.integers import IntegerSession  # most variants do without

        return IntegerSession(session, taps, integers)


def _said(error: Exception) -> str:
    """Return an engine's message in one line; some contain the whole model."""
    said = " ".join(str(error)[: 2 * _LONGEST].split()) or type(error).__name__
    return said if len(said) <= _LONGEST else f"{said[:_LONGEST]}..."


def open_variant(engine: Engine, manifest: Manifest, variant: Variant, model: bytes, threads: int) -> Session:
    """Open a session on `model`, the file of a variant. Raises EngineError as `Engine.open` does."""
    return engine.open(model, manifest.taps, threads, variant.integers)


def _version_beside(spec: ModuleSpec, distribution: str) -> str | None:
    """Return the version from the name of the distribution's folder, which pip creates beside the module."""
    places = spec.submodule_search_locations
    if not places:
        return None
    start, end = f"{distribution.replace('-', '_')}-", ".dist-info"
    try:
        names = os.listdir(os.path.dirname(places[0]))
    except OSError:  # such as a module in a zip file
        return None
    found = [name[len(start) : -len(end)] for name in names if name.startswith(start) and name.endswith(end)]
    return found[0] if len(found) == 1 else None


def resize_threads(session: Session, threads: int, allowed: int) -> int:
    """Return how many of the `allowed` threads should resize: one if the session's own threads keep the cores busy."""
    return 1 if threads > 1 and session.spins else allowed


def turns(session: Session) -> AbstractContextManager[object]:
    """Return what a thread holds while it calls the session's `run`."""
    return nullcontext() if session.thread_safe else threading.Lock()


def run(session: Session, pictures: NDArray[np.uint8], taps: Sequence[Tap]) -> list[NDArray[np.float32]]:
    """Return the features of `pictures` (N, H, W, 3), N 0 or more: for each tap (N, *tap.shape), float32.

    Raises EngineError if the engine fails, or if the model's outputs differ from the manifest's taps.
    """
    if not len(pictures):
        import numpy as np  # who only names engines does without

        return [np.zeros((0, *tap.shape), np.float32) for tap in taps]
    try:
        features = session.run(pictures)
    except Exception as error:  # engines raise their own exceptions, some of them undocumented
        raise EngineError(f"the engine failed: {_said(error)}") from error
    for tap, feature in zip(taps, features, strict=True):
        if feature.shape != (len(pictures), *tap.shape) or feature.dtype.name != "float32":
            raise EngineError(
                f"the model gives {feature.dtype} {feature.shape[1:]} for tap {tap.name} "
                f"(the manifest says: float32 {tap.shape})"
            )
    return features
