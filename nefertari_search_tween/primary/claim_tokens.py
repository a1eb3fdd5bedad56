"""Tokens of claims: texts of 32 digits, by which readers know the rows that are *awaited*.

A row is awaited while the writer that recorded it indexes it, and has not been answered: reads
don't count it (docs/consistency.rst, "Writes in flight"). Its token says so, and until when: then
the row counts, whatever became of the writer. So the awaited rows of a model are one range of the
index, however many they are, and every other row is outside of it: free ones (no token), those of
other claims, those with a token of any other form. Only digits, because every database orders them
alike, whatever its collation.
"""

from __future__ import annotations

import uuid

_AWAITED = "9"
_CLAIMED = "1"
_TIME_DIGITS = 15
_RANDOM_DIGITS = 16


def new_token() -> str:
    """Return a token of a claim that no writer waits for."""
    return f"{_CLAIMED}{_random(_TIME_DIGITS)}{_random(_RANDOM_DIGITS)}"


def awaited_token(until: int) -> str:
    """Return a token of rows whose writer waits for them.

    :param until: when they count nevertheless, in milliseconds since 1970.
    """
    return f"{_AWAITED}{until:0{_TIME_DIGITS}d}{_random(_RANDOM_DIGITS)}"


def is_awaited(token: str) -> bool:
    """Return True if *token* is, or was, of rows whose writer waits for them."""
    return token.startswith(_AWAITED)


def awaited_range(bounds: tuple[int, int]) -> tuple[str, str]:
    """Return the least and the greatest token of rows that are awaited now.

    :param bounds: the times between which their time ends.
    """
    first, last = bounds
    return (
        f"{_AWAITED}{first:0{_TIME_DIGITS}d}{'0' * _RANDOM_DIGITS}",
        f"{_AWAITED}{last:0{_TIME_DIGITS}d}{'9' * _RANDOM_DIGITS}",
    )


def _random(digits: int) -> str:
    return f"{uuid.uuid4().int % 10**digits:0{digits}d}"
