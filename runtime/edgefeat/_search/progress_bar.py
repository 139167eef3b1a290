"""A progress bar for what takes minutes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

__all__ = ["Bar", "bar", "with_bar"]

T = TypeVar("T")


class Bar(Protocol):
    """Something that is told how much more is done."""

    def update(self, n: float | None = 1) -> object:
        """So much more is done."""
        ...


class _NoBar:
    def update(self, n: float | None = 1) -> None:
        return None


@contextmanager
def bar(total: int, what: str, unit: str, *, show: bool) -> Iterator[Bar]:
    """A bar on standard error, or with `show` False one that shows nothing."""
    if not show:
        yield _NoBar()
        return
    from tqdm import tqdm

    with tqdm(total=total, desc=what, unit=unit) as shown:
        yield shown


def with_bar(items: Iterable[T], total: int, what: str, unit: str, *, show: bool) -> Iterator[T]:
    """The items, with a bar of how many are done."""
    with bar(total, what, unit, show=show) as shown:
        for item in items:
            yield item
            shown.update(1)
