"""Count how often a phrase occurs in a text, from the positions of its terms.

As Lucene's ExactPhraseMatcher and SloppyPhraseMatcher count: an exact phrase by its
occurrences, a sloppy one by 1 / (1 + distance) of each.
"""

from __future__ import annotations

import heapq
from typing import Any, Union


def phrase_frequency(slop: int, *positions: Union[int, str]) -> float:
    """SQL function: the weight of a phrase in one text.

    :param positions: for each term of the phrase, in order, its positions in the text.
    """
    decoded = [decode(each) for each in positions]
    if slop == 0:
        common = set(decoded[0])
        for offset, each in enumerate(decoded):
            common &= {position - offset for position in each}
        return float(len(common))
    adjusted = [[position - offset for position in each] for offset, each in enumerate(decoded)]
    return _sloppy(slop, adjusted)


def decode(positions: Union[int, str]) -> list[int]:
    """Return positions from their form in the table of terms: a number, or a text of several."""
    return [positions] if isinstance(positions, int) else [int(p) for p in positions.split()]


def encode(positions: list[int]) -> Union[int, str]:
    """Return positions in their form in the table of terms; the inverse of :func:`decode`."""
    return positions[0] if len(positions) == 1 else " ".join(map(str, positions))


def _sloppy(slop: int, positions: list[list[int]]) -> float:
    # A position in the text counts for one term of the phrase only.
    repeats = len({tuple(p + i for p in each) for i, each in enumerate(positions)}) < len(positions)
    heap: list[Any] = [(each[0], offset, 0) for offset, each in enumerate(positions)]
    end = max(each[0] for each in positions)
    heapq.heapify(heap)
    frequency = 0.0
    while True:
        start, offset, at = heapq.heappop(heap)
        length = end - start
        next_start = heap[0][0]
        done = False
        while True:
            at += 1
            if at >= len(positions[offset]):
                done = True
                break
            position = positions[offset][at]
            end = max(end, position)
            if position > next_start:
                break
            length = min(length, end - position)
            start = position
        if length <= slop and not (repeats and _collides(heap, offset, start)):
            frequency += 1.0 / (1 + length)
        if done:
            return frequency
        heapq.heappush(heap, (positions[offset][at], offset, at))


def _collides(heap: list[Any], offset: int, start: int) -> bool:
    positions = [position + at for position, at, _ in heap] + [start + offset]
    return len(set(positions)) < len(positions)
