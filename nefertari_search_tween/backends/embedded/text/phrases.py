"""Count how often a phrase occurs in a text, from the positions of its terms.

As Lucene's ExactPhraseMatcher and SloppyPhraseMatcher count: an exact phrase by its
occurrences, a sloppy one by 1 / (1 + distance) of each. Each position is visited once, at the cost
of a heap of the phrase's terms.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Sequence
from typing import Any, Union

from nefertari_search_tween.backends.embedded.deadline import Deadline


def phrase_frequency(deadline: Deadline, slop: int, positions: Sequence[Union[int, str]]) -> float:
    """Return the weight of a phrase in one text.

    :param positions: for each term of the phrase, in order, its positions in the text.
    """
    # A term that the phrase repeats is decoded once.
    lists = {each: decode(each) for each in dict.fromkeys(positions)}
    places = sum(map(len, lists.values()))
    deadline.step(places)
    if places < len(positions):
        # Each position counts for one term.
        return 0.0
    decoded = [lists[each] for each in positions]
    if slop == 0:
        common = set(decoded[0])
        for offset, each in enumerate(decoded):
            deadline.step(len(each))
            common &= {position - offset for position in each}
            if not common:
                break
        return float(len(common))
    return _sloppy(deadline, slop, decoded, repeats=len(lists) < len(positions))


def decode(positions: Union[int, str]) -> list[int]:
    """Return positions from their form in the table of terms: a number, or a text of several."""
    return [positions] if isinstance(positions, int) else [int(p) for p in positions.split()]


def encode(positions: list[int]) -> Union[int, str]:
    """Return positions in their form in the table of terms; the inverse of :func:`decode`."""
    return positions[0] if len(positions) == 1 else " ".join(map(str, positions))


def _sloppy(deadline: Deadline, slop: int, positions: list[list[int]], repeats: bool) -> float:
    """Return the frequency of a sloppy phrase.

    :param positions: in the text, of each term.
    :param repeats: a term occurs twice in the phrase. A position in the text counts for one of the
        two only.
    """
    heap: list[Any] = [(each[0] - offset, offset, 0) for offset, each in enumerate(positions)]
    end = max(start for start, _, _ in heap)
    heapq.heapify(heap)
    # How many terms are at each position now, and how many positions have more than one.
    occupied = Counter(each[0] for each in positions)
    collisions = sum(count > 1 for count in occupied.values())
    frequency = 0.0
    while True:
        start, offset, at = heapq.heappop(heap)
        length = end - start
        next_start = heap[0][0]
        own = positions[offset]
        done = False
        while True:
            deadline.step()
            at += 1
            if at >= len(own):
                done = True
                break
            position = own[at] - offset
            end = max(end, position)
            if position > next_start:
                break
            length = min(length, end - position)
            start = position
            collisions += _move(occupied, own[at - 1], own[at])
        if length <= slop and not (repeats and collisions):
            frequency += 1.0 / (1 + length)
        if done:
            return frequency
        collisions += _move(occupied, own[at - 1], own[at])
        heapq.heappush(heap, (own[at] - offset, offset, at))


def _move(occupied: Counter[int], before: int, after: int) -> int:
    """Move a term from one position to another; return by how many collisions change."""
    occupied[before] -= 1
    occupied[after] += 1
    ended, begun = occupied[before] == 1, occupied[after] == 2
    if not occupied[before]:
        del occupied[before]
    return int(begun) - int(ended)
