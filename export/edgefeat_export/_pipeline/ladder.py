"""The ladder of an int8 variant: the attempts to make it, in order, until one passes the gate.

1. Correct the weights, with the first layers in float where they cost no time there, by the cost table.
2. If that passes the gate, but is not near: keep more first layers in float, while int8 stays much faster than float.
3. If it misses the gate: keep the most sensitive sections in float as well, as few as possible.

A file of a network with swish or hard-swish that is not near at the end is left out unless it is asked for.

The effort limits the number of rungs: "quick" stops after the first, "normal" tries those that are expected to pass,
unless int8 is slower than float anyway, by the cost table, and "thorough" tries one number of sections after another.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from edgefeat import EngineError, ExportError
from edgefeat._bundle.gate import DEFAULT_GATE
from edgefeat._bundle.manifest import Fidelity
from edgefeat_export._measure.gate import unfaithful
from edgefeat_export._measure.variants import ENGINES, Made, measure_variant
from edgefeat_export._pipeline.steps import (
    CHOOSE_EARLY_SECTIONS,
    CORRECT_WEIGHTS,
    ESTIMATED_COST,
    EXTEND_EARLY_SECTIONS,
    INT8_VARIANTS,
    RANK_SECTIONS,
)
from edgefeat_export._pipeline.worker_pool import Workers
from edgefeat_export._quantize.correction.pieces import MIXED
from edgefeat_export._quantize.records import Corrected, EarlySections, Estimate, Prefixes, Rung, Sensitivity
from edgefeat_export._spec import RANDOM, Effort, VariantSpec
from edgefeat_export._workspace import BuiltNetwork

__all__ = ["Ladder", "float_groups"]

#: A network with no more multiplications is corrected again with layers in float even if int8 is slower than float:
#: it takes seconds.
_CHEAP_PRODUCTS = 1e9

#: If int8 takes more than this many times as long as float32, layers in float are not tried.
_SLOWER = 1.25

#: If int8 takes more than this many times as long as float32, and this many milliseconds longer, it is made only if it
#: is asked for by name. The estimate is up to a tenth off, and a smaller file is worth something.
_PAYS, _MATTERS = 1.1, 0.1

#: The numbers of groups of sections to try in float: beyond half of the groups, little is left in int8.
_FLOAT_GROUPS = (1, 2, 4, 6)

#: Below this mean cosine more layers are in float if int8 is much faster than float: as few as should be enough for
#: `_NEARER`. Then about 96 of 100 neighbours stay the same; after a swish or hard-swish they need a nearer feature.
_NEAR, _NEAR_CURVED, _NEARER = 0.9983, 0.999, 0.9993

#: An int8 file of a network with swish or hard-swish is written with at least this mean cosine and this minimum, unless
#: it is asked for: what keeps it nearer has taken back most of what int8 saves.
_WORTH, _WORTH_LEAST = 0.998, 0.99


@dataclass(slots=True)
class Ladder:
    """The ladder for the int8 variants of one network; measurements for one variant are reused for the other."""

    network: BuiltNetwork
    wanted: VariantSpec
    workers: Workers
    _early: EarlySections | None = None
    _longer: tuple[str, ...] | None = None
    _sensitivity: Sensitivity | None = None
    _corrected: dict[Rung, Corrected] = field(default_factory=dict)
    _passed: dict[str, Rung] = field(default_factory=dict)

    def climb(self, variant: str) -> Made | str:
        """Return the variant at the first rung that passes the gate, or the reason why there is none to be written."""
        found = self._climbed(variant)
        return found if isinstance(found, str) else self._not_worth(variant, found) or found

    def _not_worth(self, variant: str, made: Made) -> str | None:
        """Return why a file that passes the gate is left out, or None if it is written."""
        wanted = self.wanted
        is_random, chosen = self.network.spec.weights == RANDOM, wanted.gate != DEFAULT_GATE or wanted.named
        if is_random or chosen or wanted.effort != "normal" or wanted.float_layers is not None:
            return None
        if not self._early_sections().curved or MIXED not in wanted.pieces:
            return None
        mean, least = _cosine(made), min(figures.minimum_cosine for figures in made.measured.fidelity.values())
        if mean >= _WORTH and least >= _WORTH_LEAST:
            return None
        form = variant.partition("-")[0]
        cost = self.workers.run(ESTIMATED_COST, self.network.work, self._passed[variant].float_sections)[form]
        return (
            f"its mean cosine is {mean:.4f} and its minimum {least:.4f} (with curves such as swish: {_WORTH} "
            f"and {_WORTH_LEAST} or more) at an estimated {cost.int8:.2f} ms on {ENGINES[form]} and one thread, where "
            f"{form}-float32 takes {cost.float32:.2f} ms; ask for it by name to have it: --variants {variant}"
        )

    def _climbed(self, variant: str) -> Made | str:
        """Return the variant at the first rung that passes the gate, or the reason why the best rung missed it."""
        form = variant.partition("-")[0]
        effort, best = self.wanted.effort, _Best()
        early = self._early_sections()
        cost = early.estimates[form]
        if not self.wanted.named and cost.slowness > _PAYS and cost.int8 - cost.float32 > _MATTERS:
            return f"{_slower(form, cost)}; ask for it by name to have it: --variants {variant}"
        own = early.sections[form]
        alike = len(set(early.sections.values())) == 1
        first = self._rung(own, form, both=alike)
        made = self._attempt(variant, first, best)
        if effort == "quick":
            return made or f"{best.reason}; more effort (--effort normal) may reach it"
        if made is not None:
            return self._nearer(variant, made, first)
        if effort == "normal":
            if early.products > _CHEAP_PRODUCTS and cost.slowness > _SLOWER:
                slower = _slower(form, cost)
                return f"{best.reason}; {slower}, so no layers in float were tried (try them with --effort thorough)"
            # One correction for both formats.
            own, alike = min(early.sections.values(), key=len), True
        for groups in float_groups(self.ranked(), effort, 1 - best.cosine, self.wanted.gate.mean_cosine):
            sections = tuple(dict.fromkeys([*own, *(name for group in groups for name in group)]))
            made = self._attempt(variant, self._rung(sections, form, both=alike), best)
            if made is not None:
                return made
        return best.reason

    def _nearer(self, variant: str, made: Made, first: Rung) -> Made:
        """Return the variant with more first layers in float than in `first` if `made`, made there, is not near enough.

        If it is no nearer so, or cannot be made, `made` is returned, with its file in place.

        Both formats get the same layers: those that the format made first needs. With random weights the file stays as
        it is: their fidelity says nothing of the trained network.
        """
        reached, is_random = _cosine(made), self.network.spec.weights == RANDOM
        near = _NEAR_CURVED if self._early_sections().curved else _NEAR
        if reached >= near or is_random or MIXED not in self.wanted.pieces or self.wanted.float_layers is not None:
            return made
        if self._longer is None:
            found = self.workers.run(EXTEND_EARLY_SECTIONS, self.network.work, first.float_sections)
            self._longer = _near_enough(found, 1 - reached)
        if self._longer == first.float_sections:
            return made
        try:
            nearer = self._attempt(variant, replace(first, float_sections=self._longer), _Best())
        except (EngineError, ExportError):
            nearer = None  # a converter fails with these layers in float: what has passed the gate is not lost
        if nearer is not None and _cosine(nearer) > reached:
            return nearer
        self.workers.run(INT8_VARIANTS[variant], self.network, self._corrected[first])
        self._passed[variant] = first
        return made

    def _rung(self, sections: tuple[str, ...], form: str, *, both: bool) -> Rung:
        """Return a rung for one format, or with `both` for all formats that are wanted in int8."""
        wanted = tuple(one.partition("-")[0] for one in self.wanted.variants if one in INT8_VARIANTS)
        pieces = tuple(piece for piece in self.wanted.pieces if piece != MIXED)
        return Rung(sections, pieces, wanted if both else (form,))

    def _attempt(self, variant: str, rung: Rung, best: _Best) -> Made | None:
        """Return the variant made at a rung; None if it misses the gate, which is then noted in `best`."""
        if rung not in self._corrected:
            self._corrected[rung] = self.workers.run(CORRECT_WEIGHTS, self.network.work, rung)
        done = self._corrected[rung]
        self.workers.run(INT8_VARIANTS[variant], self.network, done)
        measured = measure_variant(self.network, variant)
        short = unfaithful(variant, measured.fidelity, self.wanted.gate)
        if short is None:
            self._passed[variant] = rung
            mixed = (MIXED,) if done.float_operations and MIXED in self.wanted.pieces else ()
            return Made(variant, measured, (*done.pieces, *mixed), done.float_operations)
        best.note(short, measured.fidelity, done)
        return None

    def _early_sections(self) -> EarlySections:
        if self._early is None:
            some = MIXED in self.wanted.pieces and self.wanted.effort != "quick"
            wanted = self.wanted.float_layers if some or self.wanted.float_layers is not None else {}
            self._early = self.workers.run(CHOOSE_EARLY_SECTIONS, self.network.work, wanted)
        return self._early

    def ranked(self) -> Sensitivity:
        """Return the sections that gain the most if they stay in float."""
        if self._sensitivity is None:
            self._sensitivity = self.workers.run(RANK_SECTIONS, self.network.work)
        return self._sensitivity


@dataclass(slots=True)
class _Best:
    """The best rung that missed the gate: its mean cosine, and the reason."""

    cosine: float = -1.0
    reason: str = ""

    def note(self, short: str, fidelity: dict[str, Fidelity], done: Corrected) -> None:
        """Record another rung that missed the gate."""
        reached = min(figures.mean_cosine for figures in fidelity.values())
        if reached > self.cosine or not self.reason:
            count = len(done.rung.float_sections)
            kept = f", with {count} of {done.sections} layers in float" if count else ""
            self.cosine, self.reason = reached, short + kept


def _cosine(made: Made) -> float:
    """Return the mean cosine of the worst tap."""
    return min(figures.mean_cosine for figures in made.measured.fidelity.values())


def _near_enough(found: Prefixes, loss: float) -> tuple[str, ...]:
    """Return the shortest prefix expected to be near enough, or the longest; `loss` is that of the first, corrected."""
    gained = loss / max(found.losses[0], 1e-9)
    for sections, left in zip(found.sections[1:], found.losses[1:], strict=True):
        if left * gained <= 1 - _NEARER:
            return sections
    return found.sections[-1]


def float_groups(
    found: Sensitivity, effort: Effort, loss: float, allowed: float
) -> Iterator[tuple[tuple[str, ...], ...]]:
    """Yield the groups of sections to keep in float, in the order in which to try them.

    `loss` is the distance of the mean cosine from 1 after the first rung, `allowed` the gate's mean cosine. "thorough"
    tries one number of groups after another. "normal" starts with the first that is expected to pass, assuming
    correction gains as much with these sections in float as without, and tries one more.
    """
    counts = [count for count in _FLOAT_GROUPS if count < len(found.groups)]
    if effort == "normal" and counts:
        gained = loss / max(found.losses[0], 1e-9)
        should = [
            index
            for index, count in enumerate(counts)
            if count < len(found.losses) and found.losses[count] * gained <= 1 - allowed
        ]
        first = should[0] if should else len(counts) - 1
        counts = counts[first : first + 2]
    for count in counts:
        yield found.groups[:count]


def _slower(form: str, cost: Estimate) -> str:
    """Return that int8 is slower than float in a format, with both estimates."""
    return (
        f"it is slower than float: an estimated {cost.int8:.2f} ms on {ENGINES[form]} and one thread, and "
        f"{form}-float32 {cost.float32:.2f} ms"
    )
