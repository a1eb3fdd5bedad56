"""Read collections: parameters of ``get_collection`` become a query with its results."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Iterator
from typing import Any, Optional

from nefertari.json_httpexceptions import JHTTPBadRequest, JHTTPNotFound

from nefertari_search_tween.documents.fields import (
    BaseField,
    DecimalField,
    ListField,
    Relationship,
    keyword_fits,
)
from nefertari_search_tween.documents.format import INEXACT, exact_field
from nefertari_search_tween.engine import database as engine_database
from nefertari_search_tween.engine.serializers import json_default
from nefertari_search_tween.engine.values import clean

MATCH_NONE: dict[str, Any] = {"match_none": {}}
LIMITS = ("min_length", "max_length", "min_value", "max_value", "precision", "scale")
OPERATORS = ("in", "all", "ne", "lt", "lte", "gt", "gte", "exists", "bool")
# Maximum number of keys in one clause; servers accept 65,536 of them.
MAX_TERMS = 10_000
# Up to this many documents are read at once, without a point in time on the server.
MAX_UNPAGED = 1000


class NotFoundByType(ValueError):
    """A value of another type than the field's, which no document can have."""


class Rows(list):
    """The dicts that ``get_collection`` with ``_fields`` returns."""

    _nefertari_meta: dict[str, Any]


class Query:
    """The matching documents of *model*, read at first use and then cached.

    Every method that filters or sorts returns another query.
    """

    _nefertari_meta: dict[str, Any]

    def __init__(self, model: Any) -> None:
        self.model = model
        self.filters: list[dict[str, Any]] = []
        self.sorts: list[tuple[str, bool]] = []
        self.start = 0
        self.size: Optional[int] = None
        self._documents: Optional[list[Any]] = None

    def _copy(self) -> Query:
        query = copy.copy(self)
        query.filters, query.sorts = list(self.filters), list(self.sorts)
        query._documents = None
        query.__dict__.pop("_nefertari_meta", None)
        return query

    def filter_by(self, **params: Any) -> Query:
        """Return the documents with these values; for ``field__in`` etc. see docs/engine.rst.

        :raises JHTTPBadRequest: a field that can't be compared.
        :raises NotFoundByType: a value that no document can have in that field.
        """
        query = self.unpaged()
        for name, value in params.items():
            field_name, _, operator = name.partition("__")
            query.filters.append(condition(self.model, field_name, operator, value))
        return query

    def order_by(self, *names: str) -> Query:
        """Sort by these fields, ``-name`` descending; missing values are smallest."""
        query = self._copy()
        for name in names:
            bare = name.lstrip("+-")
            field = self.model.fields().get(bare)
            if (
                field is None
                or field.kind in ("opaque", "list")
                or not _is_stored(self.model, bare)
            ):
                raise JHTTPBadRequest(
                    f"Bad _sort param: {self.model.__name__} can't be sorted by '{bare}'"
                )
            query.sorts.append((bare, name.startswith("-")))
        return query

    def page(self, start: int, size: int) -> Query:
        """Return *size* documents of this query from position *start* (0 is the first)."""
        query = self._copy()
        query.start = self.start + start
        query.size = size if self.size is None else max(0, min(size, self.size - start))
        return query

    def unpaged(self) -> Query:
        """Return this query without a page; a paged one is replaced by its page's documents."""
        if self.size is None and not self.start:
            return self._copy()
        query = Query(self.model)
        query.sorts = list(self.sorts)
        query.filters = [keys_condition(self.model, [each.pk_value() for each in self])]
        return query

    # Running

    def body(self) -> dict[str, Any]:
        """Return the body of the search without its page."""
        sort = []
        for name, descending in [*self.sorts, (self.model.pk_field(), False)]:
            order = "desc" if descending else "asc"
            missing = "_last" if descending else "_first"
            sort.append({key_of(self.model, name): {"order": order, "missing": missing}})
        return {
            "query": {"bool": {"filter": self.filters}},
            "sort": sort,
            "seq_no_primary_term": True,
        }

    def total(self) -> int:
        """Return the number of matching documents, ignoring the page."""
        body = {"query": self.body()["query"], "size": 0, "track_total_hits": True}
        return int(engine_database.current().search(self.model, body)["hits"]["total"]["value"])

    def read(self) -> int:
        """Read the page, and return the total of all pages as of the same moment."""
        database = engine_database.current()
        window = database.settings.max_result_window
        if self.size is None or self.start + self.size > window:
            return self.total()
        page = {"from": self.start, "size": self.size, "track_total_hits": True}
        answer = database.search(self.model, {**self.body(), **page})
        self._documents = [self.model._from_hit(hit) for hit in answer["hits"]["hits"]]
        self.model._prefetch(self._documents)
        return int(answer["hits"]["total"]["value"])

    def stream(self) -> Iterator[Any]:
        """Yield the documents without caching them, however many there are."""
        end = None if self.size is None else self.start + self.size
        if end is not None and end <= self.start:
            return
        for position, hit in enumerate(self._hits()):
            if end is not None and position >= end:
                return
            if position >= self.start:
                yield self.model._from_hit(hit)

    def _hits(self) -> Iterator[dict[str, Any]]:
        """Yield all hits, ignoring the page."""
        yield from _all_hits([(self.model, self.body())])[0]

    def all(self) -> list[Any]:
        """Return the documents of the page."""
        if self._documents is None:
            if self.size is not None and self.start + self.size <= (
                engine_database.current().settings.max_result_window
            ):
                self.read()
            else:
                self._documents = list(self.stream())
                self.model._prefetch(self._documents)
        assert self._documents is not None
        return list(self._documents)

    def first(self) -> Any:
        """Return the first document, None if there is none."""
        if self._documents is None and (self.size is None or self.size > 1):
            return self.page(0, 1).first()
        documents = self.all()
        return documents[0] if documents else None

    def one(self) -> Any:
        """Return the only document.

        :raises JHTTPNotFound: none matches.
        :raises JHTTPBadRequest: more than one matches.
        """
        documents = self.page(0, 2).all()
        if not documents:
            raise JHTTPNotFound(f"'{self.model.__name__}' resource not found")
        if len(documents) > 1:
            raise JHTTPBadRequest("Bad or Insufficient Params")
        return documents[0]

    def count(self) -> int:
        """Return the number of documents on the page."""
        if self._documents is not None:
            return len(self._documents)
        total = max(0, self.total() - self.start)
        return total if self.size is None else min(self.size, total)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.all())

    def __len__(self) -> int:
        return len(self.all())

    def __bool__(self) -> bool:
        return self.first() is not None

    def __getitem__(self, item: Any) -> Any:
        return self.all()[item]

    def explain(self) -> str:
        """Return the search as JSON."""
        body = self.body()
        if self.size is not None:
            body.update({"from": self.start, "size": self.size})
        return json.dumps(body, sort_keys=True)


def values_of(queries: list[tuple[Query, str]]) -> list[list[Any]]:
    """Return the distinct values of a field in the documents of each query, as indexed."""
    searches = [
        (query.model, {**query.body(), "_source": {"includes": [name]}}) for query, name in queries
    ]
    results = []
    for (_, name), hits in zip(queries, _all_hits(searches)):
        values: dict[Any, None] = {}
        for hit in hits:
            value = hit["_source"].get(name)
            for each in value if isinstance(value, list) else [value]:
                if each is not None:
                    values[each] = None
        results.append(list(values))
    return results


def _all_hits(searches: list[tuple[Any, dict[str, Any]]]) -> list[Iterable[dict[str, Any]]]:
    """Return all hits of each search (a model and a body).

    One request for all searches reads those with few hits, a scan each of the others.
    """
    database = engine_database.current()
    few = min(MAX_UNPAGED, database.settings.max_result_window)
    answers = database.searches(
        [(model, {**body, "size": few, "track_total_hits": True}) for model, body in searches]
    )
    results: list[Iterable[dict[str, Any]]] = []
    for (model, body), answer in zip(searches, answers):
        first = answer["hits"]
        many = first["total"]["value"] > few
        results.append(database.scan(model, body) if many else first["hits"])
    return results


# Conditions


def key_of(model: Any, name: str) -> str:
    """Return the name of the index field by which a field is compared and sorted."""
    field = model.fields()[name]
    if isinstance(field, Relationship):
        link = model.links()[name]
        if link.field != name:
            return key_of(model, link.field)
        related = link.target.fields()[link.target.pk_field()]
        return f"{name}.keyword" if related.kind == "text" else name
    if isinstance(field, ListField):
        return f"{name}.keyword" if field.item_field().kind == "text" else name
    # Decimals without an equal binary number have no exact form, but still an order.
    return name if isinstance(field, DecimalField) else exact_field(field)


def _is_stored(model: Any, name: str) -> bool:
    """Return True if documents of *model* store *name* themselves."""
    field = model.fields()[name]
    return not isinstance(field, Relationship) or model.links()[name].is_owning


def keys_condition(model: Any, pks: list[Any]) -> dict[str, Any]:
    """Return the condition for the documents with these primary keys."""
    return field_condition(model, model.pk_field(), pks)


def field_condition(model: Any, name: str, values: list[Any]) -> dict[str, Any]:
    """Return the condition for one of *values* (as stored) in the field *name*."""
    key = key_of(model, name)
    parts = [
        {"terms": {key: values[first : first + MAX_TERMS]}}
        for first in range(0, len(values), MAX_TERMS)
    ]
    if not parts:
        return MATCH_NONE
    return parts[0] if len(parts) == 1 else {"bool": {"should": parts, "minimum_should_match": 1}}


def condition(model: Any, name: str, operator: str, value: Any) -> dict[str, Any]:
    """Return the condition that field *name* compares to *value* by *operator* ('' is equal)."""
    field = model.fields().get(name)
    if field is None:
        raise JHTTPBadRequest(f"'{model.__name__}' object does not have fields: {name}")
    if operator not in ("", *OPERATORS):
        raise JHTTPBadRequest(f"Bad parameter '{name}__{operator}': no such comparison")
    if field.kind == "opaque":
        raise JHTTPBadRequest(f"{type(field).__name__} database querying is not supported: {name}")
    if not _is_stored(model, name):
        return _inverse_condition(model, name, operator, value)
    if operator == "exists" or value is None:
        present = _exists_condition(model, field)
        must_exist = value if operator == "exists" else operator == "ne"
        exists = str(must_exist).lower() in ("true", "1")
        return present if exists else {"bool": {"must_not": [present]}}
    if operator in ("in", "all"):
        values = list(value) if isinstance(value, (list, tuple, set)) else [value]
        if operator == "in" and None not in values and not isinstance(field, DecimalField):
            return field_condition(model, name, [compared(model, field, each) for each in values])
        parts = [_equals_condition(model, field, each) for each in values if each is not None]
        if operator == "all":
            return {"bool": {"filter": parts}}
        if None in values:
            parts.append(condition(model, name, "", None))
        if not parts:
            return MATCH_NONE
        return {"bool": {"should": parts, "minimum_should_match": 1}}
    if operator == "ne":
        return {"bool": {"must_not": [_equals_condition(model, field, value)]}}
    if operator in ("lt", "lte", "gt", "gte"):
        if field.kind in ("boolean", "list", "relationship"):
            raise JHTTPBadRequest(f"Bad parameter '{name}__{operator}': it has no order")
        return {"range": {key_of(model, name): {operator: compared(model, field, value)}}}
    return _equals_condition(model, field, value)


def _exists_condition(model: Any, field: BaseField) -> dict[str, Any]:
    """Return the condition for documents with a value in *field*."""
    if isinstance(field, Relationship):
        return {"exists": {"field": key_of(model, field.name)}}
    # Long texts are indexed in the field itself, but not as keyword; a date that the index can't
    # parse still has an exact form.
    names = [field.name, *([key_of(model, field.name)] if field.exact_type is not None else [])]
    parts = [{"exists": {"field": name}} for name in names]
    return {"bool": {"should": parts, "minimum_should_match": 1}}


def _equals_condition(model: Any, field: BaseField, value: Any) -> dict[str, Any]:
    if isinstance(field, ListField) and isinstance(value, (list, tuple)):
        return {"bool": {"filter": [_equals_condition(model, field, each) for each in value]}}
    key = key_of(model, field.name)
    term_value = compared(model, field, value)
    if isinstance(term_value, str) and not keyword_fits(term_value):
        # Texts of this length are not indexed as a whole, only by their terms.
        raise JHTTPBadRequest(f"Bad parameter '{field.name}': the text is too long")
    if isinstance(term_value, float) and term_value == 0:
        return {"range": {key: {"gte": -0.0, "lte": 0.0}}}
    term: dict[str, Any] = {"term": {key: term_value}}
    if isinstance(field, DecimalField):
        # The index has the nearest binary number, and marks it where that is not the value.
        near = {"term": {INEXACT: field.name}}
        exact = field.fits(clean_for_query(field, value))
        return {
            "bool": {"filter": [term], "must_not": [near]} if exact else {"filter": [term, near]}
        }
    return term


def compared(model: Any, field: BaseField, value: Any) -> Any:
    """Return *value* as it is indexed."""
    if isinstance(field, Relationship):
        target = model.links()[field.name].target
        value = getattr(value, target.pk_field()) if isinstance(value, target) else value
        field = target.fields()[target.pk_field()]
    item = field.item_field() if isinstance(field, ListField) else field
    try:
        value = clean_for_query(item, value)
    except ValueError as error:
        raise NotFoundByType(str(error)) from None
    if item is not field and not isinstance(value, (str, int, float, bool)):
        return json_default(value)
    if isinstance(item, DecimalField):
        return float(value)
    return value if item.exact_type is None else item.to_exact(value)


def clean_for_query(field: BaseField, value: Any) -> Any:
    """Return *value* in the field's type; the limits of the field apply to writes only."""
    bare = copy.copy(field)
    params = field._init_kwargs.items()
    bare._init_kwargs = {name: param for name, param in params if name not in LIMITS}
    return clean(bare, value)


def _inverse_condition(model: Any, name: str, operator: str, value: Any) -> dict[str, Any]:
    """Return the condition for the documents that the documents *value* refer to."""
    link = model.links()[name]
    if operator not in ("", "in") or value is None:
        raise JHTTPBadRequest(f"Bad parameter '{name}': {model.__name__} can't be filtered so")
    values = value if isinstance(value, (list, tuple, set)) else [value]
    keys: list[Any] = []
    for each in values:
        other = each if isinstance(each, link.target) else link.target.by_pk(each)
        if other is not None:
            keys += other._referenced_keys(link)
    return keys_condition(model, list(dict.fromkeys(keys)))
