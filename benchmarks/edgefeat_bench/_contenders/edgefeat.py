"""edgefeat itself: one variant on one engine, or what `load` chooses after `edgefeat tune`."""

from __future__ import annotations

import time

import edgefeat
from edgefeat._commands.cli.terminal import counted
from edgefeat._engines.registry import engine_named
from edgefeat._images.picture import decoded, fitted, read_picture
from edgefeat_bench._contenders.interface import Answer, Opened, Picture, Task, flat


def open_contender(task: Task) -> Opened:
    """The stages of `Extractor.extract`, in the same order."""
    contender = task.contender
    # The tuned one uses the fastest number of threads, up to what all contenders may use.
    threads = task.threads if contender.variant else None
    extractor = edgefeat.load(task.bundle, variant=contender.variant, engine=contender.engine, threads=threads)
    form, resizers = extractor.bundle.manifest.picture, min(extractor.resize_threads, task.threads)

    def extract(picture: Picture) -> Answer:
        started = time.perf_counter()
        if not isinstance(picture, str):
            pixels = read_picture(picture, form, threads=resizers)
            prepared = time.perf_counter()
            return Answer(flat(extractor.run(pixels[None])), (0.0, prepared - started, time.perf_counter() - prepared))
        with decoded(picture, form, extractor.decoding) as image:
            whole = time.perf_counter()
            pixels = fitted(image, form, threads=resizers)
        prepared = time.perf_counter()
        features = extractor.run(pixels[None])
        return Answer(flat(features), (whole - started, prepared - whole, time.perf_counter() - prepared))

    distribution = engine_named(extractor.engine).distribution
    size = extractor.bundle.variant(extractor.variant).file.size
    words = f"{extractor.variant} on {extractor.engine}, {counted(extractor.threads, 'thread')}"
    return Opened(extract, ("edgefeat", distribution, "numpy", "pillow"), size, "" if contender.variant else words)


def open_reference(task: Task) -> Opened:
    """What all others are compared with if Keras is missing: a float32 variant, every pixel decoded. Not timed."""
    contender = task.contender
    extractor = edgefeat.load(task.bundle, variant=contender.variant, engine=contender.engine, decoding="exact")

    def extract(picture: Picture) -> Answer:
        return Answer(flat(extractor.run(extractor.prepare(picture)[None])))

    return Opened(extract, ("edgefeat",), None)
