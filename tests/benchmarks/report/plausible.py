"""Runs such as `edgefeat-bench run` writes, made up of random samples around given medians, for what reads them.

A generator, not a recording: a test can say what the right figure is, and ask for many contenders or for broken ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from edgefeat_bench._records import (
    FORMAT,
    METHOD,
    Bulk,
    ColdStart,
    Conditions,
    Contender,
    Cost,
    CostPoint,
    Machine,
    Peak,
    Photos,
    Quality,
    Result,
    Run,
    Series,
    Side,
)

SETS = (
    Photos("640x480", 0.31, tuple(f"s{index}.jpg" for index in range(5))),
    Photos("1600x1200", 2.0, tuple(f"m{index}.jpg" for index in range(5))),
    Photos("4000x3000", 12.2, tuple(f"l{index}.jpg" for index in range(3))),
    Photos("640x480 array", 0.05, tuple(f"a{index}" for index in range(5)), arrays=True),
)
DECODE = {"640x480": (3.0, 0.4), "1600x1200": (14.0, 0.9), "4000x3000": (74.0, 1.0), "640x480 array": (0.0, 0.3)}


@dataclass(frozen=True)
class Plan:
    """What a contender is to be: milliseconds of its inference, decoding by this factor, and the rest."""

    name: str
    kind: str
    side: Side
    inference: float
    decoding: float = 1.0
    cosine: float | None = 1.0
    memory: float = 60e6
    model: float | None = 1.6e6
    status: str = "ok"


KERAS = Plan("keras predict", "keras-predict", "tensorflow", 62.0, 2.5, 1.0, 716e6, None)
TUNED = Plan("edgefeat tuned", "edgefeat-tuned", "edgefeat", 2.2, 1.0, 0.99998)
FEW = (KERAS, TUNED)
MANY = (
    KERAS,
    Plan("keras call", "keras-call", "tensorflow", 38.0, 2.5, 1.0, 714e6, None),
    Plan("keras tf.function", "tf-function", "tensorflow", 12.0, 2.5, 1.0, 720e6, None),
    Plan("saved model, tf.io", "tf-saved-model", "tensorflow", 11.0, 2.0, 0.9994, 690e6, 7.1e6),
    TUNED,
    *(
        Plan(
            f"edgefeat {variant} {engine} x{threads}",
            "edgefeat",
            "edgefeat",
            ms / threads**0.6,
            1.0,
            cosine,
            memory,
            model,
        )
        for variant, engine, ms, cosine, memory, model in (
            ("tflite-float32", "litert", 2.4, 0.99998, 64e6, 1.61e6),
            ("tflite-float16", "litert", 2.5, 0.9996, 63e6, 0.86e6),
            ("tflite-int8", "litert", 2.1, 0.9909, 60e6, 0.64e6),
            ("tflite-dynamic", "litert", 9.7, 0.9896, 62e6, 0.56e6),
            ("onnx-float32", "onnxruntime", 2.6, 0.99998, 83e6, 1.65e6),
            ("onnx-int8", "onnxruntime", 2.5, 0.9967, 82e6, 0.65e6),
            ("onnx-float32", "openvino", 2.9, 0.99998, 133e6, 1.65e6),
        )
        for threads in (1,)
    ),
    Plan("mediapipe ImageEmbedder", "mediapipe", "peer", 4.9, 1.8, 0.991, 140e6, 4.1e6),
    Plan("litert, stock converter", "litert-stock", "peer", 2.5, 1.9, 0.9993, 75e6, 1.6e6),
    Plan("litert, stock int8", "litert-stock", "peer", 2.2, 1.9, 0.952, 70e6, 0.66e6),
    Plan("onnxruntime plain", "onnxruntime-plain", "peer", 2.6, 1.9, 0.99998, 92e6, 1.7e6),
    Plan("openvino plain", "openvino-plain", "peer", 2.2, 1.9, 0.99998, 141e6, 1.7e6),
    Plan('broken on <purpose> & "quoted" | ~~x~~', "edgefeat", "edgefeat", 1.1, 1.0, 0.41, status="wrong"),
    Plan("pytorch timm", "timm", "peer", 0, status="absent"),
    Plan("edgefeat tflite-int8 tflite-runtime", "edgefeat", "edgefeat", 0, status="absent"),
    Plan("edgefeat tflite-int8 openvino", "edgefeat", "edgefeat", 8.0, status="died"),
)


def plausible_run(
    plans: Sequence[Plan] = FEW,
    *,
    sets: Sequence[Photos] = SETS,
    rounds: int = 8,
    slower: float = 1.0,
    seed: int = 0,
    extras: bool = True,
    processor: str = "AMD EPYC 9J14 96-Core Processor",
    network: str = "mobilenet_v2, alpha 0.35, 224x224, weights imagenet",
    threads: int = 2,
) -> Run:
    """A run of `plans`; `slower` stretches what edgefeat takes, as a regression would."""
    random = np.random.default_rng(seed)
    results = tuple(_result(plan, sets, rounds, slower if plan.side == "edgefeat" else 1.0, random) for plan in plans)
    run = Run(
        format=FORMAT,
        edgefeat="0.1.0",
        date="2026-11-23",
        machine=Machine(processor, "x86_64", 2, 25_200_000_000, "Linux 6.1", "3.11.7", None),
        before=Conditions(0.31, None, 2600.0, None),
        after=Conditions(1.02, None, 2600.0, None),
        bundle="mobilenet_v2_0.35_224",
        identity="0f" * 32,
        network=network,
        threads=threads,
        seed=0,
        command="edgefeat-bench run mobilenet_v2_0.35_224.edgefeat photos/ --full",
        photos=tuple(sets),
        rounds=rounds,
        reference="keras float32, every pixel decoded",
        right_cosine=0.9,
        results=results,
        isolated=True,
        method=METHOD,
    )
    return _with_extras(run, plans, random) if extras else run


def samples(random: np.random.Generator, median: float, count: int) -> tuple[float, ...]:
    """`count` times in seconds around `median` milliseconds: a lower bound with a tail, as times are."""
    return tuple(np.round(median * 1e-3 * (0.96 + 0.08 * random.lognormal(-0.7, 0.8, count)), 7).tolist())


def _result(plan: Plan, sets: Sequence[Photos], rounds: int, slower: float, random: np.random.Generator) -> Result:
    contender = Contender(plan.name, plan.kind, plan.side)
    if plan.status == "absent":
        return Result(
            contender,
            "absent",
            "timm not installed",
            "pip install 'edgefeat[peers]'",
            {},
            None,
            None,
            None,
            None,
            (),
        )
    chosen = "tflite-int8 on litert" if plan.kind == "edgefeat-tuned" else ""
    reason = {"wrong": "its features have cosine 0.410 to keras predict's", "died": "exit status -4"}.get(
        plan.status, chosen
    )
    series = []
    for photos in sets[: 1 if plan.status == "died" else None]:
        count = rounds * len(photos.files)
        decode, resize = (samples(random, max(ms * plan.decoding * slower, 1e-4), count) for ms in DECODE[photos.name])
        inference = samples(random, plan.inference * slower, count)
        whole = tuple(round(sum(parts), 7) for parts in zip(decode, resize, inference, strict=True))
        stages = (decode, resize, inference) if plan.side == "edgefeat" else ((), (), ())
        series.append(Series(photos.name, whole, *stages))
    return Result(
        contender,
        plan.status,  # type: ignore[arg-type]  # a word of the plan
        reason,
        "",
        {"numpy": "2.4.6", "tensorflow" if plan.side == "tensorflow" else "ai-edge-litert": "2.21.0"},
        None if plan.model is None else int(plan.model),
        plan.cosine,
        2.3 if plan.side == "tensorflow" else 0.12,
        int(plan.memory),
        tuple(series),
    )


def _with_extras(run: Run, plans: Sequence[Plan], random: np.random.Generator) -> Run:
    shown = [plan for plan in plans if plan.status == "ok"]

    def seconds(median: float, count: int = 7) -> tuple[float, ...]:
        return samples(random, median * 1e3, count)

    def points(base: float, sizes: Sequence[float], growth: float) -> tuple[CostPoint, ...]:
        return tuple(CostPoint(size, samples(random, base * (size / sizes[0]) ** growth, 15)) for size in sizes)

    axes = (
        ("input side", (96, 128, 160, 192, 224, 320), 1.7),
        ("threads", (1, 2), -0.5),
        ("megapixels", (1, 2, 4, 8, 12, 48), 0.9),
    )
    return replace(
        run,
        cold_starts=(
            ColdStart("keras script", "tensorflow", seconds(3.54), 713_000_000, 2_162_000_000, True),
            ColdStart("litert and Pillow script", "peer", seconds(0.12), 54_000_000, 160_000_000, True),
            ColdStart("edgefeat extract", "edgefeat", seconds(0.18), 65_000_000, 161_000_000, True),
        ),
        bulk=(
            Bulk("keras predict, batches of 32", "tensorflow", 200, seconds(9.6, 5), 900_000_000),
            Bulk("edgefeat extract --workers 2", "edgefeat", 200, seconds(0.9, 5), 120_000_000),
        ),
        quality=tuple(
            Quality(plan.name, plan.side, 680, 17, plan.cosine, plan.cosine - 0.004, plan.cosine**8, 0.71, 0.86)
            for plan in shown
            if plan.cosine is not None
        ),
        costs=tuple(
            Cost(axis, plan.name, plan.side, points(plan.inference / 4, sizes, growth))  # type: ignore[arg-type]
            for axis, sizes, growth in axes
            for plan in (KERAS, TUNED, *[one for one in shown if "onnxruntime" in one.name][:2])
        ),
        peaks=(
            Peak("litert", "tflite-int8", 118_000_000, seconds(0.0021, 30), 4_300_000_000, seconds(0.019, 30)),
            Peak("onnxruntime", "onnx-int8", 118_000_000, seconds(0.0025, 30), 4_300_000_000, seconds(0.017, 30)),
        ),
    )
