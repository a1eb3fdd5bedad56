"""What all processes count (reads by who answered them, hits and misses of caches), in the primary
database, which they share: commands and workers, which are other processes, read it there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple, Optional, Protocol

# How long the counts of a process are kept after its latest report.
KEPT_MILLISECONDS = 24 * 3600 * 1000

CACHE_HIT = "cache-hit"
CACHE_MISS = "cache-miss"
#: begins the names of reads; who answered follows, as in the ``X-Search-Engine`` header
READ_PREFIX = "read: "
#: in place of the model, for requests for several collections
MULTI_COLLECTION_READS = "*"

#: model, name of what is counted -> how often it happened
Counts = Mapping[tuple[str, str], int]


class ProcessCount(NamedTuple):
    """What one process counted since it began.

    :param name: of what is counted: :data:`CACHE_HIT`, :data:`CACHE_MISS`, or a read.
    """

    process: str
    model: str
    name: str
    number: int


class ProcessCountStore(Protocol):
    """Where the counts are stored."""

    def store(self, process: str, counts: Counts) -> None:
        """Replace the counts of *process*, and delete those that are older than a day."""

    def read_all(self) -> list[ProcessCount]:
        """Return what was reported in the last day, by process, model and name."""


def sums(counts: Iterable[ProcessCount]) -> dict[str, dict[str, int]]:
    """Return the sums over all processes: model -> name -> number."""
    by_model: dict[str, dict[str, int]] = {}
    for each in counts:
        by_name = by_model.setdefault(each.model, {})
        by_name[each.name] = by_name.get(each.name, 0) + each.number
    return by_model


def hit_rate(numbers: Mapping[str, int]) -> Optional[float]:
    """Return the part of responses that were cached; None if nothing was looked for."""
    hits, misses = numbers.get(CACHE_HIT, 0), numbers.get(CACHE_MISS, 0)
    return hits / (hits + misses) if hits or misses else None


def engine_of(name: str) -> Optional[str]:
    """Return who answered the reads that are counted as *name*; None if it is no name of reads."""
    return name[len(READ_PREFIX) :] if name.startswith(READ_PREFIX) else None


def reads(numbers: Mapping[str, int]) -> dict[str, int]:
    """Return how many reads who answered, the most frequent first."""
    engines = {engine_of(name): each for name, each in numbers.items()}
    by_engine = {name: each for name, each in engines.items() if name is not None}
    return dict(sorted(by_engine.items(), key=lambda each: (-each[1], each[0])))
