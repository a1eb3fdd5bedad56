"""How MongoDB compares the values of a model: what transparent reads rely on.

MongoEngine converts a value of the query string into what it queries; so does this, by
MongoEngine's own fields. The result is compared with the exact form of this package's field in the
documents. Values that the field does not convert into its own type (MongoDB compares types, too)
are left to the primary.
"""

from __future__ import annotations

import datetime
from typing import Any, Callable, Optional

from nefertari_search_tween.documents.fields import BaseField, keyword_fits
from nefertari_search_tween.documents.mirror_document import BaseDocument
from nefertari_search_tween.exceptions import NOTHING, Reason, Unanswerable
from nefertari_search_tween.interfaces.field_proof import Doubt, FieldProof, require
from nefertari_search_tween.primary.exact_values import exact_integer

# Whose field classes are known.
_LIBRARIES = ("mongoengine", "nefertari_mongodb")
_MILLISECOND = 1000
_PLAIN = (str, int, float, bool, type(None))


class MongoSemantics:
    """See :class:`~nefertari_search_tween.interfaces.primary.Semantics`."""

    #: The driver merges both: the direction of the last in the position of the first.
    first_sort_counts = False

    def __init__(self, model: Any, document_cls: type[BaseDocument]) -> None:
        self.model = model
        self.document_cls = document_cls
        self._proofs = {name: self._proof(name) for name in document_cls.fields()}

    def proof(self, name: str) -> FieldProof:
        return self._proofs[name]

    def _proof(self, name: str) -> FieldProof:
        exact = self.document_cls.fields()[name]
        field = self.model._fields.get(name)
        uncompared = {"opaque": "the index only stores it", "relationship": "it is a relationship"}
        words = uncompared.get(exact.kind)
        if words is None and type(field).__module__.partition(".")[0] not in _LIBRARIES:
            # It may convert, compare and store values in its own way.
            doubt = Doubt(Reason.UNPROVEN_FIELD, f"its class {type(field).__name__} is not known")
            return FieldProof(doubt, doubt, doubt, doubt)
        equality = None if words is None else Doubt(Reason.UNSUPPORTED_PARAMETER, words)
        nulls = equality
        if exact.kind == "list":
            # An empty list has no value in the index, and is one in the database.
            words = "a list has no place in an order"
            nulls = Doubt(Reason.UNSUPPORTED_PARAMETER, "the index has no empty lists")
        # Texts by code point, whatever the language: there is no default collation.
        order = None if words is None else Doubt(Reason.UNSUPPORTED_SORT, words)
        return FieldProof(None, equality, order, nulls, "values that MongoEngine converts")

    def default_sort(self, picked: Optional[list[str]]) -> list[str]:
        return list(self.model._meta.get("ordering") or ())

    def nulls_first(self, descending: bool) -> bool:
        # Null, and a missing field, is smaller than everything else.
        return not descending

    def filter_value(self, name: str, value: Any) -> Any:
        require(self.proof(name).equality)
        exact = self.document_cls.fields()[name]
        try:
            value = self.model._fields[name].prepare_query_value(None, value)
        except Exception as error:
            # The primary reports what is wrong with it.
            raise Unanswerable(Reason.UNSUPPORTED_PARAMETER) from error
        return self._exact_form(exact, value)

    def _exact_form(self, field: BaseField, value: Any) -> Any:
        """Return the exact form of *value* by the handler for the class or else the kind of
        *field*: a method ``_CLASS`` or ``_kind``, which returns None for a value that only the
        primary can compare.

        :raises Unanswerable: only the primary can compare it.
        """
        handler = getattr(self, f"_{type(field).__name__}", None)
        handler = handler or getattr(self, f"_{field.kind}", None)
        exact = None if handler is None else handler(field, value)
        if exact is None:
            raise Unanswerable(Reason.UNSUPPORTED_PARAMETER)
        return exact

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
