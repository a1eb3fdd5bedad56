"""Values of every type of field, with every edge once in a while."""

from __future__ import annotations

import datetime
import decimal
import random
from typing import Any


def maybe(chooser: random.Random, *values: Any) -> Any:
    """One of *values*, or None."""
    return chooser.choice([None, *values])


def edge_values(chooser: random.Random, number: int) -> dict[str, Any]:
    """Values for the fields that an item of the zoo has on every primary."""

    def one_of(*values: Any) -> Any:
        return maybe(chooser, *values)

    return {
        "big": one_of(2**62, -(2**63) + 1, 2**63 - 2, 0, number),
        "flag": one_of(True, False),
        "day": one_of(
            datetime.date(1, 1, 1), datetime.date(9999, 12, 31), datetime.date(2000, 2, 29)
        ),
        "moment": one_of(
            datetime.datetime(1999, 12, 31, 23, 59, 59, 999999),
            datetime.datetime(1999, 12, 31, 23, 59, 59, 1),
            datetime.datetime(1970, 1, 1),
            datetime.datetime(1066, 10, 14, 9, 0),
        ),
        "kind": one_of("red", "green", "blue"),
        "ratio": one_of(0.0, -0.0, 0.1, 1e300, 5e-324, -1.5, number / 3),
        "blob": one_of(b"", b"\x00\xff'\"", b"plain"),
        "price": one_of(
            decimal.Decimal("0.0001"), decimal.Decimal("99999999.9999"), decimal.Decimal(-number)
        ),
        "small": one_of(-32768, 32767, 7),
        "word": one_of("", "a", "A", "Ä", "ä", "z", " a", "a ", "\U0001f600", "\uffff", "a" * 200),
        "prose": one_of("", "x\ny", "the quick brown fox"),
        "clock": one_of(datetime.time(0, 0), datetime.time(23, 59, 59, 999999)),
        "name": one_of("Lion", "lion", "LION", "Löwe", "a,b", "100%", "under_score", "_all"),
        "story": one_of("", "x" * 9000, "y" * 10),
        "words": one_of([], ["a"], ["b", "a", "b"], ["a,b", ""]),
        "owner": one_of("bob", "bob smith"),
    }
