"""How a SQL database compares the values of a model: what transparent reads rely on.

Only SQLite and PostgreSQL are known; with another database every filter and sort is the
primary's. Values are read as canonical texts only: what a database makes of ``1e3``, ``' 7'`` or
``now`` is its own affair.
"""

from __future__ import annotations

import datetime
import decimal
import re
from typing import Any, Callable, Optional

from sqlalchemy import types as sqltypes

from nefertari_search_tween.documents.fields import INT64_MAX, BaseField, keyword_fits
from nefertari_search_tween.documents.mirror_document import BaseDocument
from nefertari_search_tween.exceptions import Reason, Unanswerable
from nefertari_search_tween.primary.sqla import schema

_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,18})\Z", re.ASCII)
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?\Z", re.ASCII)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z", re.ASCII)
_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?Z?\Z", re.ASCII
)
# So many significant digits survive decimal -> binary -> decimal (IEEE 754 binary64), and
# every reader of texts agrees on them.
_DIGITS = 15
_SORTED_BY_CODE_POINT = {"C", "POSIX", "C.UTF-8", "C.utf8"}


class SqlaSemantics:
    """See :class:`~nefertari_search_tween.interfaces.primary.Semantics`.

    :param bind: gives the SQLAlchemy engine of the model's table.
    """

    #: Mappers could have an order of their own; nefertari's models have none.
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
        if not self._known() or not schema.plain_attribute(self.model, name):
            return False
        field = self.document_cls.fields()[name]
        return field.kind != "text" or self._binary_text(name)

    def filter_value(self, name: str, value: Any) -> Any:
        if not self._known() or not schema.plain_attribute(self.model, name):
            raise Unanswerable(Reason.UNSUPPORTED_PARAMETER)
        field = self.document_cls.fields()[name]
        column = self._columns[name]
        if field.kind == "text" and getattr(column.type, "collation", None):
            raise Unanswerable(Reason.COLLATION)
        self._accepted_by_type(column, value)
        handler = getattr(self, f"_{type(field).__name__}", None) or getattr(
            self, f"_{field.kind}", None
        )
        if handler is None:
            raise Unanswerable(Reason.UNSUPPORTED_PARAMETER)
        return handler(field, value)

    def picked(self, only: list[str], exclude: list[str]) -> list[str]:
        names = self.document_cls.fields()
        if not {each.strip("-+") for each in (*only, *exclude)} <= names.keys():
            raise Unanswerable(Reason.UNSUPPORTED_PARAMETER)
        chosen = [name for name in (only or names) if name not in exclude]
        if not chosen:
            raise Unanswerable(Reason.UNSUPPORTED_PARAMETER)
        picked = sorted({*chosen, self.document_cls.pk_field()})
        # The primary selects a relationship's join condition here, not its documents.
        if any(name not in names or names[name].kind == "relationship" for name in picked):
            raise Unanswerable(Reason.UNSUPPORTED_PARAMETER)
        return picked

    def unloaded(self, name: str) -> Any:
        """Never asked: this primary gives rows."""
        raise Unanswerable(Reason.UNSUPPORTED_PARAMETER)

    def _known(self) -> bool:
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

    def _text(self, field: BaseField, value: Any) -> Any:
        if not isinstance(value, str) or not keyword_fits(value):
            raise Unanswerable(Reason.UNSUPPORTED_PARAMETER)
        return str(value)

    def _integer(self, field: BaseField, value: Any) -> Any:
        if isinstance(value, str) and _INTEGER.match(value):
            value = int(value)
        if type(value) is not int or not -INT64_MAX <= value < INT64_MAX:
            raise Unanswerable(Reason.UNSUPPORTED_PARAMETER)
        return value

    def _float(self, field: BaseField, value: Any) -> Any:
        if isinstance(value, str) and _NUMBER.match(value):
            if len(value.strip("-").replace(".", "").strip("0")) > _DIGITS or len(value) > 300:
                raise Unanswerable(Reason.UNSUPPORTED_PARAMETER)
            return float(value)
        if type(value) in (int, float, decimal.Decimal):
            number = float(value)
            if number == value and abs(number) < float("inf"):
                return number
        raise Unanswerable(Reason.UNSUPPORTED_PARAMETER)

    def _boolean(self, field: BaseField, value: Any) -> Any:
        # SQLAlchemy refuses texts here; the primary words that.
        if not isinstance(value, bool):
            raise Unanswerable(Reason.UNSUPPORTED_PARAMETER)
        return value

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
            raise Unanswerable(Reason.UNSUPPORTED_PARAMETER)
        return self._exact(field, value)

    def _TimeField(self, field: BaseField, value: Any) -> Any:
        return self._exact(field, value)

    def _IntervalField(self, field: BaseField, value: Any) -> Any:
        if type(value) is int:
            value = datetime.timedelta(seconds=value)
        return self._exact(field, value)

    def _exact(self, field: BaseField, value: Any) -> Any:
        if isinstance(value, str) or not field.fits(value):
            raise Unanswerable(Reason.UNSUPPORTED_PARAMETER)
        return field.to_exact(value)

    def _binary_text(self, name: str) -> bool:
        """True when the database sorts the text column *name* by code point."""
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
    try:
        return parse(text)
    except ValueError as error:
        raise Unanswerable(Reason.UNSUPPORTED_PARAMETER) from error
