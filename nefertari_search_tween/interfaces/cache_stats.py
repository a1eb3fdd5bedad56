"""What the caches of all processes found, in the primary database, which every process shares."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

# What a process had to tell is kept for so long after its last word.
KEPT_MILLISECONDS = 24 * 3600 * 1000


class CacheStats(NamedTuple):
    """What the cache of one process found for one model since the process began.

    :param hits: answers that were kept.
    :param misses: answers that the search server was asked for.
    """

    process: str
    model: str
    hits: int
    misses: int


class CacheStatsStore(Protocol):
    """Where they are written down."""

    def store(self, process: str, figures: Mapping[str, tuple[int, int]]) -> None:
        """Replace what *process* has told; forget whom nobody has heard of for a day.

        :param figures: model name -> hits, misses.
        """

    def read_all(self) -> list[CacheStats]:
        """What was told in the last day, by process and model."""


def hit_rates(stats: Iterable[CacheStats]) -> dict[str, float]:
    """Model name -> the part of its answers that were kept, of all processes."""
    hits: dict[str, int] = {}
    total: dict[str, int] = {}
    for each in stats:
        hits[each.model] = hits.get(each.model, 0) + each.hits
        total[each.model] = total.get(each.model, 0) + each.hits + each.misses
    return {name: hits[name] / count for name, count in total.items() if count}
