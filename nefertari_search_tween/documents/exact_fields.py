"""The fields of SQL databases that are exact where those of an engine are not, or do not exist."""

from __future__ import annotations

import datetime
import decimal
from typing import Any

from nefertari_search_tween.documents.fields import (
    KEYWORD_UNITS,
    DecimalField,
    TimeField,
    UnicodeField,
)

# "%.10f": what SQLAlchemy makes of a binary number without a scale.
_SCALE = 10
# Added to exponents, whose sign a text can't sort by: more than those of any number.
_BIAS = 500_000
_EXPONENT_DIGITS = 6
# With sign, exponent and end in a keyword.
MAX_DIGITS = KEYWORD_UNITS - _EXPONENT_DIGITS - 2
_COMPLEMENTS = str.maketrans("0123456789", "9876543210")
_NEGATIVE, _ZERO, _POSITIVE = "012"
# Sorts after all digits: of two negative numbers, the one with more digits is smaller.
_END = "~"


def decimal_key(number: decimal.Decimal) -> str:
    """Return a text that sorts, among those of other numbers, as *number* does; equal numbers
    have one.

    Its sign; for any but zero the exponent of its first digit, in a fixed width; and its digits
    without zeros at the end. Those of a negative number are complemented: the larger, the smaller.
    """
    sign, digits, _ = number.as_tuple()
    text = "".join(map(str, digits)).lstrip("0").rstrip("0")
    if not text:
        return _ZERO
    key = f"{number.adjusted() + _BIAS:0{_EXPONENT_DIGITS}d}{text}"
    return _NEGATIVE + key.translate(_COMPLEMENTS) + _END if sign else _POSITIVE + key


def decimal_of(key: str) -> decimal.Decimal:
    """Return the number whose :func:`decimal_key` is *key*."""
    sign, text = key[0], key[1:]
    if sign == _ZERO:
        return decimal.Decimal(0)
    if sign == _NEGATIVE:
        text = text.rstrip(_END).translate(_COMPLEMENTS)
    digits = text[_EXPONENT_DIGITS:]
    exponent = int(text[:_EXPONENT_DIGITS]) - _BIAS - len(digits) + 1
    return decimal.Decimal((int(sign == _NEGATIVE), tuple(map(int, digits)), exponent))


class ExactDecimalField(DecimalField):
    """Decimal numbers of any size; rendered as floats, indexed exactly by a text that sorts as they
    do.

    A binary number, as SQLite stores, has the shortest decimal that rounds to it: the order is the
    same, because each lies between the neighbours of its own.
    """

    exact_type = "keyword"

    def to_exact(self, value: Any) -> Any:
        return decimal_key(_as_decimal(value))

    def fits(self, value: Any) -> bool:
        if not isinstance(value, (int, float, decimal.Decimal)) or isinstance(value, bool):
            return False
        number = _as_decimal(value)
        return number.is_finite() and len(number.as_tuple().digits) <= MAX_DIGITS

    def restore(self, document: Any, exact: Any) -> Any:
        if self._init_kwargs.get("asdecimal") is False or type(document) is int:
            # A column of whole numbers, in the database, is read as it is.
            return document
        scale = self._init_kwargs.get("scale")
        # Zero has one key; that of SQLite may have a sign, which is shown.
        value = decimal_of(exact).copy_sign(decimal.Decimal(document))
        if float(value) != document:
            # The value was made of a binary number, and rounded.
            return decimal.Decimal(f"{float(value):.{_SCALE if scale is None else scale}f}")
        padded = value if scale is None else decimal.Decimal(f"{value:.{scale}f}")
        return padded if padded == value else value


def _as_decimal(value: Any) -> decimal.Decimal:
    return value if isinstance(value, decimal.Decimal) else decimal.Decimal(str(value))


# Offsets from UTC, in seconds: less than a day to both sides, and none at all.
_DAY_SECONDS = 24 * 3600
_OFFSETS = 2 * _DAY_SECONDS + 1


class ZonedTimeField(TimeField):
    """A time of day with the offset of its zone; indexed exactly by a number that sorts by the time
    on the clock, then by the offset (no database's order)."""

    def to_exact(self, value: Any) -> Any:
        offset = value.utcoffset()
        zone = 0 if offset is None else int(offset.total_seconds()) + _DAY_SECONDS
        return super().to_exact(value) * _OFFSETS + zone

    def fits(self, value: Any) -> bool:
        if not isinstance(value, datetime.time):
            return False
        offset = value.utcoffset()
        return offset is None or offset.microseconds == 0

    @staticmethod
    def restore(document: Any, exact: Any) -> Any:
        microseconds, zone = divmod(exact, _OFFSETS)
        time = TimeField.restore(document, microseconds)
        if not zone:
            return time
        offset = datetime.timedelta(seconds=zone - _DAY_SECONDS)
        return time.replace(tzinfo=datetime.timezone(offset))


class EnumField(UnicodeField):
    """A member of a Python enumeration; rendered as its text, indexed exactly by the text that the
    database stores.

    :param stored: member, or stored text -> stored text.
    :param members: stored text -> member.
    """

    exact_type = "keyword"

    def to_exact(self, value: Any) -> Any:
        return self._init_kwargs["stored"][value]

    def fits(self, value: Any) -> bool:
        return value in self._init_kwargs["stored"]

    def restore(self, document: Any, exact: Any) -> Any:
        return self._init_kwargs["members"][exact]
