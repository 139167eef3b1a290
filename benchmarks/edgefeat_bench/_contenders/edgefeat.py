"""edgefeat itself: one variant on one engine, or what `load` takes by itself after `edgefeat tune`."""

from __future__ import annotations

import time

import edgefeat
from edgefeat._commands.cli.terminal import counted
from edgefeat._engines.engine import engine_named
from edgefeat._images.picture import decoded, fitted, read_picture
from edgefeat_bench._contenders.interface import Answer, Opened, Picture, Task, laid_out

__all__ = ["open_contender", "open_reference"]


def open_contender(task: Task) -> Opened:
    """The bundle loaded; its stages are those of `Extractor.extract`, in the same order."""
    contender = task.contender
    # The tuned one takes as many threads as were found fastest, of those that all may have.
    threads = task.threads if contender.variant else None
    extractor = edgefeat.load(task.bundle, variant=contender.variant, engine=contender.engine, threads=threads)
    form, resizers = extractor.bundle.manifest.picture, min(extractor.resize_threads, task.threads)

    def extract(picture: Picture) -> Answer:
        started = time.perf_counter()
        if not isinstance(picture, str):
            pixels = read_picture(picture, form, threads=resizers)
            prepared = time.perf_counter()
            return Answer(
                laid_out(extractor.run(pixels[None])), (0.0, prepared - started, time.perf_counter() - prepared)
            )
        with decoded(picture, form, extractor.decoding) as image:
            whole = time.perf_counter()
            pixels = fitted(image, form, threads=resizers)
        prepared = time.perf_counter()
        features = extractor.run(pixels[None])
        return Answer(laid_out(features), (whole - started, prepared - whole, time.perf_counter() - prepared))

    distribution = engine_named(extractor.engine).distribution
    size = extractor.bundle.variant(extractor.variant).file.size
    words = f"{extractor.variant} on {extractor.engine}, {counted(extractor.threads, 'thread')}"
    return Opened(extract, ("edgefeat", distribution, "numpy", "pillow"), size, "" if contender.variant else words)


def open_reference(task: Task) -> Opened:
    """What all are held against where there is no Keras: a float32 variant, every pixel decoded. It is not timed."""
    contender = task.contender
    extractor = edgefeat.load(task.bundle, variant=contender.variant, engine=contender.engine, decoding="exact")

    def extract(picture: Picture) -> Answer:
        return Answer(laid_out(extractor.run(extractor.prepare(picture)[None])))

    return Opened(extract, ("edgefeat",), None)
