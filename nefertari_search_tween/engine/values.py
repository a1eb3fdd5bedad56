"""Values of stored documents: what a field accepts, and how it is stored without loss.

:func:`clean` is applied to a value before it is written: strings of JSON bodies become Python
values as in PostgreSQL (``"2015-06-01"`` a date), and limits are checked with the messages of
nefertari_sqla. :func:`pack` and :func:`unpack` store a value beside its rendered form, for the
types whose rendered form loses something.
"""

from __future__ import annotations

import base64
import copy
import datetime
import decimal
import json
import math
import pickle
from typing import Any, Callable, Optional

from nefertari_search_tween.documents import fields as kinds
from nefertari_search_tween.documents.fields import BaseField

INT64 = (-(2**63) + 1, 2**63 - 2)
INT16 = (-(2**15), 2**15 - 1)
# Longer numbers are rejected before Python parses them.
MAX_NUMBER_LENGTH = 400


def clean(field: BaseField, value: Any) -> Any:
    """Return *value* as the field stores it.

    :param value: not None.
    :raises ValueError: it is not of the field's type or exceeds its limits; the message names
        the field.
    """
    own = getattr(field, "clean_value", None)
    if own is not None:
        return own(value)
    for cls in type(field).__mro__:
        cleaner = _CLEANERS.get(cls.__name__)
        if cleaner is not None:
            return cleaner(field, value)
    raise TypeError(f"{field!r} holds no value")


def default_of(field: BaseField) -> Any:
    """Return the value of a new document's field without an assigned value."""
    default = field._init_kwargs.get("default")
    if callable(default):
        return default()
    if default is None and isinstance(field, kinds.ListField):
        return []
    if default is None and isinstance(field, kinds.DictField):
        return {}
    return copy.deepcopy(default)


def has_onupdate(field: BaseField) -> bool:
    return field._init_kwargs.get("onupdate") is not None


def onupdate_of(field: BaseField) -> Any:
    """Return the value that a field gets when its document changes and the field was not set."""
    onupdate = field._init_kwargs["onupdate"]
    return onupdate() if callable(onupdate) else copy.deepcopy(onupdate)


def _bad(field: BaseField, problem: str) -> ValueError:
    return ValueError(f"Field `{field.name}`: {problem}")


def _shortened(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _text(field: BaseField, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int, float, decimal.Decimal)):
        raise _bad(field, f"`{_shortened(value)}` is not a text")
    text = str(value)
    if any("\ud800" <= char <= "\udfff" for char in text):
        raise _bad(field, "the text can't be written in UTF-8")
    least, most = field._init_kwargs.get("min_length"), field._init_kwargs.get("max_length")
    if least is not None and len(text) < least:
        raise _bad(field, f"Value length must be more than {least}")
    if most is not None and len(text) > most:
        raise _bad(field, f"Value length must be less than {most}")
    return text


def _choice(field: BaseField, value: Any) -> Any:
    choices = _as_choices(field._init_kwargs.get("choices", ()))
    if value not in choices:
        names = ", ".join(map(str, choices))
        raise _bad(field, f"Got an invalid choice `{value}`. Valid choices: ({names})")
    return value


def _as_choices(choices: Any) -> list[Any]:
    return list(choices) if isinstance(choices, (list, tuple, set)) else [choices]


def _check_limits(field: BaseField, number: Any) -> Any:
    least, most = field._init_kwargs.get("min_value"), field._init_kwargs.get("max_value")
    if least is not None and number < least:
        raise _bad(field, f"Value must be bigger than {least}")
    if most is not None and number > most:
        raise _bad(field, f"Value must be less than {most}")
    return number


def _integer(field: BaseField, value: Any) -> int:
    number = _decimal(field, value)
    if number != number.to_integral_value():
        raise _bad(field, f"`{_shortened(value)}` is not a whole number")
    low, high = INT16 if isinstance(field, kinds.SmallIntegerField) else INT64
    if not low <= number <= high:
        raise _bad(field, f"`{_shortened(value)}` is not between {low} and {high}")
    return int(_check_limits(field, int(number)))


def _decimal(field: BaseField, value: Any) -> decimal.Decimal:
    if not isinstance(value, (str, int, float, decimal.Decimal)):
        raise _bad(field, f"`{_shortened(value)}` is not a number")
    try:
        if isinstance(value, str) and len(value) > MAX_NUMBER_LENGTH:
            raise decimal.InvalidOperation
        number = decimal.Decimal(repr(value) if isinstance(value, float) else value)
    except decimal.InvalidOperation:
        raise _bad(field, f"`{_shortened(value)}` is not a number") from None
    if not number.is_finite() or abs(number.adjusted()) > MAX_NUMBER_LENGTH:
        raise _bad(field, f"`{_shortened(value)}` is not a number that can be kept")
    return number


def _float(field: BaseField, value: Any) -> float:
    number = float(_decimal(field, value))
    if not math.isfinite(number):
        raise _bad(field, f"`{_shortened(value)}` is not a number that can be kept")
    return float(_check_limits(field, number))


def _fixed_point(field: BaseField, value: Any) -> decimal.Decimal:
    number = _decimal(field, value)
    scale, precision = field._init_kwargs.get("scale"), field._init_kwargs.get("precision")
    if scale is not None:
        with decimal.localcontext() as context:
            context.prec = 2 * MAX_NUMBER_LENGTH + 200
            number = number.quantize(decimal.Decimal(1).scaleb(-scale), decimal.ROUND_HALF_UP)
    if precision is not None and number and number.adjusted() >= precision - (scale or 0):
        raise _bad(field, f"`{_shortened(value)}` has more than {precision} digits")
    limited: decimal.Decimal = _check_limits(field, number)
    return limited


def _boolean(field: BaseField, value: Any) -> bool:
    if isinstance(value, str):
        value = {"true": True, "false": False, "1": True, "0": False}.get(value.lower(), value)
    if isinstance(value, (bool, int)) and value in (0, 1):
        return bool(value)
    raise _bad(field, f"`{_shortened(value)}` is neither true nor false")


def _parse(field: BaseField, parse: Callable[[str], Any], text: str, what: str) -> Any:
    try:
        return parse(text)
    except ValueError:
        raise _bad(field, f"`{_shortened(text)}` is not {what}") from None


def _parse_datetime(text: str) -> datetime.datetime:
    text = text.strip()
    if text[-1:] in "zZ":
        # nefertari renders datetimes without a zone this way.
        text = text[:-1]
    head, point, rest = text.partition(".")
    if point:
        # Python before 3.11 parses only three or six digits.
        digits = len(rest) - len(rest.lstrip("0123456789"))
        text = f"{head}.{rest[:digits][:6].ljust(6, '0')}{rest[digits:]}"
    return datetime.datetime.fromisoformat(text)


def _datetime(field: BaseField, value: Any) -> datetime.datetime:
    if isinstance(value, str):
        value = _parse(field, _parse_datetime, value, "a date and time (2015-06-01T12:00:00Z)")
    elif isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
        value = datetime.datetime(value.year, value.month, value.day)
    if not isinstance(value, datetime.datetime):
        raise _bad(field, f"`{_shortened(value)}` is not a date and time")
    if value.tzinfo is not None and not field._init_kwargs.get("timezone"):
        value = value.astimezone(datetime.timezone.utc).replace(tzinfo=None)
    if value.tzinfo is None and field._init_kwargs.get("timezone"):
        value = value.replace(tzinfo=datetime.timezone.utc)
    return value


def _date(field: BaseField, value: Any) -> datetime.date:
    if isinstance(value, str):
        value = _parse(field, _parse_datetime, value, "a date (2015-06-01)")
    if isinstance(value, datetime.datetime):
        return value.date()
    if not isinstance(value, datetime.date):
        raise _bad(field, f"`{_shortened(value)}` is not a date")
    return value


def _time(field: BaseField, value: Any) -> datetime.time:
    if isinstance(value, str):
        value = _parse(field, datetime.time.fromisoformat, value, "a time (12:30:00)")
    if isinstance(value, datetime.datetime):
        value = value.time()
    if not isinstance(value, datetime.time) or value.tzinfo is not None:
        raise _bad(field, f"`{_shortened(value)}` is not a time of day without a zone")
    return value


def _interval(field: BaseField, value: Any) -> datetime.timedelta:
    if isinstance(value, datetime.timedelta):
        return value
    seconds = _float(field, value)
    try:
        return datetime.timedelta(seconds=seconds)
    except OverflowError:
        raise _bad(field, f"`{_shortened(value)}` seconds are too many") from None


def _binary(field: BaseField, value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    raise _bad(field, f"`{_shortened(value)}` is not binary data")


def _dict(field: BaseField, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _bad(field, f"`{_shortened(value)}` is not a JSON object")
    try:
        plain = json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise _bad(field, f"it is not JSON: {error}") from None
    return dict(plain)


def _list(field: BaseField, value: Any) -> list[Any]:
    assert isinstance(field, kinds.ListField)
    if not isinstance(value, (list, tuple, set)):
        raise _bad(field, f"`{_shortened(value)}` is not a list")
    choices = field._init_kwargs.get("choices")
    if choices is not None:
        wrong = [each for each in value if each not in _as_choices(choices)]
        if wrong:
            raise _bad(
                field,
                f"Got invalid choices: ({', '.join(map(str, wrong))}). "
                f"Valid choices: ({', '.join(map(str, _as_choices(choices)))})",
            )
    item = field.item_field()
    return [None if each is None else clean(item, each) for each in value]


def _pickle(field: BaseField, value: Any) -> Any:
    try:
        pickle.dumps(value)
    except Exception as error:  # noqa: BLE001 - whatever the object's own code raises
        raise _bad(field, f"it can't be pickled: {error}") from None
    return value


def _key(field: BaseField, value: Any) -> Any:
    assert isinstance(field, kinds.ForeignKeyField)
    field.referenced.name = field.name
    return clean(field.referenced, value)


_CLEANERS: dict[str, Callable[[BaseField, Any], Any]] = {
    "ChoiceField": _choice,
    "_TextField": _text,
    "IntegerField": _integer,
    "FloatField": _float,
    "DecimalField": _fixed_point,
    "BooleanField": _boolean,
    "DateTimeField": _datetime,
    "DateField": _date,
    "TimeField": _time,
    "IntervalField": _interval,
    "BinaryField": _binary,
    "PickleField": _pickle,
    "DictField": _dict,
    "ListField": _list,
    "ForeignKeyField": _key,
}


# Lossless forms

Codec = tuple[Callable[[Any], Any], Callable[[Any], Any]]


def _seconds(value: datetime.timedelta) -> list[int]:
    return [value.days, value.seconds, value.microseconds]


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


def _unpickled(text: str) -> Any:
    # As with any database of pickles: whoever can write the index can run code here.
    return pickle.loads(base64.b64decode(text))


_CODECS: dict[str, Codec] = {
    "DecimalField": (str, decimal.Decimal),
    "DateTimeField": (lambda each: each.isoformat(), datetime.datetime.fromisoformat),
    "DateField": (lambda each: each.isoformat(), datetime.date.fromisoformat),
    "TimeField": (lambda each: each.isoformat(), datetime.time.fromisoformat),
    "IntervalField": (_seconds, lambda each: datetime.timedelta(*each)),
    "BinaryField": (_base64, base64.b64decode),
    "PickleField": (lambda each: _base64(pickle.dumps(each)), _unpickled),
}


def codec_of(field: BaseField) -> Optional[Codec]:
    """Return the functions that pack and unpack values of *field*, None if JSON loses nothing."""
    if isinstance(field, kinds.ForeignKeyField):
        return codec_of(field.referenced)
    return _CODECS.get(type(field).__name__) or next(
        (_CODECS[cls.__name__] for cls in type(field).__mro__ if cls.__name__ in _CODECS), None
    )


def pack(field: BaseField, value: Any) -> Any:
    """Return the JSON form of *value* (not None) for :func:`unpack`.

    None if the document's own form loses nothing.
    """
    if isinstance(field, kinds.ListField):
        codec = codec_of(field.item_field())
        if codec is None:
            return None
        return [None if each is None else codec[0](each) for each in value]
    codec = codec_of(field)
    return None if codec is None else codec[0](value)


def unpack(field: BaseField, packed: Any) -> Any:
    """Return the value that :func:`pack` packed."""
    if isinstance(field, kinds.ListField):
        codec = codec_of(field.item_field())
        assert codec is not None
        return [None if each is None else codec[1](each) for each in packed]
    codec = codec_of(field)
    assert codec is not None
    return codec[1](packed)
