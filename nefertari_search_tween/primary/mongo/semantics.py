"""How MongoDB compares the values of a model: what transparent reads rely on.

MongoEngine converts a value of the query string into what it queries; so does this, by
MongoEngine's own fields. The result is compared with the exact form of this package's field in the
documents. Values that the field does not convert into its own type (MongoDB compares types, too)
are left to the primary.
"""

from __future__ import annotations

import datetime
from typing import Any, Callable

from nefertari_search_tween.documents.fields import BaseField, keyword_fits
from nefertari_search_tween.documents.mirror_document import BaseDocument
from nefertari_search_tween.exceptions import NOTHING, Reason, Unanswerable
from nefertari_search_tween.primary.exact_values import exact_form, exact_integer

_COMPARED = ("text", "integer", "float", "boolean", "date", "time")
_MILLISECOND = 1000
_PLAIN = (str, int, float, bool, type(None))


class MongoSemantics:
    """See :class:`~nefertari_search_tween.interfaces.primary.Semantics`."""

    #: The driver merges both: the direction of the last in the position of the first.
    first_sort_counts = False

    def __init__(self, model: Any, document_cls: type[BaseDocument]) -> None:
        self.model = model
        self.document_cls = document_cls
        self.default_sort = list(model._meta.get("ordering") or ())

    def nulls_first(self, descending: bool) -> bool:
        # Null, and a missing field, is smaller than everything else.
        return not descending

    def sortable(self, name: str) -> bool:
        # Texts by code point, whatever the language: there is no default collation.
        return self.document_cls.fields()[name].kind in _COMPARED

    def filter_value(self, name: str, value: Any) -> Any:
        exact = self.document_cls.fields()[name]
        if exact.kind not in _COMPARED and exact.kind != "list":
            raise Unanswerable(Reason.UNSUPPORTED_PARAMETER)
        try:
            value = self.model._fields[name].prepare_query_value(None, value)
        except Exception as error:
            # The primary reports what is wrong with it.
            raise Unanswerable(Reason.UNSUPPORTED_PARAMETER) from error
        return exact_form(self, exact, value)

    def _text(self, field: BaseField, value: Any) -> Any:
        return value if isinstance(value, str) and keyword_fits(value) else None

    def _ObjectIdField(self, field: BaseField, value: Any) -> Any:
        from bson import ObjectId

        return str(value) if isinstance(value, ObjectId) else None

    def _integer(self, field: BaseField, value: Any) -> Any:
        return exact_integer(value)

    def _float(self, field: BaseField, value: Any) -> Any:
        if type(value) not in (int, float) or not field.fits(float(value)):
            return None
        return float(value)

    def _boolean(self, field: BaseField, value: Any) -> Any:
        if isinstance(value, str):
            # It stays a text, which equals neither true nor false.
            return NOTHING
        return value if isinstance(value, bool) else None

    def _list(self, field: BaseField, value: Any) -> Any:
        """Return the text: a list of texts matches if it holds it."""
        item = field.item_field()  # type: ignore[attr-defined]
        return self._text(item, value) if item.kind == "text" and value != "_all" else None

    def _IntervalField(self, field: BaseField, value: Any) -> Any:
        if isinstance(value, str):
            # Stored as whole seconds; a text stays a text, which equals none of them.
            return NOTHING
        if type(value) is not int or abs(value) > 10**12:
            return None
        return field.to_exact(datetime.timedelta(seconds=value))

    def _DateTimeField(self, field: BaseField, value: Any) -> Any:
        if not isinstance(value, datetime.datetime):
            return None
        # The driver cuts it to milliseconds.
        return field.to_exact(value) // _MILLISECOND * _MILLISECOND

    def _DateField(self, field: BaseField, value: Any) -> Any:
        return self._parsed(field, value, datetime.date.fromisoformat)

    def _TimeField(self, field: BaseField, value: Any) -> Any:
        return self._parsed(field, value, datetime.time.fromisoformat)

    def _parsed(self, field: BaseField, value: Any, parse: Callable[[str], Any]) -> Any:
        """Return the exact form of what is stored as a text of fixed width."""
        try:
            parsed = parse(value)
        except (TypeError, ValueError):
            return None
        return field.to_exact(parsed) if str(parsed) == value else None

    # `_fields`

    def picked(self, only: list[str], exclude: list[str]) -> list[str]:
        """Return the names that are loaded; the others have the value of an object without any.

        :raises Unanswerable: only the primary can tell.
        """
        names = self.document_cls.fields()
        pk = self.document_cls.pk_field()
        if pk in exclude or not {*only, *exclude} <= names.keys():
            raise Unanswerable(Reason.UNSUPPORTED_PARAMETER)
        loaded = [name for name in names if name not in exclude and (not only or name in only)]
        if not loaded:
            raise Unanswerable(Reason.UNSUPPORTED_PARAMETER)
        if pk not in loaded:
            loaded.append(pk)
        for name in names.keys() - loaded:
            self.unloaded(name)
        return loaded

    def unloaded(self, name: str) -> Any:
        """Return the value, as in documents, of the field *name* that was not loaded.

        :raises Unanswerable: a default that differs each time.
        """
        field = self.model._fields[name]
        default = field.default
        if default in (list, dict):
            return default()
        if callable(default):
            # MongoEngine gives lists and dictionaries one of these, too.
            default = default()
            if default not in ([], {}):
                raise Unanswerable(Reason.UNSUPPORTED_PARAMETER)
        is_plain = type(self.document_cls.fields()[name]).exact_type is None
        if not isinstance(default, _PLAIN) and default not in ([], {}):
            is_plain = False
        if default is not None and not is_plain:
            raise Unanswerable(Reason.UNSUPPORTED_PARAMETER)
        return default
