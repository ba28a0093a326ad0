"""Sources that stand between a stage and the real supplier and get in the way."""

from collections.abc import Callable
from typing import Self

from shared.feeds.base import Page, Slice, SlicedSource

BeforePage = Callable[[Slice, int], None]  # the partition's slice, the offset; may raise


class Wrapped:
    """A source that does what the real one does, but for what it is told."""

    def __init__(
        self,
        real: SlicedSource,
        *,
        before_page: BeforePage = lambda _part, _offset: None,
        before_count: Callable[[], None] = lambda: None,
        counts: Callable[[int], int] = lambda counted: counted,
        hides: Callable[[Slice], bool] = lambda _part: False,
    ) -> None:
        """Wrap a source.

        counts  what it says instead of the real count
        hides   slices whose pages come back empty, whatever was counted
        """
        self._real = real
        self._before_page = before_page
        self._before_count = before_count
        self._counts = counts
        self._hides = hides

    def count(self, part: Slice, *, timeout_s: float | None = None) -> int:
        self._before_count()
        return self._counts(self._real.count(part, timeout_s=timeout_s))

    def page(self, part: Slice, offset: int, limit: int) -> Page:
        self._before_page(part, offset)
        return Page((), 0) if self._hides(part) else self._real.page(part, offset, limit)

    def requests(self) -> int:
        return self._real.requests()

    def apart(self) -> Self:
        return self

    def close(self) -> None:
        self._real.close()
