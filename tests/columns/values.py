"""Values of columns as Python text, and what callers write to find them.

Each strategy draws the text of an expression; `NAMES` is what it may use, beside the definitions
that a kind of column brings along.
"""

from __future__ import annotations

import datetime
import decimal
import json
import re
import unicodedata
import uuid
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

Values = st.SearchStrategy[str]
NAMES: dict[str, Any] = {
    "datetime": datetime,
    "Decimal": decimal.Decimal,
    "UUID": uuid.UUID,
    "float": float,
}

# Pairs that differ in case, blanks or composition, and what collations order in their own ways.
TEXTS = [
    *(
        "",
        " ",
        "a",
        "A",
        "b",
        "B",
        "a ",
        " a",
        "a  ",
        "ab",
        "a b",
        "a-b",
        "AB",
        "aB",
        "z",
        "Z",
        "_",
    ),
    *("\xe4", "\xc4", "a\u0308", "\xe9", "e\u0301", "\xdf", "ss", "SS", "\u0130", "i\u0307", "i"),
    *("\u0131", "\ufb01", "fi", "\uff21", "\u212b", "\xc5", "\u03c3", "\u03c2", "\u01c5"),
    *(
        "\U0001f600",
        "\U00010400",
        "\U00010428",
        "\uffff",
        "\ue000",
        "\u200b",
        "\xad",
        "\xa0",
        "\u3000",
    ),
    *("1", "01", "1.0", "1e3", "-1", "\u0661", "true", "None", "null", "_all", "%", "a,b", "a\tb"),
    *("a\n", "\\", '"', "'", "a'b", "2020-01-01", "a@B.org", "A@b.ORG"),
]


def texts(length: int = 40) -> Values:
    """Texts of at most *length* characters, without the one that no database stores."""
    edges = [each for each in TEXTS if len(each) <= length]
    alphabet = st.characters(exclude_characters="\x00", exclude_categories=["Cs"])
    random_text = st.text(alphabet, max_size=min(length, 8))
    long = [st.just("x" * length)] if length < 10_000 else []
    return st.one_of(*[st.sampled_from(edges)] * 6, random_text, *long).map(repr)


def integers(smallest: int, largest: int) -> Values:
    edges = [0, 1, -1, 7, 10, 100, smallest, smallest + 1, largest - 1, largest, 2**53, 2**53 + 1]
    fitting = [each for each in edges if smallest <= each <= largest]
    return (st.sampled_from(fitting) | st.integers(smallest, largest)).map(repr)


FLOATS = [
    *(0.0, -0.0, 0.1, 0.5, 1 / 3, 1.0, -1.5, 7.0, 1e300, -1e300, 5e-324, 2.2250738585072014e-308),
    *(1e-7, 123456789.125, 16777217.0, 1e16, 9007199254740993.0, 0.30000000000000004, 1e21, 1e22),
]
floats: Values = st.one_of(
    st.sampled_from(FLOATS),
    st.floats(-1e6, 1e6).map(lambda each: round(each, 3)),
    st.floats(allow_nan=False, allow_infinity=False),
).map(repr)
#: with what JSON has no number for
all_floats: Values = floats | st.sampled_from(["float('inf')", "-float('inf')", "float('nan')"])


def decimals(digits: int, scale: int) -> Values:
    """Decimals of up to *digits* before the point and *scale* after it, or one more."""

    def number(sign: str, before: str, after: str) -> str:
        return f"Decimal('{sign}{before}{f'.{after}' if after else ''}')"

    numerals = "0123456789"
    before = st.sampled_from(["0", "1", "7", "9" * digits, "1" + "0" * (digits - 1)])
    before |= st.text(numerals, min_size=1, max_size=digits)
    after = st.sampled_from(["", "0", "10", "5", "0" * scale + "5", "9" * scale])
    after |= st.text(numerals, max_size=scale)
    return st.builds(number, st.sampled_from(["", "", "-"]), before, after)


booleans: Values = st.sampled_from(["True", "False"])


def _repr_of(*values: Any) -> Values:
    return st.sampled_from([repr(each) for each in values])


dates: Values = _repr_of(
    *(datetime.date(1, 1, 1), datetime.date(9999, 12, 31), datetime.date(1970, 1, 1)),
    *(datetime.date(1969, 12, 31), datetime.date(2000, 2, 29), datetime.date(987, 6, 5)),
) | st.dates().map(repr)
_MOMENTS = [
    datetime.datetime(1970, 1, 1),
    datetime.datetime(1999, 12, 31, 23, 59, 59, 999999),
    datetime.datetime(1999, 12, 31, 23, 59, 59, 1),
    datetime.datetime(2020, 3, 29, 2, 30),
    datetime.datetime(2020, 10, 25, 2, 30, 0, 500000),
    datetime.datetime(987, 6, 5, 4, 3, 2),
]
datetimes: Values = _repr_of(
    *_MOMENTS, datetime.datetime.min, datetime.datetime.max
) | st.datetimes().map(repr)
_ZONES = [
    datetime.timezone(datetime.timedelta(minutes=minutes)) for minutes in (0, 120, -690, 345, 840)
]
zoned_datetimes: Values = _repr_of(
    *(moment.replace(tzinfo=zone) for moment in _MOMENTS for zone in _ZONES), *_MOMENTS
)
_CLOCKS = [
    *(datetime.time(0, 0), datetime.time(23, 59, 59, 999999), datetime.time(12, 0, 0, 1)),
    *(datetime.time(1, 2, 3), datetime.time(1, 2, 3, 500000)),
]
times: Values = _repr_of(*_CLOCKS) | st.times().map(repr)
zoned_times: Values = _repr_of(
    *(clock.replace(tzinfo=zone) for clock in _CLOCKS for zone in _ZONES), *_CLOCKS
)
intervals: Values = _repr_of(
    datetime.timedelta(0),
    datetime.timedelta(microseconds=1),
    datetime.timedelta(microseconds=-1),
    datetime.timedelta(seconds=1.5),
    datetime.timedelta(days=3, seconds=5),
    datetime.timedelta(seconds=86405),
    datetime.timedelta(days=-400),
    datetime.timedelta(days=20000, microseconds=999999),
) | st.timedeltas(datetime.timedelta(-10000), datetime.timedelta(10000)).map(repr)
binaries: Values = _repr_of(b"", b"\x00\xff'\"", b"plain", b"Plain", "ä".encode(), b"[1]")
pickles: Values = _repr_of(
    *({"a": [1, None, "ü"]}, [1.5], "text", "", 0, 1, True, (1, 2), [], {}, b"x"),
    *(datetime.date(2020, 1, 1), {1: "one"}, {"d": datetime.datetime(2020, 1, 1)}, 2**70),
) | st.just("Decimal('1.10')")
dicts: Values = _repr_of(
    *({}, {"a": 1}, {"a": 1.0}, {"b": {"c": [1, None]}}, {"": True, "é": "x"}, {"z": 1, "a": 2}),
    *({"big": 2**60}, {"tiny": 1e-300}),
)
uuids: Values = st.sampled_from(
    [repr(uuid.UUID(int=number)) for number in (0, 1, 0xA0B0, 2**128 - 1, 2**127 + 11)]
)


def lists(items: Values) -> Values:
    return st.lists(items, max_size=3).map(lambda each: f"[{', '.join(each)}]")


# What callers write


def raw(sql: str) -> str:
    """Return the literal of a value that SQL stores, not its column's type."""
    return f"Raw({sql!r})"


def is_raw(literal: str) -> bool:
    return literal.startswith("Raw(")


def evaluated(literal: str) -> Any:
    """Return the value of a literal; one that only the models' module knows stays a text."""
    if is_raw(literal):
        return eval(literal[len("Raw") :]).strip("'")
    try:
        return eval(literal, dict(NAMES))
    except NameError:
        return literal.rpartition(".")[2]


def written(value: Any) -> Iterator[str]:
    """Yield how a caller may write *value*."""
    if value is None:
        yield from ("", "null", "None")
    elif isinstance(value, bool):
        yield from (str(value), str(value).lower(), str(int(value)))
    elif isinstance(value, datetime.datetime):
        yield from (str(value), value.isoformat(), value.strftime("%Y-%m-%dT%H:%M:%SZ"))
        yield value.replace(tzinfo=None, microsecond=0).isoformat() + "+02:00"
    elif isinstance(value, datetime.date):
        yield from (str(value), f"{value}T00:00:00Z", f"{value} 00:00:00")
    elif isinstance(value, datetime.time):
        yield from (str(value), value.strftime("%H:%M:%S"), value.strftime("%H:%M:%SZ"))
    elif isinstance(value, datetime.timedelta):
        yield from (str(value), str(value.total_seconds()), str(value.seconds))
    elif isinstance(value, decimal.Decimal):
        yield from (str(value), f"{value:f}", str(float(value)), f"{value:f}0")
    elif isinstance(value, bytes):
        yield from (repr(value), value.decode("latin-1").replace("\x00", ""))
    elif isinstance(value, list):
        for each in value:
            yield from written(each)
        yield json.dumps(value, default=str)
    elif isinstance(value, (dict, tuple)):
        yield from (json.dumps(value, default=str), str(value))
    else:
        yield str(value)


_WIDE_DIGITS = str.maketrans("0123456789", "０１２３４５６７８９")
_EDGES = (2**15, 2**31, 2**63, 10**5, 10**20)


def near(text: str) -> list[str]:
    """Return *text* and what is like it: other case, blanks, composition, other writings of a
    number, and numbers beyond it."""
    texts = [text, text, text, text.swapcase(), text.lower(), text.upper(), f"{text} ", f" {text}"]
    texts += [text.rstrip(), text[:-1], f"{text}%", f"{text}\t"]
    texts += [unicodedata.normalize(form, text) for form in ("NFC", "NFD", "NFKC")]
    if re.match(r"-?[0-9]", text):
        texts += [f"0{text}", f"+{text}", f"{text}.0", f"{text}0", f"{text}e0", f"-{text}", "1e3"]
        texts += [text.translate(_WIDE_DIGITS), text.replace("1", "1_0"), text.rstrip("0")]
        texts += [text.replace("T", " "), text.rstrip("Z"), text[:10]]
    if re.fullmatch(r"-?[0-9]{1,40}", text):
        number = int(text)
        texts += [str(number + 1), str(number - 1), str(number * 10**5), f"{number}.5"]
        texts += [str(number + each) for each in _EDGES]
    return [each for each in texts if "\x00" not in each]
