"""Queries inside of aggregations (``filter``, ``filters``): parsed, checked and rewritten.

They are a subset of the query DSL, in objects as nefertari makes them of a query string
(``filter.term.year=1972``). Nothing of the input reaches the backend unchecked.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Callable, Optional

from nefertari_search_tween.documents.format import composed
from nefertari_search_tween.search.aggregations.context import (
    FORBIDDEN,
    OptionPath,
    as_list,
    split_list,
)
from nefertari_search_tween.search.aggregations.options import path
from nefertari_search_tween.search.query import clauses
from nefertari_search_tween.search.query.clauses import SEARCHABLE, Query, ValueMismatch
from nefertari_search_tween.search.query.fields import SearchField
from nefertari_search_tween.search.query.lucene import compile_lucene

MAX_DEPTH = 10
_BOUNDS = frozenset({"gt", "gte", "lt", "lte", "from", "to"})


def query(param: OptionPath, value: Any, depth: int = 0) -> Query:
    """Translate the query *value*.

    Conditions on nested documents are written as conditions on the document that embeds them;
    :func:`relative` turns them.

    :raises BadQuery: it can't be understood, or names what does not exist.
    """
    if depth > MAX_DEPTH:
        raise param.error(f"queries nested deeper than {MAX_DEPTH}")
    if not isinstance(value, dict) or len(value) != 1:
        raise param.error(f"one query is expected: {', '.join(_QUERIES)}")
    ((name, body),) = value.items()
    read = _QUERIES.get(name)
    if read is None:
        raise param.at(name).error(f"there is no such query; known are {', '.join(_QUERIES)}")
    return read(param.at(name), body, depth)


def named_queries(param: OptionPath, value: Any) -> Any:
    """Translate queries by name, or a list of them."""
    if not isinstance(value, (dict, list)) or not value:
        raise param.error("queries are expected, each with a name")
    if isinstance(value, list) or all(name.isdigit() for name in value):
        return [query(param.at(at), each) for at, each in enumerate(as_list(value))]
    return {name: query(param.at(name), each) for name, each in value.items()}


def relative(condition: Query, path: Any) -> Query:
    """Return *condition* as a query on the nested documents *path* (None: the document)."""
    if path is None:
        return condition
    if "nested" in condition and condition["nested"]["path"] == path:
        return relative(condition["nested"]["query"], path)
    return {name: _relative(body, path) for name, body in condition.items()}


def _relative(body: Any, path: Any) -> Any:
    if isinstance(body, list):
        return [_relative(each, path) for each in body]
    if isinstance(body, dict):
        return relative(body, path)
    return body


# Values


def _one_field(param: OptionPath, body: Any, options: frozenset[str]) -> tuple[SearchField, Any]:
    """Return the field that an object names, and its value.

    The dots of a nested field's name may have become objects (``term.director.name=x``).
    """
    name, rest = "", body
    while True:
        if not isinstance(rest, dict) or len(rest) != 1:
            raise param.error("one field and a value are expected")
        ((part, rest),) = rest.items()
        name = f"{name}.{part}" if name else str(part)
        deeper = isinstance(rest, dict) and len(rest) == 1 and not options & set(rest)
        if deeper and param.context.fields.get(name) is None:
            continue
        return param.at(name).resolve_field(name), rest


def _value(target: SearchField, param: OptionPath, value: Any) -> Query:
    """Return the query for the documents whose *target* is *value*."""
    if isinstance(value, (dict, list)) or value is None:
        raise param.error("one value is expected")
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if target.kind == FORBIDDEN:
        return clauses.MATCH_NONE
    param.context.budget.charge(param.where, text)
    try:
        if target.kind == "text":
            # The whole value; `match` is for terms.
            return {"term": {target.sort_key: {"value": text}}}
        return clauses.term(target, text)
    except ValueMismatch as error:
        raise param.error(str(error)) from error


def _term(param: OptionPath, body: Any, depth: int) -> Query:
    target, value = _one_field(param, body, frozenset({"value"}))
    if isinstance(value, dict):
        value = value.get("value") if set(value) == {"value"} else value
    return clauses.nested(target, _value(target, param.at(target.name), value))


def _terms(param: OptionPath, body: Any, depth: int) -> Query:
    target, values = _one_field(param, body, frozenset("0"))
    inside = param.at(target.name)
    parts = [_value(target, inside, each) for each in as_list(values)]
    return clauses.nested(target, clauses.any_of(parts))


def _range(param: OptionPath, body: Any, depth: int) -> Query:
    target, bounds = _one_field(param, body, _BOUNDS)
    inside = param.at(target.name)
    if not isinstance(bounds, dict) or not bounds:
        raise inside.error("bounds are expected: gt, gte, lt, lte")
    parts = []
    for name, value in bounds.items():
        if name not in _BOUNDS:
            raise inside.at(name).error("there is no such bound; known are gt, gte, lt, lte")
        if isinstance(value, (dict, list)) or value is None:
            raise inside.at(name).error("one value is expected")
        if target.kind == FORBIDDEN:
            continue
        param.context.budget.charge(inside.where, value)
        text, low = str(value), name in ("gt", "gte", "from")
        try:
            parts.append(
                clauses.range_query(target, text, None, name != "gt", True)
                if low
                else clauses.range_query(target, None, text, True, name != "lt")
            )
        except ValueMismatch as error:
            raise inside.at(name).error(str(error)) from error
    return clauses.nested(target, {"bool": {"filter": parts}})


def _match(param: OptionPath, body: Any, depth: int, phrase: bool = False) -> Query:
    target, value = _one_field(param, body, frozenset({"query"}))
    inside = param.at(target.name)
    operator = "or"
    if isinstance(value, dict):
        options = {"query"} if phrase else {"query", "operator"}
        if "query" not in value or set(value) - options:
            raise inside.error(f"options are expected: {', '.join(sorted(options))}")
        operator = str(value.get("operator", "or")).lower()
        value = value["query"]
    if operator not in ("and", "or"):
        raise inside.at("operator").error("it is and, or or")
    if isinstance(value, (dict, list)) or value in (None, ""):
        raise inside.error("one text is expected")
    if target.kind != "text":
        return clauses.nested(target, _value(target, inside, value))
    param.context.budget.charge(inside.where, value)
    if phrase:
        return clauses.nested(target, clauses.phrase(target, str(value)))
    text = composed(str(value))
    match = {"query": text, "operator": operator}
    names = clauses.forms(target, text)
    return clauses.nested(target, clauses.best_of([{"match": {name: match}} for name in names]))


def _exists(param: OptionPath, body: Any, depth: int) -> Query:
    if not isinstance(body, dict) or set(body) != {"field"}:
        raise param.error("options are expected: field")
    target = param.at("field").resolve_field(body["field"])
    return present(target)


def present(target: SearchField) -> Query:
    """Return the query for the documents that have any value in *target*."""
    if target.kind == FORBIDDEN:
        # The request is rejected once all of its fields are known.
        return clauses.MATCH_NONE
    condition: Query = {"exists": {"field": target.name}}
    if target.kind == "text":
        # A text without terms is a value, and so is one that is too long for a keyword.
        condition = clauses.any_of([condition, {"exists": {"field": target.sort_key}}])
    return clauses.nested(target, condition)


def _query_string(param: OptionPath, body: Any, depth: int) -> Query:
    """Translate Lucene syntax, as in ``q``."""
    options = {"query", "default_field", "fields"}
    if not isinstance(body, dict) or "query" not in body or set(body) - options:
        raise param.error("options are expected: query, default_field or fields")
    text = body["query"]
    if not isinstance(text, str):
        raise param.at("query").error("one text is expected")
    option = "fields" if "fields" in body else "default_field"
    names = split_list(body.get(option, []))
    fields = [(param.at(option).resolve_field(each), 1.0) for each in names]
    if param.context.forbidden:
        return clauses.MATCH_NONE
    if not fields:
        # Searchable fields of the aggregated documents, or nested in them.
        default = param.context.fields.default()
        own = [each for each in default if each.kind in SEARCHABLE and not each.joins]
        fields = [(target, 1.0) for target in own]
        param.targets += own
    recorder: Any = _Recorder(param)
    return compile_lucene(
        text, param.at("query").where, recorder, fields, False, param.context.budget
    )


class _Recorder:
    """The fields of a request; it records which of them a text uses."""

    def __init__(self, param: OptionPath) -> None:
        self._param = param
        self._fields = param.context.fields

    def get(self, name: str) -> Optional[SearchField]:
        target = self._fields.get(name)
        if target is not None:
            self._param.targets.append(target)
        return target

    def __getattr__(self, name: str) -> Any:
        return getattr(self._fields, name)


# Queries of queries


def _match_all(param: OptionPath, body: Any, depth: int) -> Query:
    if body not in ("", None, {}):
        raise param.error("there are no options")
    return {"match_all": {}}


def _bool(param: OptionPath, body: Any, depth: int) -> Query:
    if not isinstance(body, dict) or not body:
        raise param.error("options are expected: must, filter, should, must_not")
    result: Query = {}
    for name, value in body.items():
        inside = param.at(name)
        if name == "minimum_should_match":
            if not str(value).isdigit():
                raise inside.error("a whole number is expected")
            result[name] = int(value)
        elif name in ("must", "filter", "should", "must_not"):
            param.context.budget.charge(inside.where, "")
            result[name] = [query(inside, each, depth + 1) for each in _queries(value)]
        else:
            raise inside.error("known are must, filter, should, must_not, minimum_should_match")
    return {"bool": result}


def _queries(value: Any) -> list[Any]:
    """Return a list of queries; those of a query string are distinguished by numbers or by their
    names (``must.term.year=1972&must.exists.field=rating``)."""
    queries = []
    for each in as_list(value):
        if isinstance(each, dict) and len(each) > 1:
            queries += [{name: body} for name, body in each.items()]
        else:
            queries.append(each)
    return queries


def _nested(param: OptionPath, body: Any, depth: int) -> Query:
    """Translate conditions that one and the same nested document must meet."""
    if not isinstance(body, dict) or set(body) != {"path", "query"}:
        raise param.error("options are expected: path, query")
    where = path(param.at("path"), body["path"])
    inside = OptionPath(param.context, param.at("query").where)
    condition = query(inside, body["query"], depth + 1)
    for target in inside.targets:
        if target.kind != FORBIDDEN and not f"{target.path or ''}.".startswith(f"{where}."):
            raise inside.error(f"'{target.name}' is no field of '{where}'")
    param.targets += inside.targets
    return {"nested": {"path": where, "query": relative(condition, where), "score_mode": "none"}}


_QUERIES: dict[str, Callable[[OptionPath, Any, int], Query]] = {
    "term": _term,
    "terms": _terms,
    "range": _range,
    "exists": _exists,
    "match": _match,
    "match_phrase": partial(_match, phrase=True),
    "query_string": _query_string,
    "match_all": _match_all,
    "bool": _bool,
    "nested": _nested,
}
