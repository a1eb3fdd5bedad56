"""The 22 field classes of a nefertari engine, for documents in a search backend."""

from __future__ import annotations

import ast
import datetime
import decimal
import math
from typing import Any, Optional

from nefertari_search_tween.documents.base_field import BaseField

# Keyword terms end at 32,766 bytes in Lucene; one UTF-16 unit is at most 3 bytes of UTF-8,
# so values of up to this many units always fit.
KEYWORD_UNITS = 8191
INT64_MAX = 2**63 - 1
EPOCH = datetime.datetime(1970, 1, 1)
MICROSECOND = datetime.timedelta(microseconds=1)
# How nefertari renders moments.
RENDERED = "%Y-%m-%dT%H:%M:%SZ"

KEYWORD = {"type": "keyword", "ignore_above": KEYWORD_UNITS}
LONG = {"type": "long", "ignore_malformed": True}
DOUBLE = {"type": "double", "ignore_malformed": True}
DATE = {
    "type": "date",
    "format": "date_optional_time||epoch_millis",
    "ignore_malformed": True,
}


def text_mapping(analyzer: Optional[str] = None) -> dict[str, Any]:
    """Return the mapping of full text with a keyword subfield for exact matches and sorting.

    :param analyzer: None for the index's default; then the mapping does not mention it.
    """
    mapping: dict[str, Any] = {"type": "text", "fields": {"keyword": dict(KEYWORD)}}
    if analyzer is not None:
        mapping["analyzer"] = analyzer
    return mapping


def is_text(field: BaseField) -> bool:
    """Return True if *field* is full text in the index, or a list of such texts."""
    return field.mapping().get("type") == "text"


def keyword_fits(text: str) -> bool:
    """Return True if a keyword field can store the whole *text*."""
    if len(text) > KEYWORD_UNITS:
        return False
    return len(text) * 2 <= KEYWORD_UNITS or len(text.encode("utf-16-le")) // 2 <= KEYWORD_UNITS


class _TextField(BaseField):
    kind = "text"
    analyzable = True

    def mapping(self) -> dict[str, Any]:
        return text_mapping(self.analyzer)

    def fits(self, value: Any) -> bool:
        return isinstance(value, str) and keyword_fits(value)


class StringField(_TextField):
    """Text."""


class TextField(_TextField):
    """Text of any length."""


class UnicodeField(_TextField):
    """Text."""


class UnicodeTextField(_TextField):
    """Text of any length."""


class ChoiceField(_TextField):
    """Text, one of the ``choices``."""


class IntegerField(BaseField):
    """Whole numbers of up to 64 bits."""

    kind = "integer"
    index_mapping = LONG

    def fits(self, value: Any) -> bool:
        # The index sorts missing values as the smallest and largest number.
        return type(value) in (int, bool) and -INT64_MAX <= value < INT64_MAX


class IdField(IntegerField):
    """A number as identifier."""


class BigIntegerField(IntegerField):
    """Whole numbers of up to 64 bits."""


class SmallIntegerField(IntegerField):
    """Whole numbers of up to 16 bits."""


class FloatField(BaseField):
    """Double precision numbers."""

    kind = "float"
    index_mapping = DOUBLE

    def fits(self, value: Any) -> bool:
        return type(value) in (int, float) and math.isfinite(value) and float(value) == value


class DecimalField(BaseField):
    """Decimal numbers; rendered as floats."""

    kind = "float"
    exact_type = "double"
    index_mapping = DOUBLE

    def to_exact(self, value: Any) -> Any:
        return float(value)

    def fits(self, value: Any) -> bool:
        if isinstance(value, float):
            return math.isfinite(value)
        return value.is_finite() and decimal.Decimal(repr(float(value))) == value

    def restore(self, document: Any, exact: Any) -> Any:
        scale = self._init_kwargs.get("decimal_return_scale", self._init_kwargs.get("scale"))
        return decimal.Decimal(repr(exact) if scale is None else f"{exact:.{scale}f}")


class BooleanField(BaseField):
    """True or false."""

    kind = "boolean"
    index_mapping = {"type": "boolean"}

    def fits(self, value: Any) -> bool:
        return isinstance(value, bool)


class DateTimeField(BaseField):
    """A datetime; rendered to the second, indexed exactly in microseconds since 1970."""

    kind = "date"
    exact_type = "long"
    index_mapping = DATE

    def to_exact(self, value: Any) -> Any:
        if value.tzinfo is not None:
            value = value.astimezone(datetime.timezone.utc).replace(tzinfo=None)
        return (value - EPOCH) // MICROSECOND

    def fits(self, value: Any) -> bool:
        return isinstance(value, datetime.datetime)

    def restore(self, document: Any, exact: Any) -> Any:
        moment = EPOCH + datetime.timedelta(microseconds=exact)
        if not self._init_kwargs.get("timezone") and moment.strftime(RENDERED) == document:
            return moment
        # The document has the wall clock time of the value's own zone, exact has UTC.
        wall = datetime.datetime.strptime(document.zfill(20), RENDERED)
        offset = wall - moment.replace(microsecond=0)
        return moment.replace(tzinfo=datetime.timezone.utc).astimezone(datetime.timezone(offset))


class DateField(BaseField):
    """A day; rendered as its midnight, indexed exactly in days since 1970."""

    kind = "date"
    exact_type = "long"
    index_mapping = DATE

    def to_exact(self, value: Any) -> Any:
        return value.toordinal() - EPOCH.toordinal()

    def fits(self, value: Any) -> bool:
        return type(value) is datetime.date

    @staticmethod
    def restore(document: Any, exact: Any) -> Any:
        return datetime.date.fromordinal(exact + EPOCH.toordinal())


class TimeField(BaseField):
    """A time of day; rendered to the second, indexed exactly in microseconds."""

    kind = "time"
    exact_type = "long"
    index_mapping = {"type": "date", "format": "HH:mm:ss", "ignore_malformed": True}

    def to_exact(self, value: Any) -> Any:
        since = datetime.datetime.combine(EPOCH, value.replace(tzinfo=None)) - EPOCH
        return since // MICROSECOND

    def fits(self, value: Any) -> bool:
        return isinstance(value, datetime.time) and value.tzinfo is None

    @staticmethod
    def restore(document: Any, exact: Any) -> Any:
        return (EPOCH + datetime.timedelta(microseconds=exact)).time()


class IntervalField(BaseField):
    """A time span; rendered as by nefertari (its seconds without whole days)."""

    kind = "integer"
    exact_type = "long"
    index_mapping = LONG

    def to_exact(self, value: Any) -> Any:
        return value // MICROSECOND

    def fits(self, value: Any) -> bool:
        return isinstance(value, datetime.timedelta)

    @staticmethod
    def restore(document: Any, exact: Any) -> Any:
        return datetime.timedelta(microseconds=exact)


class BinaryField(BaseField):
    """Bytes; rendered as their Python literal, not searchable."""

    @staticmethod
    def restore(document: Any, exact: Any) -> Any:
        return ast.literal_eval(document)


class PickleField(BaseField):
    """Any Python object; rendered as JSON if possible, not searchable.

    Its exact form is True if the JSON equals the value; other values are read from the primary.
    """

    restorable = False


class DictField(BaseField):
    """A JSON object; not searchable.

    Its exact form is False if it holds what JSON has not (a date, a tuple).
    """


class ListField(BaseField):
    """A list of values of one type, the ``item_type``; its exact form is as that of a DictField."""

    kind = "list"

    def item_field(self) -> BaseField:
        item_type = self._init_kwargs.get("item_type")
        cls = FIELDS.get(getattr(item_type, "__name__", ""), UnicodeTextField)
        field = cls()
        field.name = self.name
        field.analyzer = self.analyzer
        return field

    @property
    def analyzable(self) -> bool:  # type: ignore[override]
        return self.item_field().analyzable

    def mapping(self) -> dict[str, Any]:
        return self.item_field().mapping()

    def fits(self, value: Any) -> bool:
        if not isinstance(value, (list, tuple)):
            return False
        item = self.item_field()
        return all(each is not None and item.fits(each) for each in value)


class ForeignKeyField(BaseField):
    """The primary key of another document; behaves like a field of that key's type."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        column_type = kwargs.get("ref_column_type")
        cls = FIELDS.get(getattr(column_type, "__name__", ""), IntegerField)
        self.referenced = cls()

    @property
    def kind(self) -> str:  # type: ignore[override]
        return self.referenced.kind

    def mapping(self) -> dict[str, Any]:
        return self.referenced.mapping()

    def fits(self, value: Any) -> bool:
        return self.referenced.fits(value)


class Relationship(BaseField):
    """Other documents: their primary keys, or whole documents if nested.

    :param document: name of the other document class.
    :param uselist: True for many, False for one.
    """

    kind = "relationship"

    @property
    def document(self) -> str:
        return str(self._init_kwargs["document"])

    @property
    def uselist(self) -> bool:
        return bool(self._init_kwargs.get("uselist", True))


FIELDS: dict[str, type[BaseField]] = {
    name: cls
    for name, cls in list(globals().items())
    if name.endswith(("Field", "Relationship")) and name not in ("BaseField", "_TextField")
}
