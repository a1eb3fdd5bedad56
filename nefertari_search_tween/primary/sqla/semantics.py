"""How a SQL database compares the values of a model: what transparent reads rely on.

Only SQLite and PostgreSQL are supported; with another database every filter and sort is left to the
primary. Values are read as canonical texts only: how a database reads ``1e3``, ``' 7'`` or ``now``
is its own rule.
"""

from __future__ import annotations

import datetime
import decimal
import re
from typing import Any, Callable, Optional

from sqlalchemy import types as sqltypes

from nefertari_search_tween.documents.fields import BaseField, keyword_fits
from nefertari_search_tween.documents.mirror_document import BaseDocument
from nefertari_search_tween.exceptions import Reason, Unanswerable
from nefertari_search_tween.primary.exact_values import exact_form, exact_integer
from nefertari_search_tween.primary.sqla import schema

_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,18})\Z", re.ASCII)
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?\Z", re.ASCII)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z", re.ASCII)
_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?Z?\Z", re.ASCII
)
# Up to 15 significant digits survive decimal -> binary -> decimal (IEEE 754 binary64), and every
# parser agrees on them.
_DIGITS = 15
_SORTED_BY_CODE_POINT = {"C", "POSIX", "C.UTF-8", "C.utf8"}


class SqlaSemantics:
    """See :class:`~nefertari_search_tween.interfaces.primary.Semantics`.

    :param bind: returns the SQLAlchemy engine of the model's table.
    """

    #: Mappers could have a default order; nefertari's models have none.
    default_sort: list[str] = []
    first_sort_counts = True

    def __init__(
        self, model: Any, document_cls: type[BaseDocument], bind: Callable[[], Any]
    ) -> None:
        self.model = model
        self.document_cls = document_cls
        self._bind = bind
        self._columns = {column.name: column for column in schema.mapper_of(model).columns}
        self._collation: Optional[str] = None

    @property
    def dialect(self) -> Any:
        return self._bind().dialect

    def nulls_first(self, descending: bool) -> bool:
        # SQLite: a null is smaller than everything; PostgreSQL: larger.
        return descending == (self.dialect.name == "postgresql")

    def sortable(self, name: str) -> bool:
        if not self._is_supported() or not schema.plain_attribute(self.model, name):
            return False
        field = self.document_cls.fields()[name]
        return field.kind != "text" or self._binary_text(name)

    def filter_value(self, name: str, value: Any) -> Any:
        if not self._is_supported() or not schema.plain_attribute(self.model, name):
            raise Unanswerable(Reason.UNSUPPORTED_PARAMETER)
        field = self.document_cls.fields()[name]
        column = self._columns[name]
        if field.kind == "text" and getattr(column.type, "collation", None):
            raise Unanswerable(Reason.COLLATION)
        self._accepted_by_type(column, value)
        return exact_form(self, field, value)

    def picked(self, only: list[str], exclude: list[str]) -> list[str]:
        names = self.document_cls.fields()
        if not {each.strip("-+") for each in (*only, *exclude)} <= names.keys():
            raise Unanswerable(Reason.UNSUPPORTED_PARAMETER)
        selected = [name for name in (only or names) if name not in exclude]
        picked = sorted({*selected, self.document_cls.pk_field()})
        if not selected or not names.keys() >= set(picked):
            raise Unanswerable(Reason.UNSUPPORTED_PARAMETER)
        return picked

    def unloaded(self, name: str) -> Any:
        """Never called: this primary returns rows."""
        raise Unanswerable(Reason.UNSUPPORTED_PARAMETER)

    def _is_supported(self) -> bool:
        return self.dialect.name in ("sqlite", "postgresql")

    @property
    def _sqlite(self) -> bool:
        return bool(self.dialect.name == "sqlite")

    def _accepted_by_type(self, column: Any, value: Any) -> None:
        """Run nefertari's own validation of filter values (lengths, ranges, choices)."""
        column_type = column.type
        if not isinstance(column_type, sqltypes.TypeDecorator):
            return
        if type(column_type).process_bind_param is sqltypes.TypeDecorator.process_bind_param:
            return
        try:
            column_type.process_bind_param(value, self.dialect)
        except Exception as error:
            raise Unanswerable(Reason.UNSUPPORTED_PARAMETER) from error

    # Each returns the exact form of a value, None for one that only the primary can compare.

    def _text(self, field: BaseField, value: Any) -> Any:
        return str(value) if isinstance(value, str) and keyword_fits(value) else None

    def _integer(self, field: BaseField, value: Any) -> Any:
        if isinstance(value, str) and _INTEGER.match(value):
            value = int(value)
        return exact_integer(value)

    def _float(self, field: BaseField, value: Any) -> Any:
        if isinstance(value, str) and _NUMBER.match(value):
            digits = value.strip("-").replace(".", "").strip("0")
            return float(value) if len(digits) <= _DIGITS and len(value) <= 300 else None
        if type(value) in (int, float, decimal.Decimal):
            number = float(value)
            if number == value and abs(number) < float("inf"):
                return number
        return None

    def _boolean(self, field: BaseField, value: Any) -> Any:
        # SQLAlchemy rejects texts here; the primary reports that.
        return value if isinstance(value, bool) else None

    def _DateField(self, field: BaseField, value: Any) -> Any:
        if isinstance(value, str) and not self._sqlite and _DATE.match(value):
            value = _parsed(datetime.date.fromisoformat, value)
        return self._exact(field, value)

    def _DateTimeField(self, field: BaseField, value: Any) -> Any:
        if isinstance(value, str) and not self._sqlite and _MOMENT.match(value):
            text = value.rstrip("Z").replace("T", " ")
            form = "%Y-%m-%d %H:%M:%S.%f" if "." in text else "%Y-%m-%d %H:%M:%S"
            value = _parsed(lambda each: datetime.datetime.strptime(each, form), text)
        if isinstance(value, datetime.datetime) and (
            value.tzinfo is not None or field._init_kwargs.get("timezone")
        ):
            return None
        return self._exact(field, value)

    def _IntervalField(self, field: BaseField, value: Any) -> Any:
        if type(value) is int:
            value = datetime.timedelta(seconds=value)
        return self._exact(field, value)

    def _exact(self, field: BaseField, value: Any) -> Any:
        return None if isinstance(value, str) or not field.fits(value) else field.to_exact(value)

    _TimeField = _exact

    def _binary_text(self, name: str) -> bool:
        """Return True if the database sorts the text column *name* by code point."""
        if getattr(self._columns[name].type, "collation", None):
            return False
        if self._sqlite:
            return True
        if self._collation is None:
            with self._bind().connect() as connection:
                self._collation = connection.execute(
                    "SELECT datcollate FROM pg_database WHERE datname = current_database()"
                ).scalar()
        return self._collation in _SORTED_BY_CODE_POINT


def _parsed(parse: Callable[[str], Any], text: str) -> Any:
    """Return *text* itself if it can't be parsed."""
    try:
        return parse(text)
    except ValueError:
        return text
