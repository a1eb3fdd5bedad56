"""Translates the parameters of a search read, as nefertari documents them, into a search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Optional

from nefertari import RESERVED_PARAMS
from nefertari.utils import process_fields

from nefertari_search_tween.documents.format import INTERNAL, STUBS
from nefertari_search_tween.documents.mirror_document import BaseDocument
from nefertari_search_tween.exceptions import BadQuery
from nefertari_search_tween.search.privacy import Caller
from nefertari_search_tween.search.query import clauses
from nefertari_search_tween.search.query.clauses import (
    ABSENT,
    NAMEABLE,
    SEARCHABLE,
    Query,
    ValueMismatch,
)
from nefertari_search_tween.search.query.fields import FieldScope, SearchField
from nefertari_search_tween.search.query.lucene import ClauseBudget, Weighted, compile_lucene
from nefertari_search_tween.search.query.paging import parse_page
from nefertari_search_tween.search.query.sorting import parse_sort, sort_clauses
from nefertari_search_tween.settings.settings import Settings

# Half of the servers' limit (index.max_terms_count).
KEYS_PER_CLAUSE = 32_768
_RESERVED = frozenset(RESERVED_PARAMS)


@dataclass(frozen=True)
class SearchQuery:
    """A search read, ready to run.

    :param body: the search; it has a size only if there is a limit.
    :param limited: the caller set a limit.
    :param fields: the ``_fields`` parameter as received; '' without one.
    :param searched: names of parameters with search terms.
    :param expressions: names of parameters with a regular expression.
    :param index: the index to search; '' for the mirror's.
    """

    body: dict[str, Any]
    count_only: bool
    limited: bool
    start: int
    fields: Any
    searched: list[str]
    expressions: list[str]
    index: str = ""


def search_query(
    document_cls: type[BaseDocument],
    params: dict[str, Any],
    exact_filters: list[Query],
    caller: Caller,
    settings: Settings,
    application_params: frozenset[str] = frozenset(),
    scope: Optional[FieldScope] = None,
) -> SearchQuery:
    """Return the search that *params* specify.

    :param params: those of the request; texts are Lucene syntax, lists are alternatives.
    :param exact_filters: conditions that must hold as well (those of the view).
    :param application_params: names of parameters that the application added: these may name any
        field. Their texts may still be the caller's input, and are parsed as such.
    :param scope: the fields that may be named; by default those of the model for the caller.
    :raises BadQuery: an invalid parameter; the message names it.
    """
    scope = scope or scope_of(document_cls, caller, settings)
    unrestricted = (
        FieldScope(document_cls, caller.unrestricted)
        if application_params and caller.restricted
        else scope
    )

    def scope_for(name: str) -> FieldScope:
        return unrestricted if name in application_params else scope

    budget = ClauseBudget(settings)
    must: list[Query] = []
    searched: list[str] = []
    for name, value in params.items():
        if name in _RESERVED or name == "q" or name.startswith("__") or _is_all(value):
            continue
        searched.append(name)
        target = _target(name, scope_for(name))
        if (
            name in application_params
            and name == document_cls.pk_field()
            and isinstance(value, (list, tuple))
        ):
            must.append(_keys(target, name, value))
        else:
            must.append(_field_query(target, name, value, scope, budget))
    weighted = _search_fields(params.get("_search_fields"), scope_for("_search_fields"))
    text = params.get("q")
    if text is not None and not _is_all(text):
        searched.insert(0, "q")
        must.append(_q(text, weighted, scope, budget))
    body: dict[str, Any] = {
        "query": {
            "bool": {
                **({"must": must} if must else {}),
                **({"filter": exact_filters} if exact_filters else {}),
                "must_not": [STUBS],
            }
        },
        "sort": sort_clauses(parse_sort(params.get("_sort")), scope_for("_sort")),
        "track_total_hits": True,
    }
    start, limit = parse_page(params, settings.max_result_window)
    if limit is not None:
        body["from"], body["size"] = start, limit
    fields = requested_fields(params)
    body["_source"] = source_of(fields, scope_for("_fields"))
    return SearchQuery(
        body, "_count" in params, limit is not None, start, fields, searched, budget.expressions
    )


def scope_of(document_cls: type[BaseDocument], caller: Caller, settings: Settings) -> FieldScope:
    """Return the fields that *caller* may name."""
    return FieldScope(
        document_cls, caller.unrestricted if settings.hidden_fields == "allow" else caller
    )


def _is_all(value: Any) -> bool:
    return isinstance(value, str) and value == "_all"


def _target(name: str, scope: FieldScope) -> SearchField:
    target = scope.get(name)
    if (target is None or target.kind == ABSENT) and name in scope.document_cls.fields():
        # The name of a relationship means the keys of its documents.
        field = scope.document_cls.fields()[name]
        if field.kind == "relationship":
            related = scope.document_cls.related(name)
            target = scope.get(f"{name}.{related.pk_field()}")
    if target is None:
        raise BadQuery(name, f"{scope.document_cls.__name__} has no field of that name")
    return target


def _keys(target: SearchField, name: str, keys: Sequence[Any]) -> Query:
    """Return a query for the objects with these primary keys, which the application supplies:
    Ramses lists the children of a parent this way. They are not parsed, and there may be more
    than a caller may send."""
    try:
        values = [clauses.value(target, str(key)) for key in keys]
    except ValueMismatch as error:
        raise BadQuery(name, str(error)) from error
    return {
        "bool": {
            "should": [
                {"terms": {target.sort_key: values[start : start + KEYS_PER_CLAUSE]}}
                for start in range(0, len(values), KEYS_PER_CLAUSE)
            ]
            or [clauses.MATCH_NONE],
            "minimum_should_match": 1,
        }
    }


def _field_query(
    target: SearchField, name: str, value: Any, scope: FieldScope, budget: ClauseBudget
) -> Query:
    if isinstance(value, (list, tuple, set)):
        parts = [_one(target, name, each, scope, budget) for each in value]
        if not parts:
            return clauses.MATCH_NONE
        return {"bool": {"should": parts, "minimum_should_match": 1}}
    return _one(target, name, value, scope, budget)


def _one(
    target: SearchField, name: str, value: Any, scope: FieldScope, budget: ClauseBudget
) -> Query:
    if target.kind not in NAMEABLE:
        raise BadQuery(name, "this field can't be searched")
    if isinstance(value, str):
        return compile_lucene(value, name, scope, [(target, 1.0)], True, budget)
    budget.charge(name, value)
    if value is None:
        if target.kind == ABSENT:
            return {"match_all": {}}
        query: Query = {"bool": {"must_not": [clauses.exists(target)]}}
        return query if target.path is None else clauses.nested(target, query)
    text = str(value).lower() if isinstance(value, bool) else str(value)
    try:
        return clauses.nested(target, clauses.term(target, text))
    except ValueMismatch as error:
        scope.reject(BadQuery(name, str(error)), [target], budget.remaining)
        return clauses.MATCH_NONE


def _q(text: Any, fields: list[Weighted], scope: FieldScope, budget: ClauseBudget) -> Query:
    """Return the query for the value of ``q``.

    :param fields: the fields to search; empty for all.
    """
    if not isinstance(text, str):
        parts = [_q(each, fields, scope, budget) for each in text]
        return {"bool": {"should": parts, "minimum_should_match": 1}}
    if not fields:
        fields = [(target, 1.0) for target in scope.default() if target.kind in SEARCHABLE]
    if not fields:
        return clauses.MATCH_NONE
    return compile_lucene(text, "q", scope, fields, False, budget)


def _search_fields(value: Any, scope: FieldScope) -> list[Weighted]:
    """Return the fields that are listed, the first one with the highest weight."""
    if not value:
        return []
    if not isinstance(value, str):
        raise BadQuery("_search_fields", "given more than once")
    names = list(dict.fromkeys(name.strip() for name in value.split(",") if name.strip()))
    weighted: list[Weighted] = []
    for position, name in enumerate(names):
        target = scope.get(name)
        if target is None or target.kind not in NAMEABLE:
            raise BadQuery(
                "_search_fields",
                f"{scope.document_cls.__name__} has no searchable field '{name[:60]}'",
            )
        weighted.append((target, float(len(names) - position)))
    return weighted


def source_of(fields: Any, scope: FieldScope) -> Any:
    """Return the ``_source`` option for ``_fields``: always includes the type, whose privacy rules
    apply to the document.

    :raises BadQuery: an unknown field.
    """
    only, exclude = process_fields(fields)
    for name in (*only, *exclude):
        if not scope.can_show(name):
            raise BadQuery("_fields", f"{scope.document_cls.__name__} has no field '{name[:60]}'")
    return source_option(only, exclude)


def source_option(only: list[str], exclude: list[str]) -> Any:
    """Return the ``_source`` option that selects the fields *only*, or all but *exclude*."""
    if not only and not exclude:
        return True
    if not exclude:
        return {"includes": [*only, "_type"]}
    return {"excludes": [*(name for name in exclude if name != "_type"), *INTERNAL]}


def requested_fields(params: dict[str, Any]) -> Any:
    """Return ``_fields`` as it was received; '' without a value."""
    fields = params.get("_fields") or ""
    return "" if isinstance(fields, str) and not fields.strip(", ") else fields
