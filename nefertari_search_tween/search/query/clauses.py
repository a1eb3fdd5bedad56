"""Makes and checks the query for a term, phrase, range or pattern on one field."""

from __future__ import annotations

import datetime
import re
import time
from typing import Any, Callable, Optional

from nefertari_search_tween.backends import date_math
from nefertari_search_tween.documents.fields import EPOCH, INT64_MAX
from nefertari_search_tween.documents.format import composed, folded, folded_field
from nefertari_search_tween.search.query.fields import SearchField

Query = dict[str, Any]

MATCH_NONE: Query = {"match_none": {}}
# What a text matches whose terms the analyzer all removes: nothing, or everything.
EMPTY = "zero_terms_query"
SEARCHABLE = frozenset({"text", "keyword", "integer", "float", "boolean", "date", "time"})
#: kind of a field that this model lacks, but another model of the same request has
ABSENT = "absent"
#: words that the last one of a phrase may be, on a server: the first ones in their order
MAX_EXPANSIONS = 1000
NAMEABLE = SEARCHABLE | {ABSENT}
#: kinds of queries for patterns of terms, as messages name them
PATTERNS = {"wildcard": "* and ?", "regexp": "regular expressions"}

_DATE = re.compile(
    r"(?P<year>\d{4})(?:-(?P<month>\d{2})(?:-(?P<day>\d{2})"
    r"(?:[T ](?P<hour>\d{2})(?::(?P<minute>\d{2})(?::(?P<second>\d{2})(?:\.\d+)?)?)?"
    r"(?:(?P<sign>[+-])(?P<hours>[01]\d)(?::?(?P<minutes>[0-5]\d))?)?)?)?)?(?(sign)|Z?)\Z",
    re.ASCII,
)
_TIME = re.compile(r"\d{2}:\d{2}(?::\d{2})?\Z", re.ASCII)
#: parts of a date, from the longest, and the unit that one ends after
_PRECISION = {"year": "y", "month": "M", "day": "d", "hour": "h", "minute": "m", "second": "s"}
_MINUTE_MS = 60_000


#: key of a condition on related documents in another index, resolved by engine/search/joins.py
JOINED = "_joined"


class ValueMismatch(Exception):
    """A value that can't be compared with the field's type; the message says why."""


def any_of(queries: list[Query]) -> Query:
    """Return a query for documents that match at least one of *queries*."""
    return {"bool": {"should": queries, "minimum_should_match": 1}}


def best_of(queries: list[Query]) -> Query:
    """Return a query for documents that match at least one of *queries*, scored by the best."""
    return queries[0] if len(queries) == 1 else {"dis_max": {"queries": queries}}


def forms(target: SearchField, text: str) -> list[str]:
    """Return the index fields in which to search for the terms of *text*, in composed form.

    The standard analyzer leaves the accents with their letters: what is ASCII is the same term in
    both. Other analyzers may drop accents.
    """
    return [target.index_field] if text.isascii() and not target.analyzed else target.forms


def term(target: SearchField, text: str, boost: float = 1.0) -> Query:
    """Return a query for documents whose *target* contains the term *text* (or equals it)."""
    if target.kind == "text":
        # One written word may be several terms ("spider-man"): all of them, as a phrase.
        return phrase(target, text, 0, boost)
    if target.kind == "date":
        start, end = date_span(text)
        return _boosted(
            {"range": {target.index_field: {"gte": start, "lt": end, **_MILLIS}}}, boost
        )
    return _boosted({"term": {target.index_field: {"value": value(target, text)}}}, boost)


def phrase(
    target: SearchField, text: str, slop: int = 0, boost: float = 1.0, accents: bool = True
) -> Query:
    """Return a query for documents whose *target* contains the phrase *text*.

    :param accents: False: letters with and without accents are the same.
    """
    if target.kind == "text":
        text = composed(text)
        texts = [(name, text) for name in forms(target, text)]
        if not accents:
            ascii_form = folded(text)
            texts += [(target.index_field, ascii_form)] if ascii_form != text else []
            texts.append((folded_field(target.index_field), ascii_form))
        options: Query = {"slop": slop} if slop else {}
        if target.analyzed:
            options[EMPTY] = "none"
        parts: list[Query] = [
            {"match_phrase": {name: {"query": each, **options}}} for name, each in texts
        ]
        return _boosted(best_of(parts), boost)
    return term(target, text, boost)


def fuzzy(target: SearchField, text: str, edits: Optional[int], boost: float = 1.0) -> Query:
    """Return a query for documents with a term at most *edits* edits from *text* (None: a number
    that depends on its length)."""
    if target.kind != "text":
        raise ValueMismatch("only text can be searched fuzzily")
    fuzziness: Any = "AUTO" if edits is None else edits
    options: Query = {"query": composed(text), "fuzziness": fuzziness, "operator": "and"}
    if target.analyzed:
        options[EMPTY] = "none"
    return _boosted(_of_composed(target, lambda name: {"match": {name: options}}), boost)


def pattern(target: SearchField, kind: str, text: str, boost: float = 1.0) -> Query:
    """Return a query for documents with a term that matches *text*.

    :param kind: a key of :data:`PATTERNS`.
    """
    if target.kind not in ("text", "keyword"):
        raise ValueMismatch(f"only text can be searched with {PATTERNS[kind]}")
    # Terms of texts are lower case, in every alphabet.
    value = composed(text).lower() if target.kind == "text" else text
    options = {"value": value, "case_insensitive": True}
    return _boosted(_of_composed(target, lambda name: {kind: {name: options}}), boost)


def _of_composed(target: SearchField, query: Callable[[str], Query]) -> Query:
    """Return *query* on the composed form of texts: characters that are counted are those of it.

    :param query: makes the query on an index field.
    """
    if target.kind != "text":
        return query(target.index_field)
    raw, form = target.forms
    plain = {"bool": {"must": [query(raw)], "must_not": [{"exists": {"field": form}}]}}
    return best_of([plain, query(form)])


def neutral(query: Query) -> Optional[Query]:
    """Return *query* on a term or phrase, matching everything if the analyzer removes all of it
    (``the``, in English); None for a query that always has terms."""
    for kind, inner in query.items():
        if kind in ("match_phrase", "match"):
            ((name, options),) = inner.items()
            return {kind: {name: {**options, EMPTY: "all"}}} if EMPTY in options else None
        if kind == "nested":
            part = neutral(inner["query"])
            return None if part is None else {kind: {**inner, "query": part}}
        if kind == "dis_max":
            parts = [neutral(each) or each for each in inner["queries"]]
            return {kind: {"queries": parts}} if parts != inner["queries"] else None
        if kind == "bool" and set(inner) <= {"must", "must_not", "boost"} and "must" in inner:
            part = neutral(inner["must"][0])
            return None if part is None else {kind: {**inner, "must": [part]}}
    return None


def all_of(queries: list[Query]) -> list[Query]:
    """Return clauses that must all match, except for terms that the analyzer removes: ``the lion``
    means ``lion``. If no term remains, nothing matches."""
    optional = [neutral(query) for query in queries]
    remaining = [other or query for other, query in zip(optional, queries)]
    if all(optional):
        remaining.append(any_of(queries))
    return remaining


def exists(target: SearchField) -> Query:
    """Return a query for documents with a value in *target*."""
    if target.kind not in SEARCHABLE:
        raise ValueMismatch("this field can't be searched")
    return {"exists": {"field": target.index_field}}


def range_query(
    target: SearchField,
    low: Optional[str],
    high: Optional[str],
    include_low: bool,
    include_high: bool,
    boost: float = 1.0,
) -> Query:
    """Return a query for documents with *target* between *low* and *high* (None: no bound)."""
    if low is None and high is None:
        return exists(target)
    bounds: Query = {}
    if target.kind == "date":
        bounds.update(_MILLIS)
        if low is not None:
            start, end = date_span(low)
            bounds["gte"] = start if include_low else end
        if high is not None:
            start, end = date_span(high)
            bounds["lt"] = end if include_high else start
        return _boosted({"range": {target.index_field: bounds}}, boost)
    if target.kind == "boolean":
        raise ValueMismatch("true and false have no ranges")
    name = target.sort_key
    if target.kind == "text":
        low, high = composed(low), composed(high)
    if low is not None:
        bounds["gte" if include_low else "gt"] = value(target, low)
    if high is not None:
        bounds["lte" if include_high else "lt"] = value(target, high)
    return _boosted({"range": {name: bounds}}, boost)


def similar(target: SearchField, text: str, boost: float = 1.0) -> Query:
    """Return a query for documents whose *target* has a word like *text*, with accents or without:
    one edit in words of 3 to 5 letters, two in longer ones (Elasticsearch's AUTO), none in the
    first letter.

    :raises ValueMismatch: it is no field of texts.
    """
    if target.kind != "text":
        raise ValueMismatch("only text can be searched fuzzily")
    options: Query = {"query": folded(text), "fuzziness": "AUTO", "prefix_length": 1}
    options["operator"] = "and"
    names = (target.index_field, folded_field(target.index_field))
    return _boosted(best_of([{"match": {name: options}} for name in names]), boost)


def beginning(target: SearchField, text: str, boost: float = 1.0) -> Query:
    """Return a query for documents whose *target* has a word that begins with *text*, with accents
    or without.

    :raises ValueMismatch: it is no field of texts.
    """
    if target.kind != "text":
        raise ValueMismatch("only text has words")
    names = (target.index_field, folded_field(target.index_field))
    value = {"value": folded(text).lower()}
    return _boosted(best_of([{"prefix": {name: value}} for name in names]), boost)


def phrase_beginning(target: SearchField, text: str, boost: float = 1.0) -> Query:
    """Return a query for documents whose *target* has a phrase that begins with *text*, with
    accents or without; all score the same."""
    names = (target.index_field, folded_field(target.index_field))
    options = {"query": folded(text), "max_expansions": MAX_EXPANSIONS}
    query = best_of([{"match_phrase_prefix": {name: options}} for name in names])
    return {"constant_score": {"filter": query, "boost": boost}}


def nested(target: SearchField, query: Query) -> Query:
    """Return *query* on a field of nested documents as one on the document that contains them."""
    if target.path is None:
        return query
    if target.joins:
        for (model, name), (_, condition) in zip(
            reversed(target.joins), reversed(target.nested_levels)
        ):
            if condition is not None:
                query = {"bool": {"must": [query], "filter": [condition]}}
            query = {JOINED: {"model": model, "name": name, "query": query}}
        return query
    if not target.guarded:
        return {"nested": {"path": target.path, "query": query, "score_mode": "max"}}
    for path, condition in reversed(target.nested_levels):
        if condition is not None:
            query = {"bool": {"must": [query], "filter": [condition]}}
        query = {"nested": {"path": path, "query": query, "score_mode": "max"}}
    return query


def date_span(text: str) -> tuple[int, int]:
    """Return the period that a date or date arithmetic denotes, by the precision that it is written
    with.

    :returns: its start and its end (exclusive), in milliseconds since 1970.
    :raises ValueMismatch: it is no date.
    """
    if not date_math.is_expression(text):
        return _date_span(text)
    now = time.time_ns() // 1_000_000
    span = date_math.evaluate(text, now, lambda date: _date_span(date)[0])
    if span is None:
        raise ValueMismatch(
            f"'{_shortened(text)}' is not date arithmetic (now-1d/d, 2014-06-30||+1M)"
        )
    return span[0], span[1] + 1


def _date_span(text: str) -> tuple[int, int]:
    match = _DATE.match(text)
    if match is None:
        raise ValueMismatch(
            f"'{_shortened(text)}' is not a date (2014, 2014-06, 2014-06-30T12:00:00)"
        )
    parts = [int(match[unit]) for unit in _PRECISION if match[unit] is not None]
    # The first month and day are 1, all other parts begin with 0.
    year, month, day, hour, minute, second = [*parts, *(1, 1, 0, 0, 0)[len(parts) - 1 :]]
    try:
        start = datetime.datetime(year, month, day, hour, minute, second)
    except ValueError as error:
        raise ValueMismatch(f"'{_shortened(text)}' is not a date: {error}") from error
    first = (start - EPOCH) // datetime.timedelta(milliseconds=1)
    end = date_math.add(first, 1, list(_PRECISION.values())[len(parts) - 1])
    minutes = int(match["hours"] or 0) * 60 + int(match["minutes"] or 0)
    ahead = (-minutes if match["sign"] == "-" else minutes) * _MINUTE_MS
    return first - ahead, end - ahead


_MILLIS = {"format": "epoch_millis"}


def _integer(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        raise ValueMismatch(f"'{_shortened(text)}' is not a whole number") from None
    if not -INT64_MAX <= number <= INT64_MAX:
        raise ValueMismatch(f"'{_shortened(text)}' is too large a number")
    return number


def _float(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise ValueMismatch(f"'{_shortened(text)}' is not a number") from None
    if number != number or abs(number) == float("inf"):
        raise ValueMismatch(f"'{_shortened(text)}' is not a number")
    return number


def _boolean(text: str) -> bool:
    value = {"true": True, "false": False, "1": True, "0": False}.get(text.lower())
    if value is None:
        raise ValueMismatch(f"'{_shortened(text)}' is neither true nor false")
    return value


def _time(text: str) -> str:
    try:
        time = datetime.time.fromisoformat(text)
    except ValueError:
        time = None
    if time is None or not _TIME.match(text):
        raise ValueMismatch(f"'{_shortened(text)}' is not a time (12:30:00)")
    return time.isoformat()


_CONVERTERS: dict[str, Callable[[str], Any]] = {
    "text": str,
    "keyword": str,
    "integer": _integer,
    "float": _float,
    "boolean": _boolean,
    "time": _time,
}


def value(target: SearchField, text: str) -> Any:
    """Return *text* as a value of *target*.

    :raises ValueMismatch: it is none.
    """
    convert = _CONVERTERS.get(target.kind)
    if convert is None:
        raise ValueMismatch("this field can't be searched")
    return convert(text)


def _boosted(query: Query, boost: float) -> Query:
    if boost == 1.0:
        return query
    return {"bool": {"must": [query], "boost": boost}}


def _shortened(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "..."
