"""Everything takes turns, and the median of its turns counts.

What else the machine does strikes all of them alike.
"""

from __future__ import annotations

import random
import statistics
import time
from typing import Any, Callable


def seconds(work: Callable[[], Any]) -> float:
    """How long *work* takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def medians(turns: dict[str, Callable[[], Any]], warm_up: int, rounds: int) -> dict[str, Any]:
    """The median of what each of *turns* returns, which is called once a round.

    In another order each time: what runs behind a turn of the server finds it awake.

    :param turns: return a number, or several by name.
    :param warm_up: how many rounds come first, and do not count.
    """
    samples: dict[str, list[Any]] = {name: [] for name in turns}
    order, chance = list(turns), random.Random(0)
    for _ in range(warm_up + rounds):
        chance.shuffle(order)
        for name in order:
            samples[name].append(turns[name]())
    return {name: _median(each[warm_up:]) for name, each in samples.items()}


def _median(values: list[Any]) -> Any:
    if isinstance(values[0], dict):
        return {name: statistics.median(each[name] for each in values) for name in values[0]}
    return statistics.median(values)
