"""Fields of a mapping: types, columns and tables, and the conversion of values.

A *level* is the document itself (path ``""``) or one path of nested documents; each has a
table with a row per document. A *field* is a leaf of the mapping; its column holds its one
value, or the least of several, which are then in the table ``multi`` besides. A text's column
holds its number of terms.
"""

from __future__ import annotations

import json
import math
import re
import struct
from dataclasses import dataclass, field
from typing import Any, Callable, Optional

from nefertari_search_tween.backends.embedded import date_format

INT64_MAX = 2**63 - 1
_INTEGERS = {"byte": 2**7, "short": 2**15, "integer": 2**31, "long": 2**63}
_FLOATS = ("double", "float", "half_float")
KINDS = {
    "text": "text",
    "keyword": "keyword",
    "boolean": "boolean",
    "date": "date",
    **dict.fromkeys(_INTEGERS, "integer"),
    **dict.fromkeys(_FLOATS, "float"),
}
_NUMBER = re.compile(r"\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*\Z", re.ASCII)


class Malformed(Exception):
    """A value that does not fit its field."""


@dataclass
class Field:
    """A leaf of the mapping.

    :param number: identifies its column, and its rows in the tables of terms and of lists.
    :param multi: some document holds several values.
    """

    name: str
    number: int
    level: Level
    type: str
    spec: dict[str, Any]
    multi: bool = False
    subfields: list[Field] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.kind = KINDS[self.type]
        self.column = f"c{self.number}"
        self.format: str = self.spec.get("format", date_format.DEFAULT_FORMAT)
        self.ignore_above = int(self.spec.get("ignore_above", INT64_MAX))
        self.ignore_malformed = parse_flag(self.spec.get("ignore_malformed", False))
        self.null_value = self.spec.get("null_value")

    def value(self, raw: Any) -> Any:
        """Return *raw* (not None) as it is indexed; None if there is nothing to index.

        :raises Malformed: it does not fit.
        """
        return _VALUES[self.kind](self, raw)


@dataclass
class Level:
    """The documents themselves, or nested ones.

    :param parent: the level that holds these, None for the documents themselves.
    """

    path: str
    number: int
    table: str
    parent: Optional[Level]
    fields: list[Field] = field(default_factory=list)

    @property
    def ancestors(self) -> list[Level]:
        """The levels that hold these, from the inside out."""
        return [] if self.parent is None else [self.parent, *self.parent.ancestors]


def parse_flag(value: Any) -> bool:
    """Return the truth of a mapping's flag, which may be a boolean or its text."""
    return str(value).lower() == "true"


# Values


def text_of(raw: Any) -> str:
    """Return a JSON scalar as the text that Elasticsearch converts it to."""
    if isinstance(raw, str):
        return raw
    if isinstance(raw, bool):
        return "true" if raw else "false"
    if isinstance(raw, (int, float)):
        return repr(raw)
    raise Malformed("an object where a text was expected")


def number_of(raw: Any) -> Any:
    """Return a JSON number, or the number in a text; an integer stays one."""
    if isinstance(raw, bool):
        raise Malformed("a boolean where a number was expected")
    if isinstance(raw, (int, float)):
        return raw
    if isinstance(raw, str) and _NUMBER.match(raw):
        text = raw.strip()
        try:
            return int(text)
        except ValueError:
            return float(text)
    raise Malformed(f"For input string: {json.dumps(raw, default=str)[:80]}")


def _text(field: Field, raw: Any) -> Optional[str]:
    return text_of(raw)


def _keyword(field: Field, raw: Any) -> Optional[str]:
    text = text_of(raw)
    if len(text) * 2 > field.ignore_above and utf16_length(text) > field.ignore_above:
        return None
    if len(text) > 8191 and len(text.encode("utf-8", "replace")) > 32766:
        raise Malformed("a keyword longer than 32766 bytes")
    return text


def utf16_length(text: str) -> int:
    """Return the length in UTF-16 units, which Java and ``ignore_above`` count."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _integer(field: Field, raw: Any) -> Optional[int]:
    if raw == "":
        return None
    number = number_of(raw)
    if isinstance(number, float):
        if not math.isfinite(number):
            raise Malformed("not a finite number")
        number = math.trunc(number)
    limit = _INTEGERS[field.type]
    if not -limit <= number < limit:
        raise Malformed(f"{number} is out of range for a {field.type}")
    return int(number)


def _float(field: Field, raw: Any) -> Optional[float]:
    if raw == "":
        return None
    try:
        number = float(number_of(raw))
        if field.type == "float":
            (number,) = struct.unpack("f", struct.pack("f", number))
        elif field.type == "half_float":
            (number,) = struct.unpack("e", struct.pack("e", number))
    except (OverflowError, struct.error) as problem:
        raise Malformed("not a finite number") from problem
    if not math.isfinite(number):
        raise Malformed("not a finite number")
    return encode_float(number)


# Lucene distinguishes -0.0 from 0.0, SQL does not: the next number below 0.0 represents it.
_BELOW_ZERO = -5e-324


def encode_float(number: float) -> float:
    """Return *number* as a column holds it."""
    return _BELOW_ZERO if number == 0 and math.copysign(1, number) < 0 else number


def decode_float(number: float) -> float:
    """Return a column's number; the inverse of :func:`encode_float`."""
    return -0.0 if number == _BELOW_ZERO else float(number)


def _boolean(field: Field, raw: Any) -> int:
    if raw is True or raw == "true":
        return 1
    if raw is False or raw in ("false", ""):
        return 0
    raise Malformed("only [true] or [false] are allowed")


def _date(field: Field, raw: Any) -> int:
    span = date_format.parse(raw, field.format)
    if span is None:
        raise Malformed(
            f"failed to parse date field [{str(raw)[:80]}] with format [{field.format}]"
        )
    if not -(2**63) <= span[0] < 2**63:
        raise Malformed("date out of range")
    return span[0]


_VALUES: dict[str, Callable[[Field, Any], Any]] = {
    "text": _text,
    "keyword": _keyword,
    "integer": _integer,
    "float": _float,
    "boolean": _boolean,
    "date": _date,
}
