"""The calendar in milliseconds since 1970, and date arithmetic as search servers evaluate it.

``now-1d/d`` is midnight of yesterday, ``2020-01-01||+1M`` the first of February: a moment (``now``,
or a date and ``||``), then steps, each applied to the result of the one before. A step adds or
subtracts a number of units, or rounds to one (``/``). Rounding goes down where a period begins, and
up to the last millisecond where it ends. Months keep the day, or have fewer (31 January + 1 month),
weeks begin on Mondays, and the zone is UTC. Source: ``JavaDateMathParser`` of Elasticsearch, which
OpenSearch has, too.
"""

from __future__ import annotations

import re
from typing import Callable, Optional

#: first and last millisecond
Span = tuple[int, int]

DAY_MS = 86_400_000
_NOW = "now"
_ANCHOR = "||"
_STEP = re.compile(r"([-+/])(\d{0,10})([yMwdhHms])", re.ASCII)
#: what servers read a number of units into
_MAX_COUNT = 2**31 - 1
_MONTHS = {"y": 12, "M": 1}
_LENGTHS = {
    "w": 7 * DAY_MS,
    "d": DAY_MS,
    "h": 3_600_000,
    "H": 3_600_000,
    "m": 60_000,
    "s": 1000,
}
# The first Monday of 1970 was the fifth day.
_FIRST_WEEK = 4 * DAY_MS
# Exclusive, and so is the end of a period.
_MAX_MOMENT = 2**63 - 1
_MONTH_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def days_of(year: int, month: int, day: int) -> int:
    """Return days since 1970 in the proleptic Gregorian calendar, for any year.

    http://howardhinnant.github.io/date_algorithms.html#days_from_civil
    """
    year -= month <= 2
    era, of_era = divmod(year, 400)
    of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468


def civil(days: int) -> tuple[int, int, int]:
    """Return year, month and day of a day since 1970; the inverse of :func:`days_of`."""
    era, of_era = divmod(days + 719_468, 146_097)
    year_of_era = (of_era - of_era // 1460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * of_year + 2) // 153
    month = shifted + (3 if shifted < 10 else -9)
    return (
        year_of_era + era * 400 + (month <= 2),
        month,
        of_year - (153 * shifted + 2) // 5 + 1,
    )


def month_days(year: int, month: int) -> int:
    """Return the number of days of a month."""
    leap = month == 2 and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return _MONTH_DAYS[month - 1] + leap


def millis_of(year: int, month: int, day: int) -> int:
    """Return midnight of a day."""
    return days_of(year, month, day) * DAY_MS


def is_expression(text: str) -> bool:
    """Return True if servers read *text* as date arithmetic, well-formed or not."""
    return text.startswith(_NOW) or _ANCHOR in text


def evaluate(text: str, now: int, start_of: Callable[[str], Optional[int]]) -> Optional[Span]:
    """Return the period that an expression denotes; None if *text* is none, or is beyond 64 bits.

    :param now: the current moment.
    :param start_of: returns the first millisecond of a date, None if it is no date.
    """
    if text.startswith(_NOW):
        moment: Optional[int] = now
        steps = text[len(_NOW) :]
    else:
        date, _, steps = text.partition(_ANCHOR)
        moment = start_of(date)
    if moment is None:
        return None
    first = last = moment
    position = 0
    while position < len(steps):
        step = _STEP.match(steps, position)
        if step is None:
            return None
        operator, digits, unit = step.groups()
        count = int(digits or 1)
        if count > _MAX_COUNT or (operator == "/" and count != 1):
            return None
        if operator == "/":
            first = round_down(first, unit)
            last = add(round_down(last, unit), 1, unit) - 1
        else:
            count = -count if operator == "-" else count
            first, last = add(first, count, unit), add(last, count, unit)
        position = step.end()
    return (first, last) if -_MAX_MOMENT < first <= last < _MAX_MOMENT else None


def add(moment: int, count: int, unit: str) -> int:
    """Return *moment* and *count* units more."""
    if unit not in _MONTHS:
        return moment + count * _LENGTHS[unit]
    days, clock = divmod(moment, DAY_MS)
    year, month, day = civil(days)
    year, month = divmod(year * 12 + month - 1 + count * _MONTHS[unit], 12)
    return millis_of(year, month + 1, min(day, month_days(year, month + 1))) + clock


def round_down(moment: int, unit: str) -> int:
    """Return the first moment of the unit that contains *moment*."""
    if unit in _MONTHS:
        year, month, _ = civil(moment // DAY_MS)
        return millis_of(year, month if unit == "M" else 1, 1)
    return moment - (moment - (_FIRST_WEEK if unit == "w" else 0)) % _LENGTHS[unit]
