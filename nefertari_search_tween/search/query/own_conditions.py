"""The conditions that a view adds to a search of its collection: exact values, or query syntax.

What makes a view's narrowing safe is that a value means itself. A value is query syntax only if

* the caller typed it, under this very name (``is_typed`` in search/context.py): then it narrows
  what the caller may see anyway; or
* the view marks it (``QueryText``).

Every other value is the view's: one that it takes from the path, from its user, from a parameter of
another name, that it made of typed ones by changing them, or put where the caller typed another.
It is compared as a whole with the exact form of the field, so it matches the objects with that
value, or fewer, whatever characters it consists of. A value or field without an exact form is an
error, because a view can't be asked whether it would rather have more.

Values from a script, which serves no request, are query syntax, as nefertari documents them.
"""

from __future__ import annotations

import datetime
import decimal
from functools import partial
from typing import Any, Callable

from nefertari_search_tween.chunks import chunks
from nefertari_search_tween.documents.fields import (
    BaseField,
    DateField,
    DateTimeField,
    DecimalField,
    TimeField,
    keyword_fits,
)
from nefertari_search_tween.documents.format import INEXACT, exact_field
from nefertari_search_tween.documents.mirror_document import BaseDocument
from nefertari_search_tween.search.query import clauses
from nefertari_search_tween.search.query.clauses import Query, ValueMismatch
from nefertari_search_tween.search.query.fields import SearchField

# Half of the servers' limit (index.max_terms_count).
KEYS_PER_CLAUSE = 32_768


def exact_condition(
    document_cls: type[BaseDocument], target: SearchField, values: list[Any]
) -> Query:
    """Return the condition that *target* has one of *values*; None is the absence of a value.

    :raises ValueMismatch: it has no exact form, or can't have such a value.
    """
    key, convert = _exact_form(document_cls, target)
    terms = [convert(value) for value in values if value is not None]
    parts: list[Query] = [{"terms": {key: part}} for part in chunks(terms, KEYS_PER_CLAUSE)]
    if len(terms) < len(values):
        if target.path is not None:
            raise ValueMismatch("that a nested document has no value is no exact condition")
        parts.append({"bool": {"must_not": [_exists(target.index_field), _exists(key)]}})
    condition = clauses.any_of(parts or [clauses.MATCH_NONE])
    if target.path is not None:
        return clauses.nested(target, condition)
    # An inexact value is indexed as one near to it, or not at all.
    return {"bool": {"must": [condition], "must_not": [{"term": {INEXACT: target.name}}]}}


def _exists(field: str) -> Query:
    return {"exists": {"field": field}}


def _exact_form(
    document_cls: type[BaseDocument], target: SearchField
) -> tuple[str, Callable[[Any], Any]]:
    """Return the index field with the exact form of *target*, and what converts values to it."""
    *path, name = target.name.split(".")
    for each in path:
        document_cls = document_cls.related(each)
    field = document_cls.fields().get(name)
    if field is not None and field.exact_type is not None:
        if target.path is not None:
            raise ValueMismatch("this field of nested documents has no exact form")
        return exact_field(field), partial(_stored_form, field)
    if target.kind not in _EXACT_KINDS:
        raise ValueMismatch("this field has no exact form")
    return target.sort_key, partial(_plain_form, target)


def _plain_form(target: SearchField, value: Any) -> Any:
    """Return *value* as indexed, of a field whose document form is exact."""
    if isinstance(value, (bytes, dict)):
        raise ValueMismatch(f"{type(value).__name__} is no value")
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if not keyword_fits(text):
        raise ValueMismatch("the text is too long to be compared as a whole")
    return clauses.value(target, text)


def _stored_form(field: BaseField, value: Any) -> Any:
    """Return the exact form of *value*, of a field that has one besides its document form."""
    kind = next((each for each in _PARSERS if isinstance(field, each)), None)
    try:
        parsed = value
        if kind is not None and isinstance(value, (str, int)):
            parsed = _PARSERS[kind](str(value))
        exact = field.to_exact(parsed) if field.fits(parsed) else None
    except (ValueError, TypeError, ArithmeticError, AttributeError):
        exact = None
    if exact is None:
        raise ValueMismatch(f"'{str(value)[:40]}' is no exact value of this field")
    return exact


def _moment(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text[:-1] if text.endswith("Z") else text)


def _day(text: str) -> datetime.date:
    moment = _moment(text)
    if moment.time() != datetime.time():
        raise ValueError(text)
    return moment.date()


_EXACT_KINDS = frozenset({"text", "keyword", "integer", "float", "boolean"})
_PARSERS: dict[type[BaseField], Callable[[str], Any]] = {
    DateTimeField: _moment,
    DateField: _day,
    TimeField: datetime.time.fromisoformat,
    DecimalField: decimal.Decimal,
}
