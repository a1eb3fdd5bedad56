"""Names of fields with weights, as settings, models and requests give them: ``title^5, cast``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Optional

MAX_WEIGHT = 1000.0
#: stands for all fields that are not named
OTHERS = "*"


class WeightedName(NamedTuple):
    """The name of a field, and how much a match in it counts; None: not said."""

    name: str
    weight: Optional[float] = None


def parse_search_fields(parts: Iterable[str]) -> tuple[WeightedName, ...]:
    """Return the fields that *parts* name, each a name with or without ``^WEIGHT``; the first one
    of a name counts.

    :raises ValueError: a weight is no number above 0 and up to :data:`MAX_WEIGHT`.
    """
    fields: dict[str, WeightedName] = {}
    for part in parts:
        name, caret, weight = part.partition("^")
        if name.strip():
            number = _weight(weight.strip()) if caret else None
            fields.setdefault(name.strip(), WeightedName(name.strip(), number))
    return tuple(fields.values())


def _weight(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number <= MAX_WEIGHT:
        raise ValueError(f"'{text[:40]}' is no weight: a number above 0, at most {MAX_WEIGHT:g}")
    return number
