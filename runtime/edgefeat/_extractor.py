"""The extractor: a loaded bundle that turns images into features."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, Generic, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from edgefeat._bundle.manifest import Tap
from edgefeat._bundle.reader import Bundle
from edgefeat._engines.device.cores import checked_threads
from edgefeat._engines.engine import Session, open_variant, resize_threads
from edgefeat._engines.forked_sessions import ReopenedSession
from edgefeat._engines.selection import Choice, default_threads, frame_refused, photos_refused
from edgefeat._engines.session import open_session
from edgefeat._errors import ArgumentError, EdgefeatError, PictureError, checked_type, checked_whole
from edgefeat._images.form import Decoding
from edgefeat._images.frames.buffer import FrameBuffer, frame_array
from edgefeat._images.frames.form import FrameForm
from edgefeat._images.limits import DEFAULT_LIMITS, MAX_PIXELS, Limits
from edgefeat._images.picture import Channels, PictureSource, are_several, check_several, read_with_share
from edgefeat._images.pillow_version import warn_of_old_pillow
from edgefeat._images.sources.ahead import prepared_ahead

__all__ = ["Extraction", "Extractor", "Feature", "load"]

#: One tap's feature or, if the bundle has several taps, a dict by name.
Feature: TypeAlias = "NDArray[np.float32] | dict[str, NDArray[np.float32]]"

S = TypeVar("S", bound=PictureSource)

# An image in the model's input form, and the share of its rows that was in the file.
_Prepared: TypeAlias = tuple[NDArray[np.uint8], float]

# Images decoded together by `extract`: enough for an engine that runs batches, few enough for a small device.
_BATCH = 8


@dataclass(frozen=True, slots=True)
class Extraction(Generic[S]):
    """The result for one image: `feature` or, if it could not be read, `error`.

    `share` is the share of the image's rows that was in the file: below 1 for a truncated image that `least_share`
    allows.
    """

    source: S
    feature: Feature | None
    error: EdgefeatError | None
    share: float = 1.0


class Extractor:
    """A bundle loaded into an engine, created by `load`. It may be shared between threads."""

    def __init__(
        self,
        bundle: Bundle,
        choice: Choice,
        session: Session,
        *,
        threads: int,
        resize_threads: int,
        decoding: Decoding,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self._bundle = bundle
        self._choice = choice
        self._threads = threads
        self._resize_threads = resize_threads
        self._decoding: Decoding = decoding
        self._limits = limits
        variant = choice.variant
        self._session = ReopenedSession(  # not a method: the session must end with the extractor
            session, lambda: open_variant(choice.engine, bundle.manifest, variant, bundle.read(variant.file), threads)
        )

    @property
    def bundle(self) -> Bundle:
        """The bundle that was loaded."""
        return self._bundle

    @property
    def variant(self) -> str:
        """The name of the variant in use, such as `tflite-int8`."""
        return self._choice.variant.name

    @property
    def frame(self) -> FrameForm | None:
        """The camera frame that the variant takes, or None if it takes prepared images."""
        return self._choice.variant.frame

    @property
    def engine(self) -> str:
        """The name of the engine in use, such as `litert`."""
        return self._choice.engine.name

    @property
    def engine_version(self) -> str:
        """The engine's version."""
        return self._choice.engine.version() or "unknown"

    @property
    def reason(self) -> str:
        """Why this variant and engine were chosen."""
        return self._choice.reason

    @property
    def threads(self) -> int:
        """The number of threads the engine uses for one image."""
        return self._threads

    @property
    def resize_threads(self) -> int:
        """The number of threads that resize one image."""
        return self._resize_threads

    @property
    def decoding(self) -> Decoding:
        """`fast` or `exact`."""
        return self._decoding

    @property
    def limits(self) -> Limits:
        """The limits on what it reads."""
        return self._limits

    @property
    def taps(self) -> tuple[Tap, ...]:
        """The taps, in the manifest's order."""
        return self._bundle.manifest.taps

    def __reduce__(self) -> tuple[Any, ...]:
        # A session cannot be copied to another process: there the same bundle is loaded again.
        names = "variant", "engine", "threads", "decoding"
        options = {name: getattr(self, name) for name in names} | asdict(self._limits)
        return partial(load, replace(self._bundle, path=self._bundle.path.absolute()), **options), ()

    def __repr__(self) -> str:
        return f"<edgefeat.Extractor {self._bundle.manifest.name} {self.variant} on {self.engine}>"

    def extract(self, pictures: PictureSource | Sequence[PictureSource], /, *, channels: Channels = "rgb") -> Feature:
        """Return the feature of one image, shape (D,), or of a sequence (or uint8 array (N, H, W, 3)), shape (N, D).

        The type is float32. For an unpooled tap the shape has (H, W, C) in place of (D,); with several taps the result
        is a dict by tap. `channels` is the channel order of arrays: "bgr" for OpenCV frames. Raises PictureError with
        the name of the first image that cannot be read (`stream` continues past it).
        """
        if are_several(pictures):
            return self._extract_many(pictures, channels)
        prepared = self._prepare_named(pictures, "", channels)  # type: ignore[arg-type]  # these are not several
        return self._shaped([rows[0] for rows in self._run(prepared[np.newaxis])])

    def extract_frame(self, buffer: FrameBuffer, *, stride: int | None = None) -> Feature:
        """Return the feature of one camera frame, with the shapes of `extract`. Load the bundle with `frame=` for it.

        `buffer` is the camera's memory or a uint8 array of shape `frame.shape`, not copied unless rows are padded:
        `stride` is then the number of bytes from one row to the next. Raises ArgumentError for another size or type.
        """
        if self.frame is None:
            raise frame_refused(self._bundle, self._choice.variant)
        return self._shaped([rows[0] for rows in self._run(frame_array(buffer, self.frame, stride))])

    def prepare(self, picture: PictureSource, *, channels: Channels = "rgb") -> NDArray[np.uint8]:
        """Return the image as the model's input: uint8 RGB (height, width, 3). Raises PictureError, ArgumentError."""
        return self._prepare(channels, picture, self.resize_threads)[0]

    def prepare_with_share(
        self, picture: PictureSource, *, threads: int | None = None, limits: Limits | None = None
    ) -> _Prepared:
        """Return the result of `prepare` and the share of the image's rows that was in the file.

        `threads` resize the image, and it must be within `limits`; both default to the extractor's.
        """
        return self._prepare("rgb", picture, threads or self.resize_threads, limits)

    def _prepare(self, channels: Channels, picture: Any, threads: int, limits: Limits | None = None) -> _Prepared:
        self._check_photos()
        form = self._bundle.manifest.picture
        return read_with_share(picture, form, self._decoding, channels, threads=threads, limits=limits or self._limits)

    def _prepare_apart(self, channels: Channels, picture: Any, threads: int) -> _Prepared:
        """Prepare an image without sharing its memory, which its owner may change."""
        prepared, share = self._prepare(channels, picture, threads)
        shared = isinstance(picture, np.ndarray) and np.may_share_memory(prepared, picture)
        return prepared.copy() if shared else prepared, share

    def stream(self, pictures: Iterable[S], *, ahead: int = 4, channels: Channels = "rgb") -> Iterator[Extraction[S]]:
        """Yield one Extraction for each image, in order, including images that cannot be read. Takes any iterable.

        Up to `ahead` following images are taken early, and files decoded in other threads while the engine runs. Arrays
        and PIL images are resized before the next one is taken, so a camera may fill the same array again. With 0, an
        image's result comes before the next one is taken.
        """
        ahead = checked_whole("ahead", ahead, least=0)
        self._check_photos()
        check_several(pictures)
        return self._stream(pictures, ahead, channels)

    def _stream(self, pictures: Iterable[S], ahead: int, channels: Channels) -> Iterator[Extraction[S]]:
        if isinstance(pictures, Sequence) and len(pictures) == 1:
            ahead = 0
        prepare = partial(self._prepare_apart, channels)
        counts = {"ahead": ahead, "workers": default_threads(), "threads": self.resize_threads}
        with closing(prepared_ahead(pictures, prepare, **counts)) as found:
            for picture, prepared_with_share in found:
                yield self._extraction(picture, prepared_with_share)

    def run(self, pictures: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """Return the features of prepared images or frames, uint8 (N, ...): for each tap (N, *tap.shape), float32."""
        shape = self._bundle.manifest.input_shape(self._choice.variant)
        if pictures.dtype != np.uint8 or pictures.shape[1:] != shape:
            found, allowed = f"{pictures.dtype} {pictures.shape}", f"uint8 (N, {', '.join(map(str, shape))})"
            raise ArgumentError(f"prepared images are {found} (allowed: {allowed})")
        return self._run(pictures)

    def _check_photos(self) -> None:
        if self.frame is not None:
            raise photos_refused(self.variant)

    def _run(self, pictures: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        return self._session.run(pictures, self._bundle.manifest.taps)

    def _extraction(self, picture: S, prepared_with_share: Callable[[], _Prepared]) -> Extraction[S]:
        try:
            prepared, share = prepared_with_share()
        except EdgefeatError as error:
            return Extraction(picture, None, error)
        return Extraction(picture, self._shaped([rows[0] for rows in self._run(prepared[np.newaxis])]), None, share)

    def _extract_many(self, pictures: Sequence[PictureSource], channels: Channels) -> Feature:
        parts = [[np.zeros((0, *tap.shape), np.float32)] for tap in self.taps]
        count = len(pictures)
        for start in range(0, count, _BATCH):
            # One by one: not every sequence has slices, such as a deque of frames.
            places = range(start, min(start + _BATCH, count))
            prepared = [self._prepare_named(pictures[place], f"number {place}", channels) for place in places]
            for part, rows in zip(parts, self._run(np.stack(prepared)), strict=True):
                part.append(rows)
        return self._shaped([np.concatenate(part) for part in parts])

    def _prepare_named(self, picture: PictureSource, place: str, channels: Channels) -> NDArray[np.uint8]:
        """Prepare an image. Errors begin with its path or, if it has none, with its place in the sequence."""
        try:
            return self.prepare(picture, channels=channels)
        except (PictureError, ArgumentError) as error:
            name = repr(os.fspath(picture)) if isinstance(picture, str | os.PathLike) else place
            raise type(error)(f"image {name}: {error}" if name else str(error)) from error

    def _shaped(self, features: list[NDArray[np.float32]]) -> Feature:
        if len(features) == 1:
            return features[0]
        return {tap.name: feature for tap, feature in zip(self._bundle.manifest.taps, features, strict=True)}


def load(
    bundle: str | os.PathLike[str] | Bundle,
    *,
    variant: str | None = None,
    frame: str | None = None,
    engine: str | None = None,
    threads: int | None = None,
    decoding: Decoding = "fast",
    max_pixels: int = MAX_PIXELS,
    least_share: float = 1.0,
) -> Extractor:
    """Load a bundle into an engine and return the extractor.

    `variant`, `engine` and `threads` default to the fastest found by `edgefeat tune` on this device, else to the first
    of `edgefeat.VARIANTS` that the bundle has and an installed engine opens, with one thread a core, at most four.
    `frame`, such as "nv21-640x480", chooses the variant that takes this camera frame, for `extract_frame`. The same
    number of threads resizes images. `decoding` is "fast" or "exact" (as Keras decodes). Images of more than
    `max_pixels` decoded are refused, and truncated images with less than `least_share` of their rows (by default all
    truncated images). Raises BundleError, ArgumentError, EngineError, or MissingExtraError with the command that
    installs what is missing. Warns about a Pillow with known vulnerabilities.
    """
    checked_type("frame", frame, (str, type(None)), "a name such as 'nv21-640x480'")
    if threads is not None:
        threads = checked_threads(threads)
    if decoding not in ("fast", "exact"):
        raise ArgumentError(f"decoding {decoding!r} is unknown (allowed: 'fast', 'exact')")
    limits = Limits(max_pixels, least_share)
    warn_of_old_pillow()
    opened = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle)
    used = open_session(opened, variant, engine, threads, frame)
    resizing = resize_threads(used.session, used.threads, threads or default_threads())
    return Extractor(
        opened,
        used.choice,
        used.session,
        threads=used.threads,
        resize_threads=resizing,
        decoding=decoding,
        limits=limits,
    )
