"""Nothing that a caller sends takes the embedded backend longer than a search may take.

No wall time is asserted, a machine may be busy. A clock that the test moves stands in for time:
it counts looks at it, and the steps between two of them.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import random
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest

from nefertari_search_tween.backends.base import BulkAction
from nefertari_search_tween.backends.embedded import deadline as deadlines
from nefertari_search_tween.backends.embedded.aggregations import HANDLERS
from nefertari_search_tween.backends.embedded.backend import EmbeddedBackend
from nefertari_search_tween.backends.embedded.deadline import STEPS_PER_LOOK, Deadline
from nefertari_search_tween.backends.embedded.query.parser import QueryParser
from nefertari_search_tween.backends.embedded.text import automata, regexp_parser, tokenizer
from nefertari_search_tween.backends.embedded.text.derivatives import MAX_SIZE, Expressions
from nefertari_search_tween.backends.embedded.text.phrases import encode, phrase_frequency
from nefertari_search_tween.exceptions import BackendRejected, BackendTimeout

pytestmark = pytest.mark.slow

DOCUMENTS = 400
WORDS = 260
KEYWORD = {"type": "keyword", "ignore_above": 8191}
MAPPING = {
    "dynamic": False,
    "properties": {
        "text": {"type": "text", "fields": {"keyword": KEYWORD}},
        "code": KEYWORD,
        "number": {"type": "long"},
        "price": {"type": "double"},
        "day": {"type": "date"},
        "flag": {"type": "boolean"},
        "tags": KEYWORD,
        "parts": {"type": "nested", "properties": {"name": {"type": "text"}}},
    },
}


def source(number: int, dice: random.Random) -> dict[str, Any]:
    common = [f"w{each}" for each in range(WORDS)]
    return {
        "text": " ".join([*common, f"rare{number}", *common[:10]]) if number % 10 == 0 else "w1 w2",
        "code": "".join(dice.choices("ab", k=40)),
        "number": number,
        "price": number / 7,
        "day": f"{1970 + number % 60}-01-{1 + number % 28:02}",
        "flag": bool(number % 2),
        "tags": [f"t{number % 50}", f"u{number}"],
        "parts": [{"name": f"p{number % 9} w1"}],
    }


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> EmbeddedBackend:
    backend = EmbeddedBackend(str(tmp_path_factory.mktemp("bounds")), timeout=3600)
    backend.create_index("m-1", MAPPING, {}, ["m", "w"])
    dice = random.Random(0)
    actions = (
        BulkAction("w", str(number), 1, json.dumps(source(number, dice)).encode())
        for number in range(DOCUMENTS)
    )
    assert all(each.error is None for each in backend.bulk(actions, 1000))
    return backend


#: the largest of each type of query, in the shape that the query layer sends
WORST_QUERIES: dict[str, Any] = {
    "match_all": {"match_all": {}},
    "match_none": {"match_none": {}},
    "bool": {"bool": {"should": [{"match": {"text": {"query": f"w{n}"}}} for n in range(256)]}},
    "dis_max": {
        "dis_max": {
            "queries": [{"match": {"text": {"query": f"w{n}"}}} for n in range(256)],
            "tie_breaker": 0.3,
        }
    },
    "constant_score": {"constant_score": {"filter": {"terms": {"code": ["a"] * 1000}}}},
    "nested": {"nested": {"path": "parts", "query": {"match": {"parts.name": {"query": "w1 p1"}}}}},
    "multi_match": {
        "multi_match": {
            "query": " ".join(f"w{n}" for n in range(256)),
            "fields": ["text", "code"],
            "type": "most_fields",
        }
    },
    "match": {"match": {"text": {"query": " ".join(f"w{n}" for n in range(32)), "fuzziness": "2"}}},
    "match_phrase": {
        "match_phrase": {"text": {"query": " ".join(f"w{n}" for n in range(250)), "slop": 100}}
    },
    "match_phrase_prefix": {
        "match_phrase_prefix": {"text": {"query": " ".join(["w1 w2 w3"] * 3 + ["w"])}}
    },
    "fuzzy": {"fuzzy": {"code": {"value": "ab" * 127, "fuzziness": 2}}},
    "wildcard": {"wildcard": {"code": {"value": "*" + "a*b?" * 10}}},
    "prefix": {"prefix": {"code": {"value": "a"}}},
    "regexp": {"regexp": {"code": {"value": "(a|b|ab|ba)*(~(a*b)&(.*a){3,20})(a|b)*"}}},
    "term": {"term": {"code": {"value": "ab" * 20, "case_insensitive": True}}},
    "terms": {"terms": {"number": list(range(20_000))}},
    "ids": {"ids": {"values": [str(each) for each in range(20_000)]}},
    "range": {"range": {"text": {"gte": "a"}}},
    "exists": {"exists": {"field": "tags"}},
}
INNER = {"aggs": {"inner": {"terms": {"field": "tags", "size": 5000}}}}
#: the same of each type of aggregation
WORST_AGGREGATIONS: dict[str, Any] = {
    "filter": {"filter": {"match_all": {}}, **INNER},
    "filters": {
        "filters": {"filters": [{"term": {"number": {"value": n}}} for n in range(250)]},
        **INNER,
    },
    "missing": {"missing": {"field": "number"}, **INNER},
    "global": {"global": {}, **INNER},
    "nested": {"nested": {"path": "parts"}, "aggs": {"back": {"reverse_nested": {}, **INNER}}},
    "reverse_nested": {
        "nested": {"path": "parts"},
        "aggs": {"back": {"reverse_nested": {}, **INNER}},
    },
    "terms": {
        "terms": {"field": "code", "size": 5000, "include": "((a|b)*(ab|ba)*)*", "exclude": "a.*"},
        "aggs": {"stats": {"stats": {"field": "number"}}},
    },
    "range": {
        "range": {"field": "number", "ranges": [{"from": n, "to": n + 9} for n in range(500)]},
        **INNER,
    },
    "date_range": {
        "date_range": {
            "field": "day",
            "ranges": [{"from": f"{1970 + n % 50}-01-01"} for n in range(500)],
        },
        **INNER,
    },
    "histogram": {"histogram": {"field": "number", "interval": 0.05, "min_doc_count": 0}},
    "date_histogram": {
        "date_histogram": {"field": "day", "fixed_interval": "1d", "min_doc_count": 0},
    },
    "top_hits": {"terms": {"field": "code", "size": 5000}, "aggs": {"top": {"top_hits": {}}}},
    "percentiles": {"percentiles": {"field": "price", "percents": list(range(100))}},
    **{
        kind: {kind: {"field": "number"}}
        for kind in ("min", "max", "avg", "sum", "stats", "extended_stats")
    },
    **{kind: {kind: {"field": "tags"}} for kind in ("value_count", "cardinality")},
}


def test_the_worst_of_every_type_is_here() -> None:
    types = {
        name.removeprefix("_parse_") for name in dir(QueryParser) if name.startswith("_parse_")
    }
    assert set(WORST_QUERIES) == types
    assert set(WORST_AGGREGATIONS) == set(HANDLERS)


def bodies() -> Iterator[Any]:
    highlight = {"fields": {"*": {}}, "require_field_match": False}
    for name, query in WORST_QUERIES.items():
        body = {"query": query, "size": 40, "highlight": highlight}
        yield pytest.param(body, id=f"query {name}")
    for name, aggregation in WORST_AGGREGATIONS.items():
        yield pytest.param({"size": 0, "aggs": {"it": aggregation}}, id=f"aggregation {name}")


class Clock:
    """Stands still, and counts who looks at it, until it has been looked at *last* times."""

    def __init__(self, last: int) -> None:
        self.last = last
        self.checks = 0

    def monotonic(self) -> float:
        self.checks += 1
        return 0.0 if self.checks <= self.last else 10_000.0


@pytest.mark.parametrize("body", list(bodies()))
def test_a_search_ends_at_the_first_look_after_its_time(
    backend: EmbeddedBackend, monkeypatch: pytest.MonkeyPatch, body: Any
) -> None:
    """Whichever look that is."""
    clock = Clock(10**9)
    monkeypatch.setattr(deadlines, "time", clock)
    # Vocabularies are read by the first, statements prepared.
    for _ in range(2):
        clock.checks = 0
        backend.search("m", body)
    checks = clock.checks
    assert checks >= 2
    # Not those at the very end: SQLite counts its steps from one statement to the next.
    for last in sorted({1, checks // 4, checks // 2} - {0}):
        clock.last, clock.checks = last, 0
        with pytest.raises(BackendTimeout, match="longer than 3600 seconds"):
            backend.search("m", body)
        # The error's own text looks once more.
        assert clock.checks <= last + 5
    # And the connection is as good as before.
    clock.last = 10**9
    assert backend.search("m", {"size": 1})["hits"]["total"]["value"] == DOCUMENTS


class Counting(Deadline):
    """Counts the steps between looks at the clock."""

    def __init__(self) -> None:
        super().__init__(None)
        self.counted = self.longest = self.total = 0

    def step(self, count: int = 1) -> None:
        self.counted += count
        self.total += count
        super().step(count)

    def check(self) -> None:
        self.longest = max(self.longest, self.counted)
        self.counted = 0
        super().check()


@pytest.mark.parametrize("kind", ["long", "repeated", "spread"])
def test_a_sloppy_phrase_takes_steps_as_there_are_positions(kind: str) -> None:
    def steps(terms: int, each: int) -> int:
        dice = random.Random(1)
        if kind == "repeated":
            positions = [encode(list(range(each * terms)))] * terms
        elif kind == "spread":
            positions = [encode(sorted(dice.sample(range(9999), each))) for _ in range(terms)]
        else:
            positions = [encode(list(range(at, each * terms, terms))) for at in range(terms)]
        counting = Counting()
        phrase_frequency(counting, 100, positions)
        assert counting.longest <= 2 * STEPS_PER_LOOK + each * terms
        return counting.total

    # Twice the positions of each term, or twice the terms: no more than four times the steps.
    assert steps(20, 80) <= 3 * steps(20, 40)
    assert steps(40, 40) <= 5 * steps(20, 40)


NESTED_REPETITIONS = [
    "(" * depth + "a" + "".join(f"){sign}" for sign in signs)
    for depth in (3, 8)
    for signs in itertools.islice(itertools.product(("*", "+", "{1,9}", "{2,}"), repeat=depth), 60)
]


@pytest.mark.parametrize("text", [*NESTED_REPETITIONS, "(a|aa)*b", "((a|b)*a|(b|a)*b)*", "~(a*)*"])
def test_nested_repetitions_do_not_explode(text: str) -> None:
    """What they make is refused, or is read in steps of a small multiple of the characters."""
    counting = Counting()
    term = "a" * 200 + "c"
    with contextlib.suppress(BackendRejected):
        pattern = automata.Pattern(regexp_parser.regexp(text), counting)
        automata.matching([term], pattern, counting)
    assert counting.total <= 30 * MAX_SIZE


@pytest.mark.parametrize("text", ["a{255}{255}{2}", "((a{99}){99}){99}", "(.{9}){99}{255}"])
def test_an_automaton_that_is_too_large_is_refused_as_it_is_made(text: str) -> None:
    expressions = Expressions(Deadline())
    with pytest.raises(BackendRejected, match="makes an automaton larger than"):
        regexp_parser.regexp(text)(expressions)
    assert expressions.size <= MAX_SIZE + 2000


def test_the_states_of_a_determinization_are_counted() -> None:
    dice = random.Random(3)
    terms = sorted({"".join(dice.choices("ab", k=60)) for _ in range(20_000)})
    pattern = automata.Pattern(regexp_parser.regexp("(a|b)*a(a|b){30}"), Deadline())
    with pytest.raises(BackendRejected, match="makes an automaton larger than"):
        automata.matching(terms, pattern, Deadline())


def test_an_aggregation_by_a_pattern_that_nests_too_deeply_is_refused(
    backend: EmbeddedBackend,
) -> None:
    terms = {"field": "code", "include": "(" * 5000 + "a" + ")" * 5000}
    with pytest.raises(BackendRejected, match="nested too deeply"):
        backend.search("m", {"size": 0, "aggs": {"it": {"terms": terms}}})


def test_a_scan_with_a_time_out_ends(
    backend: EmbeddedBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(10**9)
    monkeypatch.setattr(deadlines, "time", clock)
    scan = backend.scan("m", {"sort": [{"number": "asc"}]}, 100, timeout=5)
    assert len(next(scan)) == 100
    clock.last = 0
    with pytest.raises(BackendTimeout, match="longer than 5 seconds"):
        list(scan)


def test_a_run_of_underscores_is_passed_at_once() -> None:
    """Each place in it was tried up to its end: a thousand times this text would take hours."""
    text = "_" * 200_000
    assert tokenizer.terms(text) == []
    # Cut into pieces of the longest term, as Lucene cuts them.
    assert "".join(tokenizer.terms(f"{text}a")) == f"{text}a"


def test_cached_vocabularies_are_bounded(
    backend: EmbeddedBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nefertari_search_tween.backends.embedded import backend as module

    monkeypatch.setattr(module, "MAX_CACHED_TERMS", 4 * DOCUMENTS)
    for field in ("code", "tags", "text", "code"):
        backend.search("m", {"size": 0, "query": {"prefix": {field: {"value": "a"}}}})
        cached = [len(terms) for _, terms in backend._vocabularies.values()]
        assert sum(cached) <= 4 * DOCUMENTS


def test_the_clock_is_looked_at_inside_of_statements(backend: EmbeddedBackend) -> None:
    deadline = Deadline(0.0)
    with pytest.raises(BackendTimeout), backend.store.reading(deadline) as connection:
        connection.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
        ).fetchone()
    assert isinstance(connection, sqlite3.Connection)
