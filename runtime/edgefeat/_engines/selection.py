"""Which variants can run on which engines here, in the documented order."""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator
from typing import NamedTuple

from edgefeat._bundle.manifest import ALL_VARIANTS, INTEGER, Variant
from edgefeat._bundle.reader import Bundle
from edgefeat._engines.device.cores import available_cores
from edgefeat._engines.engine import Engine
from edgefeat._engines.registry import ENGINES, engine_named
from edgefeat._errors import ArgumentError, EngineError, MissingExtraError
from edgefeat._images.frames.form import parse_frame
from edgefeat._version import install_command

__all__ = [
    "NOT_TUNED",
    "Choice",
    "candidates",
    "default_threads",
    "frame_refused",
    "photos_refused",
    "variants_in_order",
]

#: The reason for a choice that neither the user nor `tune` made.
NOT_TUNED = "first in the default order that an installed engine runs"


class Choice(NamedTuple):
    """A variant on an engine, and a short reason for this choice."""

    variant: Variant
    engine: Engine
    reason: str


def default_threads() -> int:
    """Return the number of usable cores, at most 4: small networks get slower with more threads."""
    return min(4, available_cores())


def candidates(
    bundle: Bundle, variant: str | None = None, engine: str | None = None, *, frame: str | None = None
) -> Iterator[Choice]:
    """Yield every choice that the arguments and the installed engines allow, best first.

    Without a `frame` only variants that take prepared images are chosen, unless `variant` names another. Raises
    ArgumentError for a variant, frame or engine that does not exist or a pair that does not match, and
    MissingExtraError if the requested engine, or any engine, is not installed.
    """
    if frame is not None and frame not in bundle.frames():
        raise _no_frame(bundle, frame)
    full = f"{variant}@{frame}" if variant is not None and frame is not None and "@" not in variant else variant
    wanted = bundle.variant(full) if full is not None else None
    if engine is not None:
        named = engine_named(engine)
        if wanted is not None and named.format != wanted.format:
            raise ArgumentError(f"engine {engine!r} runs .{named.format} files, but variant {wanted.name!r} is not one")
        if named.version() is None:
            raise _missing(named)
    installed = [one for one in ENGINES if one.version() is not None and engine in (None, one.name)]
    if not installed:
        raise MissingExtraError(f"no engine is installed; {_advice()}")
    variants = [wanted] if wanted is not None else variants_in_order(bundle, frame)
    found = [(one, other) for one in variants for other in installed if other.format == one.format]
    if not found:
        able = {one.format for one in variants}
        others = [one.name for one in ENGINES if one.version() is not None and one.format in able]
        if others:
            raise ArgumentError(
                f"engine {engine!r} runs none of the bundle's variants, {', '.join(one.name for one in variants)} "
                f"(allowed here: {', '.join(others)}): leave --engine out"
            )
        raise _nothing_runs(variants, installed)
    reason = _reason(variant is not None, engine is not None)
    for one, other in found:
        yield Choice(one, other, reason)


def variants_in_order(bundle: Bundle, frame: str | None = None) -> list[Variant]:
    """Return the bundle's variants that take prepared images, or a frame, in the order of preference.

    A variant of integers alone is one of them only if there is no other: it is for chips that have nothing else.
    """
    named = [one for one in bundle.manifest.variants if (one.frame.name if one.frame else None) == frame]
    usual = [one for one in named if one.base != INTEGER]
    return sorted(usual or named, key=lambda variant: ALL_VARIANTS.index(variant.base))


def _reason(variant_asked: bool, engine_asked: bool) -> str:
    if variant_asked and engine_asked:
        return "as requested"
    if variant_asked:
        return "requested variant, first installed engine that runs it"
    if engine_asked:
        return "requested engine, its first variant in the default order"
    return NOT_TUNED


def photos_refused(variant: str) -> ArgumentError:
    """Return the error for photos given to a variant that takes frames."""
    return ArgumentError(
        f"variant {variant} takes camera frames, not photos (use {variant.partition('@')[0]} for photos, and "
        "Extractor.extract_frame for frames)"
    )


def frame_refused(bundle: Bundle, variant: Variant) -> ArgumentError:
    """Return the error for a frame given to a variant that takes prepared images."""
    known = ", ".join(bundle.frames())
    way = f"load the bundle with frame=, one of {known}" if known else "edgefeat export ... --frame WIDTHxHEIGHT"
    return ArgumentError(f"variant {variant.name} takes prepared images, not camera frames (use {way})")


def _no_frame(bundle: Bundle, frame: str) -> ArgumentError:
    """Return the error for a frame that no variant takes."""
    known = ", ".join(bundle.frames()) or "none"
    missing = f"frame {frame!r} is not in bundle {bundle.path} (it has: {known})"
    try:
        parse_frame(frame)
    except ArgumentError as error:
        return ArgumentError(f"{missing}; {error}")
    return ArgumentError(f"{missing}: export it with: edgefeat export ... --frame {frame}")


def _missing(engine: Engine) -> MissingExtraError:
    return MissingExtraError(
        f"engine {engine.name!r} is not installed; install it with: {install_command(engine.extra)}"
    )


def _nothing_runs(variants: list[Variant], installed: list[Engine]) -> EngineError:
    formats = {variant.format for variant in variants}
    extras = " or ".join(install_command(engine.extra) for engine in ENGINES[:2] if engine.format in formats)
    return MissingExtraError(
        f"installed engines ({', '.join(engine.name for engine in installed)}) cannot run "
        f"{', '.join(variant.name for variant in variants)}; install one that can with: {extras}"
    )


def _advice() -> str:
    if struct.calcsize("P") == 8:
        return f"install one with: {install_command('litert')} (or onnx)"
    # 32-bit Python, as on 32-bit Raspberry Pi OS: only tflite-runtime has wheels, up to Python 3.11.
    if sys.version_info < (3, 12):
        return f"install one with: {install_command('tflite')}"
    return (
        f"none has wheels for a 32-bit Python {sys.version_info.major}.{sys.version_info.minor}: use a 64-bit system, "
        f"or Python 3.11 with: {install_command('tflite')}"
    )
