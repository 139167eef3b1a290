"""A progress bar for long operations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

__all__ = ["Bar", "bar", "with_bar"]

T = TypeVar("T")


class Bar(Protocol):
    """A progress bar."""

    def update(self, n: float | None = 1) -> object:
        """Advance the bar by `n`."""
        ...


class _NoBar:
    def update(self, n: float | None = 1) -> None:
        return None


@contextmanager
def bar(total: int, what: str, unit: str, *, show: bool) -> Iterator[Bar]:
    """Show a bar on standard error, or nothing if `show` is False."""
    if not show:
        yield _NoBar()
        return
    from tqdm import tqdm

    with tqdm(total=total, desc=what, unit=unit) as shown:
        yield shown


def with_bar(items: Iterable[T], total: int, what: str, unit: str, *, show: bool) -> Iterator[T]:
    """Yield the items while a bar counts them."""
    with bar(total, what, unit, show=show) as shown:
        for item in items:
            yield item
            shown.update(1)
