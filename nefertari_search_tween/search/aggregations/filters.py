"""Queries inside of aggregations (``filter``, ``filters``): read, checked and written anew.

A subset of the query DSL, in objects as nefertari makes them of a query string
(``filter.term.year=1972``). Nothing of it reaches the backend as it came.
"""

from __future__ import annotations

from typing import Any, Callable

from nefertari_search_tween.search.aggregations.context import FORBIDDEN, OptionPath, listed
from nefertari_search_tween.search.aggregations.options import path
from nefertari_search_tween.search.query import clauses
from nefertari_search_tween.search.query.clauses import SEARCHABLE, Query, ValueMismatch
from nefertari_search_tween.search.query.fields import SearchField
from nefertari_search_tween.search.query.lucene import compile_lucene

MAX_DEPTH = 10
_BOUNDS = frozenset({"gt", "gte", "lt", "lte", "from", "to"})


def query(place: OptionPath, value: Any, depth: int = 0) -> Query:
    """The query that *value* says.

    Conditions on nested documents are written as conditions on the document that holds them
    all; :func:`relative` turns them.

    :raises BadQuery: it can't be read, or names what there is not.
    """
    if depth > MAX_DEPTH:
        raise place.bad(f"queries nested deeper than {MAX_DEPTH}")
    if not isinstance(value, dict) or len(value) != 1:
        raise place.bad(f"one query is expected: {', '.join(_QUERIES)}")
    ((name, body),) = value.items()
    read = _QUERIES.get(name)
    if read is None:
        raise place.at(name).bad(f"there is no such query; known are {', '.join(_QUERIES)}")
    return read(place.at(name), body, depth)


def relative(found: Query, path: Any) -> Query:
    """*found*, as a query on the nested documents *path* (None: on the document itself)."""
    if path is None:
        return found
    if "nested" in found and found["nested"]["path"] == path:
        return relative(found["nested"]["query"], path)
    return {name: _relative(body, path) for name, body in found.items()}


def _relative(body: Any, path: Any) -> Any:
    if isinstance(body, list):
        return [_relative(each, path) for each in body]
    if isinstance(body, dict):
        return relative(body, path)
    return body


# Values


def _one_field(place: OptionPath, body: Any, options: frozenset[str]) -> tuple[SearchField, Any]:
    """The field that an object names, and what it says of it.

    The dots of a nested field's name may have become objects (``term.director.name=x``).
    """
    name, rest = "", body
    while True:
        if not isinstance(rest, dict) or len(rest) != 1:
            raise place.bad("one field and a value are expected")
        ((part, rest),) = rest.items()
        name = f"{name}.{part}" if name else str(part)
        deeper = isinstance(rest, dict) and len(rest) == 1 and not options & set(rest)
        if deeper and place.inquiry.names.get(name) is None:
            continue
        return place.at(name).target(name), rest


def _value(target: SearchField, place: OptionPath, value: Any) -> Query:
    """The documents whose *target* is *value*."""
    if isinstance(value, (dict, list)) or value is None:
        raise place.bad("one value is expected")
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if target.kind == FORBIDDEN:
        return clauses.MATCH_NONE
    place.inquiry.words.charge(place.where, text)
    try:
        if target.kind == "text":
            # The whole value; `match` is for words.
            return {"term": {target.sort_key: {"value": text}}}
        return clauses.term(target, text)
    except ValueMismatch as error:
        raise place.bad(str(error)) from error


def _term(place: OptionPath, body: Any, depth: int) -> Query:
    target, value = _one_field(place, body, frozenset({"value"}))
    if isinstance(value, dict):
        value = value.get("value") if set(value) == {"value"} else value
    return clauses.nested(target, _value(target, place.at(target.name), value))


def _terms(place: OptionPath, body: Any, depth: int) -> Query:
    target, values = _one_field(place, body, frozenset("0"))
    inside = place.at(target.name)
    parts = [_value(target, inside, each) for each in listed(values)]
    return clauses.nested(target, {"bool": {"should": parts, "minimum_should_match": 1}})


def _range(place: OptionPath, body: Any, depth: int) -> Query:
    target, bounds = _one_field(place, body, _BOUNDS)
    inside = place.at(target.name)
    if not isinstance(bounds, dict) or not bounds:
        raise inside.bad("bounds are expected: gt, gte, lt, lte")
    parts = []
    for name, value in bounds.items():
        if name not in _BOUNDS:
            raise inside.at(name).bad("there is no such bound; known are gt, gte, lt, lte")
        if isinstance(value, (dict, list)) or value is None:
            raise inside.at(name).bad("one value is expected")
        if target.kind == FORBIDDEN:
            continue
        place.inquiry.words.charge(inside.where, value)
        text, low = str(value), name in ("gt", "gte", "from")
        try:
            parts.append(
                clauses.range_query(target, text, None, name != "gt", True)
                if low
                else clauses.range_query(target, None, text, True, name != "lt")
            )
        except ValueMismatch as error:
            raise inside.at(name).bad(str(error)) from error
    return clauses.nested(target, {"bool": {"filter": parts}})


def _match(place: OptionPath, body: Any, depth: int) -> Query:
    return _words(place, body, phrase=False)


def _match_phrase(place: OptionPath, body: Any, depth: int) -> Query:
    return _words(place, body, phrase=True)


def _words(place: OptionPath, body: Any, phrase: bool) -> Query:
    target, value = _one_field(place, body, frozenset({"query"}))
    inside = place.at(target.name)
    operator = "or"
    if isinstance(value, dict):
        known = {"query"} if phrase else {"query", "operator"}
        if "query" not in value or set(value) - known:
            raise inside.bad(f"options are expected: {', '.join(sorted(known))}")
        operator = str(value.get("operator", "or")).lower()
        value = value["query"]
    if operator not in ("and", "or"):
        raise inside.at("operator").bad("it is and, or or")
    if isinstance(value, (dict, list)) or value in (None, ""):
        raise inside.bad("one text is expected")
    if target.kind != "text":
        return clauses.nested(target, _value(target, inside, value))
    place.inquiry.words.charge(inside.where, value)
    found = (
        clauses.phrase(target, str(value))
        if phrase
        else {"match": {target.name: {"query": str(value), "operator": operator}}}
    )
    return clauses.nested(target, found)


def _exists(place: OptionPath, body: Any, depth: int) -> Query:
    if not isinstance(body, dict) or set(body) != {"field"}:
        raise place.bad("options are expected: field")
    target = place.at("field").target(body["field"])
    return present(target)


def present(target: SearchField) -> Query:
    """The documents that have a value in *target*, of whatever kind."""
    if target.kind == FORBIDDEN:
        # The request is refused when all of its fields are known.
        return clauses.MATCH_NONE
    found: Query = {"exists": {"field": target.name}}
    if target.kind == "text":
        # A text without words is a value, one that is too long for a keyword, too.
        whole = {"exists": {"field": target.sort_key}}
        found = {"bool": {"should": [found, whole], "minimum_should_match": 1}}
    return clauses.nested(target, found)


def _query_string(place: OptionPath, body: Any, depth: int) -> Query:
    """Lucene syntax, as in ``q``."""
    known = {"query", "default_field", "fields"}
    if not isinstance(body, dict) or "query" not in body or set(body) - known:
        raise place.bad("options are expected: query, default_field or fields")
    text = body["query"]
    if not isinstance(text, str):
        raise place.at("query").bad("one text is expected")
    named = "fields" if "fields" in body else "default_field"
    given: list[Any] = []
    for each in listed(body.get(named, [])) if named in body else []:
        given += each.split(",") if isinstance(each, str) else [each]
    fields = [(place.at(named).target(each), 1.0) for each in given]
    if place.inquiry.refused:
        return clauses.MATCH_NONE
    if not fields:
        default = getattr(place.inquiry.names, "default", list)
        fields = [(target, 1.0) for target in default() if _own(target)]
        place.targets += [target for target, _ in fields]
    names: Any = _Recorder(place)
    return compile_lucene(text, place.at("query").where, names, fields, False, place.inquiry.words)


def _own(target: SearchField) -> bool:
    """True for a searchable field of the documents that are aggregated, or nested in them."""
    return target.kind in SEARCHABLE and not target.joins


class _Recorder:
    """The names of a request, such that it is known which of them a text used."""

    def __init__(self, place: OptionPath) -> None:
        self._place = place
        self._names: Any = place.inquiry.names

    def get(self, name: str) -> Any:
        target = self._names.get(name)
        if target is not None:
            self._place.targets.append(target)
        return target

    def __getattr__(self, name: str) -> Any:
        return getattr(self._names, name)


# Queries of queries


def _match_all(place: OptionPath, body: Any, depth: int) -> Query:
    if body not in ("", None, {}):
        raise place.bad("there are no options")
    return {"match_all": {}}


def _bool(place: OptionPath, body: Any, depth: int) -> Query:
    if not isinstance(body, dict) or not body:
        raise place.bad("options are expected: must, filter, should, must_not")
    found: Query = {}
    for name, value in body.items():
        inside = place.at(name)
        if name == "minimum_should_match":
            if not str(value).isdigit():
                raise inside.bad("a whole number is expected")
            found[name] = int(value)
        elif name in ("must", "filter", "should", "must_not"):
            place.inquiry.words.charge(inside.where, "")
            found[name] = [query(inside, each, depth + 1) for each in _queries(value)]
        else:
            raise inside.bad("known are must, filter, should, must_not, minimum_should_match")
    return {"bool": found}


def _queries(value: Any) -> list[Any]:
    """A list of queries; several of a query string are told apart by numbers or by their names
    (``must.term.year=1972&must.exists.field=rating``)."""
    found = []
    for each in listed(value):
        if isinstance(each, dict) and len(each) > 1:
            found += [{name: body} for name, body in each.items()]
        else:
            found.append(each)
    return found


def _nested(place: OptionPath, body: Any, depth: int) -> Query:
    """Conditions that one and the same nested document has to meet."""
    if not isinstance(body, dict) or set(body) != {"path", "query"}:
        raise place.bad("options are expected: path, query")
    where = path(place.at("path"), body["path"])
    inside = OptionPath(place.inquiry, place.at("query").where)
    found = query(inside, body["query"], depth + 1)
    for target in inside.targets:
        if target.kind != FORBIDDEN and not f"{target.path or ''}.".startswith(f"{where}."):
            raise inside.bad(f"'{target.name}' is no field of '{where}'")
    place.targets += inside.targets
    return {"nested": {"path": where, "query": relative(found, where), "score_mode": "none"}}


_QUERIES: dict[str, Callable[[OptionPath, Any, int], Query]] = {
    "term": _term,
    "terms": _terms,
    "range": _range,
    "exists": _exists,
    "match": _match,
    "match_phrase": _match_phrase,
    "query_string": _query_string,
    "match_all": _match_all,
    "bool": _bool,
    "nested": _nested,
}
