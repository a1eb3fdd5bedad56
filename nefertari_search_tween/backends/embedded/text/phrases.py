"""How often a phrase occurs in a text, by the positions of its terms.

As Lucene's ExactPhraseMatcher and SloppyPhraseMatcher count: an exact phrase by its
occurrences, a sloppy one by 1 / (1 + distance) of each.
"""

from __future__ import annotations

import heapq
from typing import Any, Union


def phrase_frequency(slop: int, *positions: Union[int, str]) -> float:
    """SQL function: the weight of a phrase in one text.

    :param positions: for each term of the phrase, in order, where it stands in the text.
    """
    places = [decode(each) for each in positions]
    if slop == 0:
        common = set(places[0])
        for offset, each in enumerate(places):
            common &= {place - offset for place in each}
        return float(len(common))
    adjusted = [[place - offset for place in each] for offset, each in enumerate(places)]
    return _sloppy(slop, adjusted)


def decode(positions: Union[int, str]) -> list[int]:
    """Positions as they are kept in the table of terms: one number, or a text of several."""
    return [positions] if isinstance(positions, int) else [int(p) for p in positions.split()]


def encode(positions: list[int]) -> Union[int, str]:
    """The inverse of :func:`decode`."""
    return positions[0] if len(positions) == 1 else " ".join(map(str, positions))


def _sloppy(slop: int, places: list[list[int]]) -> float:
    # A place in the text can stand for one term of the phrase only.
    repeats = len({tuple(p + i for p in each) for i, each in enumerate(places)}) < len(places)
    heap: list[Any] = [(each[0], offset, 0) for offset, each in enumerate(places)]
    end = max(each[0] for each in places)
    heapq.heapify(heap)
    frequency = 0.0
    while True:
        start, offset, at = heapq.heappop(heap)
        length = end - start
        next_start = heap[0][0]
        done = False
        while True:
            at += 1
            if at >= len(places[offset]):
                done = True
                break
            place = places[offset][at]
            end = max(end, place)
            if place > next_start:
                break
            length = min(length, end - place)
            start = place
        if length <= slop and not (repeats and _collides(heap, offset, start)):
            frequency += 1.0 / (1 + length)
        if done:
            return frequency
        heapq.heappush(heap, (places[offset][at], offset, at))


def _collides(heap: list[Any], offset: int, start: int) -> bool:
    spots = [place + at for place, at, _ in heap] + [start + offset]
    return len(set(spots)) < len(spots)
