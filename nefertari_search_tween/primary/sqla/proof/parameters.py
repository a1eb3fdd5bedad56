"""Which parameters of filters the index compares as the database does, and how.

``filter_by(field=value)`` compares a column with a bound value. A text of the query string is bound
as a text: PostgreSQL reads it by the input function of the column's type, SQLite by the column's
affinity. A value of Python's, which views add, is bound by the type of the column. Here each kind
of parameter has a function that returns its **exact form**, which the index compares, or None for
a value that is left to the database: one that it would reject (it reports that), or reads by rules
of its own (``1e3``, ``' 7'``, ``now``). So only canonical texts are read. Why they mean the same:

* **texts**: equal texts are equal bytes (``columns.py``). Without a null character, which
  PostgreSQL rejects, and only what UTF-8 can hold.
* **padded texts** (``CHAR(n)`` of PostgreSQL): stored, and returned, with blanks up to *n*
  characters; compared without trailing blanks. So the one stored text that equals a parameter is
  its own without those, padded; a longer one equals none, and the padded form of it is none either.
* **labels** of an enumeration: texts; PostgreSQL rejects all others. A member of a Python
  enumeration is stored as its label, which is its exact form, too (``EnumField``).
* **integers**: whole numbers without a leading zero or plus. PostgreSQL rejects a text beyond the
  column's own range; a number of Python's is a literal, whose comparison has no range.
* **floats**: up to 15 significant digits survive decimal -> binary -> decimal (IEEE 754 binary64).
  Both sides of the decimal point are at most 22 digits: then digits and power of ten are exact in
  binary, and one rounding, which is everyone's, makes the number; for longer ones SQLite's parser
  is known to be off by a bit.
* **single floats** (``real``): the driver returns the shortest decimal that rounds to the stored
  number; so is the text's single float written. A number of Python's is compared in double
  precision, in which it is another one: the database does that.
* **decimals**: as floats on SQLite, which stores them so. On PostgreSQL they are exact, a text,
  a whole number and a decimal of Python's as they are, and a float by its shortest decimal, which
  the driver writes; so are their exact forms (``ExactDecimalField``).
* **truth values**: of Python's only; SQLAlchemy rejects texts.
* **dates and moments**: ISO 8601 in full, on PostgreSQL, which reads it so whatever its
  ``DateStyle``, and takes no notice of a ``Z`` without time zones. SQLAlchemy rejects texts for
  SQLite. Values of Python's without a zone, of exactly the column's type.
* **intervals**: of Python's; nefertari's type also takes a number of seconds.
"""

from __future__ import annotations

import datetime
import decimal
import enum
import re
import struct
from typing import Any, Callable, NamedTuple

from nefertari_sqla import types as engine_types

from nefertari_search_tween.documents.exact_fields import MAX_DIGITS, EnumField
from nefertari_search_tween.documents.fields import BaseField, keyword_fits
from nefertari_search_tween.primary.exact_values import exact_integer
from nefertari_search_tween.primary.sqla.proof.columns import StoredColumn

_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,18})\Z", re.ASCII)
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,21})(?:\.[0-9]{1,22})?\Z", re.ASCII)
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?\Z", re.ASCII)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z", re.ASCII)
_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?Z?\Z", re.ASCII
)
_DIGITS = 15
# A single float has 6 to 9 significant digits.
_SINGLE_DIGITS = range(1, 10)


class Compared(NamedTuple):
    """What a parameter is compared with.

    :param reads_texts: the database reads texts by the column's type.
    """

    field: BaseField
    column: StoredColumn
    column_type: Any
    reads_texts: bool


#: returns the exact form of a value, None if only the database can compare it
ExactForm = Callable[[Compared, Any], Any]


def _text(compared: Compared, value: Any) -> Any:
    if not isinstance(value, str) or not keyword_fits(value) or "\0" in value:
        return None
    try:
        value.encode()
    except UnicodeEncodeError:
        return None
    return str(value)


def _padded(compared: Compared, value: Any) -> Any:
    text = _text(compared, value)
    return None if text is None else text.rstrip(" ").ljust(compared.column.size)


def _label(compared: Compared, value: Any) -> Any:
    labels = getattr(compared.column_type, "enums", None)
    if isinstance(compared.field, EnumField) and isinstance(value, enum.Enum):
        value = compared.field.to_exact(value) if compared.field.fits(value) else None
    stored = compared.column.labels or labels or ()
    is_label = isinstance(value, str) and value in stored and value in (labels or stored)
    return str(value) if is_label else None


def _integer(compared: Compared, value: Any) -> Any:
    if isinstance(value, str):
        if not _INTEGER.match(value):
            return None
        value = int(value)
        beyond = 1 << 8 * (compared.column.size or 8) - 1
        if not -beyond <= value < beyond:
            return None
    return exact_integer(value)


def _float(compared: Compared, value: Any) -> Any:
    if isinstance(value, str):
        return float(value) if _NUMBER.match(value) and _few_digits(value) else None
    if type(value) in (int, float, decimal.Decimal):
        number = float(value)
        if number == value and abs(number) < float("inf"):
            return number
    return None


def _single(compared: Compared, value: Any) -> Any:
    if not isinstance(value, str) or not _NUMBER.match(value):
        return None
    try:
        stored = _as_single(float(value))
    except OverflowError:
        return None
    if stored == 0 and float(value) != 0:
        # The database calls it out of range.
        return None
    for digits in _SINGLE_DIGITS:
        shortest = float(f"{stored:.{digits}g}")
        if _as_single(shortest) == stored:
            return shortest
    return None


def _as_single(number: float) -> float:
    return float(struct.unpack("f", struct.pack("f", number))[0])


def _decimal(compared: Compared, value: Any) -> Any:
    if not compared.reads_texts:
        value = _float(compared, value)
    elif isinstance(value, str) and _DECIMAL.match(value) and len(value) <= MAX_DIGITS:
        value = decimal.Decimal(value)
    is_number = type(value) in (int, float, decimal.Decimal) and compared.field.fits(value)
    return compared.field.to_exact(value) if is_number else None


def _few_digits(number: str) -> bool:
    return len(number.strip("-").replace(".", "").strip("0")) <= _DIGITS


def _boolean(compared: Compared, value: Any) -> Any:
    return value if isinstance(value, bool) else None


def _date(compared: Compared, value: Any) -> Any:
    if isinstance(value, str) and compared.reads_texts and _DATE.match(value):
        value = _parsed(datetime.date.fromisoformat, value)
    return _exact(compared, value)


def _moment(compared: Compared, value: Any) -> Any:
    if isinstance(value, str) and compared.reads_texts and _MOMENT.match(value):
        text = value.rstrip("Z").replace("T", " ")
        form = "%Y-%m-%d %H:%M:%S.%f" if "." in text else "%Y-%m-%d %H:%M:%S"
        value = _parsed(lambda each: datetime.datetime.strptime(each, form), text)
    return _exact(compared, value)


def _interval(compared: Compared, value: Any) -> Any:
    if type(value) is int and isinstance(compared.column_type, engine_types.Interval):
        value = _parsed(lambda each: datetime.timedelta(seconds=each), value)
    return _exact(compared, value)


def _exact(compared: Compared, value: Any) -> Any:
    if isinstance(value, str) or getattr(value, "tzinfo", None) is not None:
        # Of values with a zone, the database makes something of its own.
        return None
    if not compared.field.fits(value):
        return None
    return compared.field.to_exact(value)


def _parsed(parse: Callable[[Any], Any], value: Any) -> Any:
    """Return what *parse* makes of *value*, the value itself if it can't be parsed."""
    try:
        return parse(value)
    except (ValueError, OverflowError):
        return value


class Parameters(NamedTuple):
    """A kind of parameters: in words, and how their exact forms are made."""

    words: str
    exact_form: ExactForm


PYTHON_TIMES = "values of Python's own type"
#: family of the model's type, kind of the column on PostgreSQL -> parameters
POSTGRESQL: dict[tuple[str, str], Parameters] = {
    ("text", "text"): Parameters("texts", _text),
    ("text", "padded text"): Parameters("texts, without trailing blanks", _padded),
    ("text", "enum"): Parameters("its labels", _label),
    ("enum", "enum"): Parameters("its labels", _label),
    ("enum", "text"): Parameters("its labels", _label),
    ("integer", "integer"): Parameters("whole numbers in its range", _integer),
    ("float", "double"): Parameters("numbers of up to 15 digits", _float),
    ("float", "single"): Parameters("numbers, written as texts", _single),
    ("decimal", "decimal"): Parameters("numbers", _decimal),
    ("boolean", "boolean"): Parameters("truth values of Python's", _boolean),
    ("date", "date"): Parameters("YYYY-MM-DD", _date),
    ("moment", "moment"): Parameters("YYYY-MM-DDTHH:MM:SS", _moment),
    ("time", "time"): Parameters(PYTHON_TIMES, _exact),
    ("interval", "interval"): Parameters(PYTHON_TIMES, _interval),
}
_ANY_NUMBER = ("INTEGER", "NUMERIC")
_ANY_TEXT = ("NUMERIC", "TEXT")
#: family of the model's type, affinity of the column on SQLite -> parameters
SQLITE: dict[tuple[str, str], Parameters] = {
    (family, affinity): POSTGRESQL[family, kind]
    for family, kind, affinities in (
        ("text", "text", ("TEXT",)),
        ("enum", "text", ("TEXT",)),
        ("integer", "integer", _ANY_NUMBER),
        ("float", "double", ("REAL", "NUMERIC")),
        ("boolean", "boolean", _ANY_NUMBER),
    )
    for affinity in affinities
}
SQLITE.update(
    {
        ("decimal", affinity): Parameters("numbers of up to 15 digits", _decimal)
        for affinity in ("REAL", "NUMERIC")
    }
)
SQLITE.update(
    {
        (family, affinity): Parameters(PYTHON_TIMES, exact_form)
        for family, exact_form in (
            ("date", _date),
            ("moment", _moment),
            ("time", _exact),
            ("interval", _interval),
        )
        for affinity in _ANY_TEXT
    }
)
