"""Preparing the images of an iterable while those before them are in use."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from PIL import Image

from edgefeat._errors import EdgefeatError
from edgefeat._images.sources.streams import as_picture_errors, opened_stream

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

__all__ = ["prepared_ahead"]

S = TypeVar("S")
T = TypeVar("T")


def prepared_ahead(
    pictures: Iterable[S], prepare: Callable[[object, int], T], *, ahead: int, workers: int, threads: int
) -> Generator[tuple[S, Callable[[], T]], None, None]:
    """Yield each image, in order, with a function that returns what `prepare` makes of it, or raises its error.

    `prepare` takes an image and the number of `threads` for it. Up to `ahead` following images are taken early; their
    files are prepared in up to `workers` other threads, one for each. What the owner of the iterable may change or use
    again is read before the next image is taken: a camera often fills one array, and Pillow gives all frames of a GIF
    as one image.
    """
    if not ahead:
        for picture in pictures:
            yield picture, partial(prepare, picture, threads)
        return
    from concurrent.futures import ThreadPoolExecutor  # takes 10 ms to import; not needed for one image

    waiting: deque[tuple[S, Future[T]]] = deque()
    with ThreadPoolExecutor(max_workers=min(ahead, workers)) as pool:
        try:
            for picture in pictures:
                waiting.append((picture, _begun(picture, prepare, pool, threads)))
                if len(waiting) > ahead or waiting[0][1].done():  # the next image may take long to come
                    first, future = waiting.popleft()
                    yield first, future.result
            for first, future in waiting:
                yield first, future.result
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _begun(picture: object, prepare: Callable[[object, int], T], pool: Executor, threads: int) -> Future[T]:
    if isinstance(picture, str | os.PathLike | bytes):
        return pool.submit(prepare, picture, 1)
    from concurrent.futures import Future

    done: Future[T] = Future()
    try:
        if not isinstance(picture, np.ndarray | Image.Image):
            with as_picture_errors(), opened_stream(picture) as stream:
                data = stream.read()
            return pool.submit(prepare, data, 1)
        done.set_result(prepare(picture, threads))
    except EdgefeatError as error:
        done.set_exception(error)
    return done
