"""A reader of a primary during whose first scan something happens."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Callable, Optional


class DisturbedReader:
    """Acts as *reader*; *disturb* runs once, behind the first chunk of a scan (of either kind)."""

    def __init__(self, reader: Any, disturb: Optional[Callable[[], object]] = None) -> None:
        self._reader = reader
        self._disturb = disturb

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)

    def scan(self, *arguments: Any) -> Iterator[Any]:
        return self._disturbed(self._reader.scan(*arguments))

    def scan_objects(self, *arguments: Any) -> Iterator[Any]:
        return self._disturbed(self._reader.scan_objects(*arguments))

    def _disturbed(self, chunks: Iterator[Any]) -> Iterator[Any]:
        for chunk in chunks:
            yield chunk
            disturb, self._disturb = self._disturb, None
            if disturb is not None:
                disturb()
