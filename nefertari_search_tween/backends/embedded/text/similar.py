"""Finds the terms of a vocabulary that lie within some edits of a word."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from rapidfuzz import process
from rapidfuzz.distance import OSA

from nefertari_search_tween.backends.embedded.deadline import Deadline

_LAST = "\U0010ffff"
# Terms that are compared between two looks at the clock: a millisecond.
_CHUNK = 10_000


def similar(
    vocabulary: Sequence[str], word: str, edits: int, prefix: int, deadline: Deadline
) -> list[tuple[str, int]]:
    """Return the terms of the sorted *vocabulary* within *edits* of *word*, with their distances:
    insertions, deletions, replacements and swaps of neighbours, as Lucene counts them (the optimal
    string alignment distance).

    :param prefix: number of characters at the beginning that must be the same.
    """
    start, end = 0, len(vocabulary)
    if prefix:
        start = bisect_left(vocabulary, word[:prefix])
        end = bisect_left(vocabulary, word[:prefix] + _LAST, start)
    terms: list[tuple[str, int]] = []
    for first in range(start, end, _CHUNK):
        deadline.check()
        part = vocabulary[first : min(first + _CHUNK, end)]
        near = process.extract(word, part, scorer=OSA.distance, score_cutoff=edits, limit=None)
        terms += [(term, int(distance)) for term, distance, _ in near]
    return terms
