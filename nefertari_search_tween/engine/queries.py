"""Reading collections: parameters of ``get_collection`` -> a query, and the query's results."""

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
OPERATORS = ("in", "all", "ne", "lt", "lte", "gt", "gte", "exists", "bool")
# A request has so many keys at most; servers take 65,536 of them in one query.
TERMS = 10_000
# So many documents are read at once, without a point in time on the server.
FEW = 1000


class NotFoundByType(ValueError):
    """A value that no document can have in a field: of another type."""


class Rows(list):
    """What ``get_collection`` with ``_fields`` gives: dicts."""

    _nefertari_meta: dict[str, Any]


class Query:
    """The documents of a model that fit; read when they are asked for, and then kept.

    Every method that narrows or orders gives another query.

    :param model: whose documents.
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
        made = copy.copy(self)
        made.filters, made.sorts = list(self.filters), list(self.sorts)
        made._documents = None
        made.__dict__.pop("_nefertari_meta", None)
        return made

    def filter_by(self, **params: Any) -> Query:
        """Those whose fields have these values; ``field__in`` and the like see docs/engine.rst.

        :raises JHTTPBadRequest: a field that can't be compared.
        :raises NotFoundByType: a value that no document can have there.
        """
        made = self.unpaged()
        for name, value in params.items():
            field_name, _, operator = name.partition("__")
            made.filters.append(condition(self.model, field_name, operator, value))
        return made

    def order_by(self, *names: str) -> Query:
        """In the order of these fields, ``-name`` for descending; missing values are least."""
        made = self._copy()
        for name in names:
            bare = name.lstrip("+-")
            field = self.model.fields().get(bare)
            if field is None or field.kind in ("opaque", "list") or not _has_key(self.model, bare):
                raise JHTTPBadRequest(
                    f"Bad _sort param: {self.model.__name__} can't be sorted by '{bare}'"
                )
            made.sorts.append((bare, name.startswith("-")))
        return made

    def page(self, start: int, size: int) -> Query:
        """*size* documents of this query's from number *start* (0 is the first)."""
        made = self._copy()
        made.start = self.start + start
        made.size = size if self.size is None else max(0, min(size, self.size - start))
        return made

    def unpaged(self) -> Query:
        """This query; one that has a page already as one of exactly the documents on it."""
        if self.size is None and not self.start:
            return self._copy()
        made = Query(self.model)
        made.sorts = list(self.sorts)
        made.filters = [keys_condition(self.model, [each.pk_value() for each in self])]
        return made

    # Running

    def body(self) -> dict[str, Any]:
        """The search, without its page."""
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
        """How many documents there are, pages left aside."""
        body = {"query": self.body()["query"], "size": 0, "track_total_hits": True}
        return int(engine_database.current().search(self.model, body)["hits"]["total"]["value"])

    def read(self) -> int:
        """Read the page, and give the total of all pages, as of the same moment."""
        database = engine_database.current()
        window = database.settings.max_result_window
        if self.size is None or self.start + self.size > window:
            return self.total()
        page = {"from": self.start, "size": self.size, "track_total_hits": True}
        answer = database.search(self.model, {**self.body(), **page})
        self._documents = [self.model._of_hit(hit) for hit in answer["hits"]["hits"]]
        self.model._prefetch(self._documents)
        return int(answer["hits"]["total"]["value"])

    def stream(self) -> Iterator[Any]:
        """The documents one after the other, without keeping them: however many there are."""
        end = None if self.size is None else self.start + self.size
        if end is not None and end <= self.start:
            return
        for place, hit in enumerate(self._hits()):
            if end is not None and place >= end:
                return
            if place >= self.start:
                yield self.model._of_hit(hit)

    def _hits(self) -> Iterator[dict[str, Any]]:
        """All hits, pages left aside."""
        yield from _all_hits([(self.model, self.body())])[0]

    def all(self) -> list[Any]:
        """The documents of the page."""
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
        """The first document, None without one."""
        if self._documents is None and (self.size is None or self.size > 1):
            return self.page(0, 1).first()
        found = self.all()
        return found[0] if found else None

    def one(self) -> Any:
        """The only document.

        :raises JHTTPNotFound: there is none.
        :raises JHTTPBadRequest: there are more.
        """
        found = self.page(0, 2).all()
        if not found:
            raise JHTTPNotFound(f"'{self.model.__name__}' resource not found")
        if len(found) > 1:
            raise JHTTPBadRequest("Bad or Insufficient Params")
        return found[0]

    def count(self) -> int:
        """How many documents are on the page."""
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
        """The search as JSON."""
        body = self.body()
        if self.size is not None:
            body.update({"from": self.start, "size": self.size})
        return json.dumps(body, sort_keys=True)


def values_of(asked: list[tuple[Query, str]]) -> list[list[Any]]:
    """What the documents of each query have in a field, as the index holds it, each value once."""
    searches = [
        (query.model, {**query.body(), "_source": {"includes": [name]}}) for query, name in asked
    ]
    found = []
    for (_, name), hits in zip(asked, _all_hits(searches)):
        values: dict[Any, None] = {}
        for hit in hits:
            value = hit["_source"].get(name)
            for each in value if isinstance(value, list) else [value]:
                if each is not None:
                    values[each] = None
        found.append(list(values))
    return found


def _all_hits(searches: list[tuple[Any, dict[str, Any]]]) -> list[Iterable[dict[str, Any]]]:
    """All hits of each search (a model and a body): where they are few, of one request for all
    searches; else of a scan."""
    database = engine_database.current()
    few = min(FEW, database.settings.max_result_window)
    answers = database.searches(
        [(model, {**body, "size": few, "track_total_hits": True}) for model, body in searches]
    )
    found: list[Iterable[dict[str, Any]]] = []
    for (model, body), answer in zip(searches, answers):
        first = answer["hits"]
        many = first["total"]["value"] > few
        found.append(database.scan(model, body) if many else first["hits"])
    return found


# Conditions


def key_of(model: Any, name: str) -> str:
    """Name of the index field that a field is compared and sorted by."""
    field = model.fields()[name]
    if isinstance(field, Relationship):
        link = model.links()[name]
        if link.field != name:
            return key_of(model, link.field)
        related = link.target.fields()[link.target.pk_field()]
        return f"{name}.keyword" if related.kind == "text" else name
    if isinstance(field, ListField):
        return f"{name}.keyword" if field.item_field().kind == "text" else name
    # Decimals that no binary number is exactly have no exact form, and an order all the same.
    return name if isinstance(field, DecimalField) else exact_field(field)


def _has_key(model: Any, name: str) -> bool:
    """True when documents of *model* themselves hold *name*."""
    field = model.fields()[name]
    return not isinstance(field, Relationship) or model.links()[name].held


def keys_condition(model: Any, pks: list[Any]) -> dict[str, Any]:
    """The documents with these primary keys."""
    return field_condition(model, model.pk_field(), pks)


def field_condition(model: Any, name: str, values: list[Any]) -> dict[str, Any]:
    """The documents with one of *values* (as documents hold them) in the field *name*."""
    key = key_of(model, name)
    parts = [
        {"terms": {key: values[first : first + TERMS]}} for first in range(0, len(values), TERMS)
    ]
    if not parts:
        return MATCH_NONE
    return parts[0] if len(parts) == 1 else {"bool": {"should": parts, "minimum_should_match": 1}}


def condition(model: Any, name: str, operator: str, value: Any) -> dict[str, Any]:
    """The documents whose field *name* compares with *value* as *operator* says ('' equals)."""
    field = model.fields().get(name)
    if field is None:
        raise JHTTPBadRequest(f"'{model.__name__}' object does not have fields: {name}")
    if operator not in ("", *OPERATORS):
        raise JHTTPBadRequest(f"Bad parameter '{name}__{operator}': no such comparison")
    if field.kind == "opaque":
        raise JHTTPBadRequest(f"{type(field).__name__} database querying is not supported: {name}")
    if not _has_key(model, name):
        return _by_other_side(model, name, operator, value)
    if operator == "exists" or value is None:
        present = _present(model, field)
        wanted = value if operator == "exists" else operator == "ne"
        wanted = wanted if isinstance(wanted, bool) else str(wanted).lower() in ("true", "1")
        return present if wanted else {"bool": {"must_not": [present]}}
    if operator in ("in", "all"):
        values = list(value) if isinstance(value, (list, tuple, set)) else [value]
        if operator == "in" and None not in values and not isinstance(field, DecimalField):
            return field_condition(model, name, [compared(model, field, each) for each in values])
        parts = [_equals(model, field, each) for each in values if each is not None]
        if operator == "all":
            return {"bool": {"filter": parts}}
        if None in values:
            parts.append(condition(model, name, "", None))
        if not parts:
            return MATCH_NONE
        return {"bool": {"should": parts, "minimum_should_match": 1}}
    if operator == "ne":
        return {"bool": {"must_not": [_equals(model, field, value)]}}
    if operator in ("lt", "lte", "gt", "gte"):
        if field.kind in ("boolean", "list", "relationship"):
            raise JHTTPBadRequest(f"Bad parameter '{name}__{operator}': it has no order")
        return {"range": {key_of(model, name): {operator: compared(model, field, value)}}}
    return _equals(model, field, value)


def _present(model: Any, field: BaseField) -> dict[str, Any]:
    """The documents that have a value in *field*."""
    if isinstance(field, Relationship):
        return {"exists": {"field": key_of(model, field.name)}}
    # Texts leave a trace in the field itself, none in its keywords when long; what the index
    # can't read as a date has an exact form all the same.
    names = [field.name, *([key_of(model, field.name)] if field.exact_type is not None else [])]
    parts = [{"exists": {"field": name}} for name in names]
    return {"bool": {"should": parts, "minimum_should_match": 1}}


def _equals(model: Any, field: BaseField, value: Any) -> dict[str, Any]:
    if isinstance(field, ListField) and isinstance(value, (list, tuple)):
        return {"bool": {"filter": [_equals(model, field, each) for each in value]}}
    key = key_of(model, field.name)
    wanted = compared(model, field, value)
    if isinstance(wanted, str) and not keyword_fits(wanted):
        # Whole texts of this length are not in the index; their first words are compared.
        raise JHTTPBadRequest(f"Bad parameter '{field.name}': too long a text to look for")
    if isinstance(wanted, float) and wanted == 0:
        return {"range": {key: {"gte": -0.0, "lte": 0.0}}}
    term: dict[str, Any] = {"term": {key: wanted}}
    if isinstance(field, DecimalField):
        # The index has the nearest binary number, and says where it is not the value itself.
        near = {"term": {INEXACT: field.name}}
        exact = field.fits(clean_for_query(field, value))
        return {
            "bool": {"filter": [term], "must_not": [near]} if exact else {"filter": [term, near]}
        }
    return term


def compared(model: Any, field: BaseField, value: Any) -> Any:
    """*value* as the index holds it."""
    if isinstance(field, Relationship):
        target = model.links()[field.name].target
        value = getattr(value, target.pk_field()) if isinstance(value, target) else value
        field = target.fields()[target.pk_field()]
    kept = field.item_field() if isinstance(field, ListField) else field
    try:
        value = clean_for_query(kept, value)
    except ValueError as error:
        raise NotFoundByType(str(error)) from None
    if kept is not field and not isinstance(value, (str, int, float, bool)):
        return json_default(value)
    if isinstance(kept, DecimalField):
        return float(value)
    return value if kept.exact_type is None else kept.to_exact(value)


def clean_for_query(field: BaseField, value: Any) -> Any:
    """*value* in the field's type; its limits are those of writes, and don't matter here."""
    bare = copy.copy(field)
    bare._init_kwargs = _without_limits(field._init_kwargs)
    return clean(bare, value)


def _without_limits(params: dict[str, Any]) -> dict[str, Any]:
    limits = ("min_length", "max_length", "min_value", "max_value", "precision", "scale")
    return {name: value for name, value in params.items() if name not in limits}


def _by_other_side(model: Any, name: str, operator: str, value: Any) -> dict[str, Any]:
    """The documents that the documents *value* refer to."""
    link = model.links()[name]
    if operator not in ("", "in") or value is None:
        raise JHTTPBadRequest(f"Bad parameter '{name}': {model.__name__} can't be filtered so")
    values = value if isinstance(value, (list, tuple, set)) else [value]
    keys: list[Any] = []
    for each in values:
        other = each if isinstance(each, link.target) else link.target.by_pk(each)
        if other is not None:
            held = other._held_keys(link)
            keys += held
    return keys_condition(model, list(dict.fromkeys(keys)))
