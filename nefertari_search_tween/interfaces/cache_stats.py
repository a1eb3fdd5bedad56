"""Hits and misses of the caches of all processes, in the primary database, which they share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

# How long the statistics of a process are kept after its latest report.
KEPT_MILLISECONDS = 24 * 3600 * 1000


class CacheStats(NamedTuple):
    """Statistics of the cache of one process for one model since the process began.

    :param hits: responses that were cached.
    :param misses: responses that the search server was asked for.
    """

    process: str
    model: str
    hits: int
    misses: int


class CacheStatsStore(Protocol):
    """Where they are stored."""

    def store(self, process: str, counts: Mapping[str, tuple[int, int]]) -> None:
        """Replace the counts of *process*, and delete those that are older than a day.

        :param counts: model name -> hits, misses.
        """

    def read_all(self) -> list[CacheStats]:
        """Return what was reported in the last day, by process and model."""


def hit_rates(stats: Iterable[CacheStats]) -> dict[str, float]:
    """Return, by name of the model, the part of responses that were cached, of all processes."""
    hits: dict[str, int] = {}
    total: dict[str, int] = {}
    for each in stats:
        hits[each.model] = hits.get(each.model, 0) + each.hits
        total[each.model] = total.get(each.model, 0) + each.hits + each.misses
    return {name: hits[name] / count for name, count in total.items() if count}
