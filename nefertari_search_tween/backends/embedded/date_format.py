"""Dates in the formats that mappings name, as milliseconds since 1970."""

from __future__ import annotations

import re
from typing import Any, Callable, Optional

from nefertari_search_tween.backends.date_math import (
    DAY_MS,
    Span,
    civil,
    evaluate,
    is_expression,
    millis_of,
    month_days,
)
from nefertari_search_tween.backends.embedded.errors import unsupported

DEFAULT_FORMAT = "strict_date_optional_time||epoch_millis"
_TIME = (
    r"(?P<hour>\d{1,2})(?::(?P<minute>\d{1,2})(?::(?P<second>\d{1,2})"
    r"(?:[.,](?P<fraction>\d{1,9}))?)?)?"
)
_ZONE = r"(?P<zone>Z|[+-]\d{2}(?::?\d{2})?)?"
_OPTIONAL_TIME = re.compile(
    rf"(?P<year>[+-]?\d{{1,9}})(?:-(?P<month>\d{{1,2}})(?:-(?P<day>\d{{1,2}})"
    rf"(?:T(?:{_TIME}{_ZONE})?)?)?)?\Z",
    re.ASCII,
)
_STRICT_OPTIONAL_TIME = re.compile(
    r"(?P<year>[+-]?\d{4,9})(?:-(?P<month>\d{2})(?:-(?P<day>\d{2})"
    r"(?:T(?:(?P<hour>\d{2})(?::(?P<minute>\d{2})(?::(?P<second>\d{2})"
    rf"(?:[.,](?P<fraction>\d{{1,9}}))?)?)?{_ZONE})?)?)?)?\Z",
    re.ASCII,
)
_CLOCK_TEXT = r"(?P<hour>\d{2}):(?P<minute>\d{2}):(?P<second>\d{2})"
_DATE_TEXT = r"(?P<year>\d{4})-(?P<month>\d{2})-(?P<day>\d{2})"
_CLOCK = re.compile(rf"{_CLOCK_TEXT}\Z", re.ASCII)
_DATE = re.compile(rf"{_DATE_TEXT}\Z", re.ASCII)
_DATE_TIME = re.compile(rf"{_DATE_TEXT} {_CLOCK_TEXT}\Z", re.ASCII)
_NUMBER = re.compile(r"-?\d{1,18}(?:\.\d+)?\Z", re.ASCII)


def _span(match: re.Match[str]) -> Optional[Span]:
    """Return the time of a date, as Elasticsearch rounds: "2014-06" is the first of June."""
    part = match.groupdict()

    def number(name: str, default: int) -> int:
        text = part.get(name)
        return default if text is None else int(text)

    year, month, day = number("year", 1970), number("month", 1), number("day", 1)
    hour, minute, second = number("hour", 0), number("minute", 0), number("second", 0)
    if not 1 <= month <= 12 or not 1 <= day <= month_days(year, month):
        return None
    if hour > 23 or minute > 59 or second > 59:
        return None
    start = millis_of(year, month, day)
    start += ((hour * 60 + minute) * 60 + second) * 1000
    fraction = part.get("fraction")
    if fraction:
        start += int(fraction.ljust(3, "0")[:3])
    # A missing month or day is the first one, and the end is that of this day.
    if part.get("hour") is None:
        length = DAY_MS
    elif part.get("minute") is None:
        length = 3_600_000
    elif part.get("second") is None:
        length = 60_000
    else:
        length = 1 if fraction and len(fraction) >= 3 else 1000
    zone = part.get("zone")
    if zone and zone != "Z":
        digits = zone[1:].replace(":", "").ljust(4, "0")
        shift = (int(digits[:2]) * 60 + int(digits[2:])) * 60_000
        start -= shift if zone[0] == "+" else -shift
    return start, start + length - 1


def _by(pattern: re.Pattern[str]) -> Callable[[str], Optional[Span]]:
    def parse(text: str) -> Optional[Span]:
        match = pattern.match(text)
        return None if match is None else _span(match)

    return parse


def _epoch(unit: int) -> Callable[[str], Optional[Span]]:
    def parse(text: str) -> Optional[Span]:
        if not _NUMBER.match(text):
            return None
        start = int(text) * unit if "." not in text else int(float(text) * unit)
        return start, start + unit - 1

    return parse


_FORMATS: dict[str, Callable[[str], Optional[Span]]] = {
    "date_optional_time": _by(_OPTIONAL_TIME),
    "strict_date_optional_time": _by(_STRICT_OPTIONAL_TIME),
    "epoch_millis": _epoch(1),
    "epoch_second": _epoch(1000),
    "date": _by(_DATE),
    "strict_date": _by(_DATE),
    "yyyy-MM-dd": _by(_DATE),
    "yyyy-MM-dd HH:mm:ss": _by(_DATE_TIME),
    "HH:mm:ss": _by(_CLOCK),
    "hour_minute_second": _by(_CLOCK),
    "strict_hour_minute_second": _by(_CLOCK),
}


def is_supported(formats: str) -> bool:
    """Return True if all of *formats* (joined by ``||``) are supported."""
    return all(name in _FORMATS for name in formats.split("||"))


def parse(value: Any, formats: str) -> Optional[Span]:
    """Return the span of time of *value* in the first format that fits, None if none does."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return None
    text = value if isinstance(value, str) else repr(value)
    for name in formats.split("||"):
        span = _FORMATS[name](text)
        if span is not None:
            return span
    return None


def parse_expression(value: Any, formats: str, now: int) -> Optional[Span]:
    """Return the span of time of *value*, which may be date arithmetic; None if it is no date.

    :param now: the current moment.
    """
    if not isinstance(value, str) or not is_expression(value):
        return parse(value, formats)

    def start_of(date: str) -> Optional[int]:
        span = parse(date, formats)
        return None if span is None else span[0]

    return evaluate(value, now, start_of)


def render(millis: int, formats: str) -> str:
    """Return *millis* in the first of *formats*, as Elasticsearch prints keys of buckets."""
    name = formats.split("||", maxsplit=1)[0]
    if name == "epoch_millis":
        return str(millis)
    if name == "epoch_second":
        return str(millis // 1000)
    days, rest = divmod(millis, DAY_MS)
    year, month, day = civil(days)
    seconds, milli = divmod(rest, 1000)
    clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    if name in ("HH:mm:ss", "hour_minute_second", "strict_hour_minute_second"):
        return clock
    date = f"{year:04}-{month:02}-{day:02}"
    if name in ("date", "strict_date", "yyyy-MM-dd"):
        return date
    if name == "yyyy-MM-dd HH:mm:ss":
        return f"{date} {clock}"
    if name in _FORMATS:
        return f"{date}T{clock}.{milli:03}Z"
    parts = {"yyyy": f"{year:04}", "uuuu": f"{year:04}", "MM": f"{month:02}", "dd": f"{day:02}"}
    parts.update(HH=clock[:2], mm=clock[3:5], ss=clock[6:], SSS=f"{milli:03}")
    return _PATTERN.sub(lambda match: _part(match[0], parts), name)


_PATTERN = re.compile(r"'[^']*'|([A-Za-z])\1*")


def _part(letters: str, parts: dict[str, str]) -> str:
    if letters[0] == "'":
        return letters[1:-1]
    if letters not in parts:
        raise unsupported(f"'{letters}' in a date format")
    return parts[letters]
