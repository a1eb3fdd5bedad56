"""How MongoDB compares the values of a model: what transparent reads rely on.

MongoEngine turns a value of the query string into what the database is asked for; so does this,
by MongoEngine's own fields. What it makes of the value is compared with what the documents hold
in the exact form of this package's field. Values that the field does not turn into its own type
(MongoDB compares types, too) are left to the primary.
"""

from __future__ import annotations

import datetime
from typing import Any, Callable

from nefertari_search_tween.documents.fields import INT64_MAX, BaseField, keyword_fits
from nefertari_search_tween.documents.mirror_document import BaseDocument
from nefertari_search_tween.exceptions import NOTHING, Reason, Unanswerable

_COMPARED = ("text", "integer", "float", "boolean", "date", "time")
_MILLISECOND = 1000
_PLAIN = (str, int, float, bool, type(None))


class MongoSemantics:
    """See :class:`~nefertari_search_tween.interfaces.primary.Semantics`."""

    #: The driver makes one of both: the direction of the last at the place of the first.
    first_sort_counts = False

    def __init__(self, model: Any, document_cls: type[BaseDocument]) -> None:
        self.model = model
        self.document_cls = document_cls
        self.default_sort = list(model._meta.get("ordering") or ())

    def nulls_first(self, descending: bool) -> bool:
        # Null, and what is not there, is smaller than everything else.
        return not descending

    def sortable(self, name: str) -> bool:
        # Texts by code point, whatever the language: there is no collation without asking.
        return self.document_cls.fields()[name].kind in _COMPARED

    def filter_value(self, name: str, value: Any) -> Any:
        exact = self.document_cls.fields()[name]
        if exact.kind not in _COMPARED and exact.kind != "list":
            raise Unanswerable(Reason.UNSUPPORTED_PARAMETER)
        try:
            asked = self.model._fields[name].prepare_query_value(None, value)
        except Exception as error:
            # The primary words what is wrong with it.
            raise Unanswerable(Reason.UNSUPPORTED_PARAMETER) from error
        return self._exact(exact, asked)

    def _exact(self, field: BaseField, asked: Any) -> Any:
        handler: Any = getattr(self, f"_{type(field).__name__}", None)
        handler = handler or getattr(self, f"_{field.kind}")
        compared = handler(field, asked)
        if compared is None:
            raise Unanswerable(Reason.UNSUPPORTED_PARAMETER)
        return compared

    def _text(self, field: BaseField, asked: Any) -> Any:
        return asked if isinstance(asked, str) and keyword_fits(asked) else None

    def _ObjectIdField(self, field: BaseField, asked: Any) -> Any:
        from bson import ObjectId

        return str(asked) if isinstance(asked, ObjectId) else None

    def _integer(self, field: BaseField, asked: Any) -> Any:
        return asked if type(asked) is int and -INT64_MAX <= asked < INT64_MAX else None

    def _float(self, field: BaseField, asked: Any) -> Any:
        if type(asked) not in (int, float) or not field.fits(float(asked)):
            return None
        return float(asked)

    def _boolean(self, field: BaseField, asked: Any) -> Any:
        if isinstance(asked, str):
            # It stays a text, which equals neither.
            return NOTHING
        return asked if isinstance(asked, bool) else None

    def _list(self, field: BaseField, asked: Any) -> Any:
        """A list of texts holds the text that is asked for."""
        item = field.item_field()  # type: ignore[attr-defined]
        return self._text(item, asked) if item.kind == "text" and asked != "_all" else None

    def _IntervalField(self, field: BaseField, asked: Any) -> Any:
        if isinstance(asked, str):
            # Stored as whole seconds; a text stays a text, which equals none of them.
            return NOTHING
        if type(asked) is not int or abs(asked) > 10**12:
            return None
        return field.to_exact(datetime.timedelta(seconds=asked))

    def _DateTimeField(self, field: BaseField, asked: Any) -> Any:
        if not isinstance(asked, datetime.datetime):
            return None
        # The driver cuts it to milliseconds.
        return field.to_exact(asked) // _MILLISECOND * _MILLISECOND

    def _DateField(self, field: BaseField, asked: Any) -> Any:
        return self._parsed(field, asked, datetime.date.fromisoformat)

    def _TimeField(self, field: BaseField, asked: Any) -> Any:
        return self._parsed(field, asked, datetime.time.fromisoformat)

    def _parsed(self, field: BaseField, asked: Any, parse: Callable[[str], Any]) -> Any:
        """Stored as a text of fixed width."""
        try:
            value = parse(asked)
        except (TypeError, ValueError):
            return None
        return field.to_exact(value) if str(value) == asked else None

    # `_fields`

    def picked(self, only: list[str], exclude: list[str]) -> list[str]:
        """Names that are loaded; the others show what an object has that was never given any.

        :raises Unanswerable: only the primary can say.
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
        for name in names:
            if name not in loaded:
                self.unloaded(name)
        return loaded

    def unloaded(self, name: str) -> Any:
        """What the field *name* shows of an object that it was not loaded for, as in documents.

        :raises Unanswerable: a default that is made anew each time.
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
