"""What is executed in a shorter way gives exactly what the general way gives.

The general ways: a condition on every row of the table, scores that are summed by document and
joined with the table, phrases counted in Python, aggregations of a copy of the matches.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nefertari_search_tween.backends.base import BulkAction
from nefertari_search_tween.backends.date_math import DAY_MS
from nefertari_search_tween.backends.embedded.aggregations import HANDLERS, histograms
from nefertari_search_tween.backends.embedded.aggregations.run import AggregationRun
from nefertari_search_tween.backends.embedded.backend import EmbeddedBackend
from nefertari_search_tween.backends.embedded.deadline import Deadline
from nefertari_search_tween.backends.embedded.query.nodes import (
    Bool,
    Condition,
    MatchAll,
    Node,
    count_matches,
)
from nefertari_search_tween.backends.embedded.query.parser import MAX_LISTED
from nefertari_search_tween.backends.embedded.query.text_nodes import Phrase
from nefertari_search_tween.backends.embedded.search import execute
from nefertari_search_tween.backends.embedded.search.execute import Search
from nefertari_search_tween.backends.embedded.sql import Sql
from nefertari_search_tween.backends.embedded.text import tokenizer

DOCUMENTS = 400
WORDS = ["the", "a", "of", "city", "dark", "night", "joker", "x"]
GENRES = ["Drama", "Comedy", "Film-Noir", "War"]
KEYWORD = {"type": "keyword"}
MAPPING = {
    "dynamic": False,
    "properties": {
        "title": {"type": "text", "fields": {"keyword": KEYWORD}},
        "plot": {"type": "text"},
        "genres": KEYWORD,
        "year": {"type": "long"},
        "years": {"type": "long"},
        "price": {"type": "double"},
        "prices": {"type": "double"},
        "day": {"type": "date"},
        "seen": {"type": "boolean"},
        "flags": KEYWORD,
        "people": {
            "type": "nested",
            "properties": {"name": {"type": "text"}, "role": KEYWORD, "pay": {"type": "double"}},
        },
    },
}


def source(dice: random.Random) -> dict[str, Any]:
    """A document; words repeat, values are missing, lists have the same number twice."""
    document = {
        "title": " ".join(dice.choices(WORDS, k=dice.randrange(1, 4))),
        "plot": [
            " ".join(dice.choices(WORDS, range(8, 0, -1), k=dice.randrange(12)))
            for _ in range(dice.randrange(1, 3))
        ],
        "genres": dice.sample(GENRES, dice.randrange(4)),
        "year": dice.randrange(1990, 2000),
        "years": dice.choices(range(5), k=dice.randrange(4)),
        "price": dice.gauss(0, 1e6) / 7,
        "prices": [dice.gauss(0, 1e6) / 7 for _ in range(dice.randrange(4))],
        "day": f"{dice.randrange(1960, 1980)}-{dice.randrange(1, 13):02}-01",
        "seen": dice.random() < 0.5,
        "flags": [flag for flag in ("*", "x") if dice.random() < 0.02],
        "people": [
            {
                "name": " ".join(dice.choices(WORDS, k=2)),
                "role": dice.choice(["director", "writer"]),
                "pay": dice.gauss(0, 1e6) / 7,
            }
            for _ in range(dice.randrange(3))
        ],
    }
    return {name: value for name, value in document.items() if dice.random() < 0.9}


class Films:
    """An index of random documents, read at one moment."""

    def __init__(self, backend: EmbeddedBackend, connection: Any) -> None:
        self.backend = backend
        self.connection = connection
        self.index = backend.store.resolve_one(connection, "films")

    def search(self, body: dict[str, Any]) -> Search:
        return self.backend._search(self.connection, self.index, body, Deadline(60))

    def node(self, query: dict[str, Any]) -> Node:
        return self.search({"query": query}).node

    def rows(self, sql: Sql) -> list[Any]:
        return sql.run(self.connection).fetchall()

    def matches(self, node: Node) -> list[int]:
        """The documents of *node* by its condition on every row, in order."""
        rows = f"SELECT d.doc FROM {node.level.table} d WHERE " + node.where("d")
        return sorted(doc for (doc,) in self.rows(rows))


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Films]:
    backend = EmbeddedBackend(str(tmp_path_factory.mktemp("mirrors")), timeout=60.0)
    backend.create_index("films-1", MAPPING, {}, ["films", "write"])
    dice = random.Random(16)
    actions = [
        BulkAction("write", str(number), 1, json.dumps(source(dice)).encode())
        for number in range(DOCUMENTS)
    ]
    assert all(item.error is None for item in backend.bulk(actions, 100))
    # Documents that are written again have their rows at other places.
    again = [BulkAction("write", str(n), 2, json.dumps(source(dice)).encode()) for n in range(50)]
    assert all(item.error is None for item in backend.bulk(again, 100))
    with backend.store.reading(Deadline(3600)) as connection:
        yield Films(backend, connection)
    backend.close()


# Queries

words = st.sampled_from(WORDS)
fields = st.sampled_from(["title", "plot"])


def _phrase(name: str, terms: list[str], slop: int) -> dict[str, Any]:
    return {"match_phrase": {name: {"query": " ".join(terms), "slop": slop}}}


leaves = st.one_of(
    st.builds(lambda name, word: {"match_phrase": {name: {"query": word}}}, fields, words),
    st.builds(
        lambda name, word, boost: {"match": {name: {"query": word, "boost": boost}}},
        fields,
        words,
        st.sampled_from([0.5, 3.0]),
    ),
    st.builds(
        _phrase, fields, st.lists(words, min_size=2, max_size=4), st.sampled_from([0, 0, 0, 2])
    ),
    st.builds(lambda year: {"range": {"year": {"gte": year}}}, st.integers(1988, 2001)),
    st.builds(lambda genre: {"term": {"genres": genre}}, st.sampled_from(GENRES)),
    st.builds(lambda flag: {"term": {"flags": flag}}, st.sampled_from(["*", "none"])),
    st.builds(lambda name, letter: {"prefix": {name: letter}}, fields, st.sampled_from("tdnx")),
    st.builds(lambda name, word: {"match": {name: {"query": word, "fuzziness": 1}}}, fields, words),
    st.builds(
        lambda word, mode: {
            "nested": {
                "path": "people",
                "query": {"match": {"people.name": word}},
                "score_mode": mode,
            }
        },
        words,
        st.sampled_from(["none", "max", "sum"]),
    ),
    st.just({"match_all": {}}),
)


def _compound(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    few = st.lists(inner, max_size=3)
    return st.one_of(
        st.builds(
            lambda must, should, filters, must_not: {
                "bool": {"must": must, "should": should, "filter": filters, "must_not": must_not}
            },
            few,
            few,
            st.lists(inner, max_size=1),
            st.lists(inner, max_size=1),
        ),
        st.builds(lambda must: {"bool": {"must": must}}, st.lists(inner, min_size=1, max_size=4)),
        st.builds(
            lambda must, flag: {"bool": {"must": must, "must_not": [{"term": {"flags": flag}}]}},
            few,
            st.sampled_from(["*", "none"]),
        ),
        st.builds(
            lambda should: {"bool": {"should": should, "minimum_should_match": 1}},
            st.lists(inner, min_size=1, max_size=4),
        ),
        st.builds(
            lambda queries, tie: {"dis_max": {"queries": queries, "tie_breaker": tie}},
            st.lists(inner, min_size=1, max_size=3),
            st.sampled_from([0.0, 0.5]),
        ),
        st.builds(lambda query: {"constant_score": {"filter": query, "boost": 1.5}}, inner),
    )


queries = st.recursive(leaves, _compound, max_leaves=8)


@given(query=queries)
def test_lists_of_documents_are_those_of_the_condition(films: Films, query: Any) -> None:
    node = films.node(query)
    expected = films.matches(node)
    assert count_matches(node, films.connection) == len(expected)
    documents = node.docs()
    if documents is not None:
        assert sorted(doc for (doc,) in films.rows(documents)) == expected
    assert sorted(doc for doc, _ in films.rows(node.scores(1.0))) == expected


EXCLUDED = [
    {"term": {"flags": "none"}},
    {"terms": {"flags": ["*", "none"]}},
    {"term": {"genres": "Drama"}},
    {"exists": {"field": "year"}},
    {"exists": {"field": "plot"}},
]


@given(query=queries, excluded=st.sampled_from(EXCLUDED))
def test_exclusions_leave_the_scores_of_the_others(films: Films, query: Any, excluded: Any) -> None:
    without = set(films.matches(films.node(excluded)))
    expected = [row for row in films.rows(films.node(query).scores(1.0)) if row[0] not in without]
    rest = films.node({"bool": {"must": [query], "must_not": [excluded]}})
    assert sorted(films.rows(rest.scores(1.0))) == sorted(expected)
    assert films.matches(rest) == sorted(doc for doc, _ in expected)
    assert count_matches(rest, films.connection) == len(expected)


def test_exclusions_of_nothing_few_and_many(films: Films) -> None:
    """What the random ones are about is there: none, some up to a hundred, and more."""
    counts = [len(films.matches(films.node(each))) for each in EXCLUDED[:3]]
    assert counts[0] == 0 < counts[1] <= MAX_LISTED < counts[2]
    nothing, few, many = (
        films.node({"bool": {"must": [{"match": {"title": "dark"}}], "must_not": [each]}})
        for each in EXCLUDED[:3]
    )
    assert nothing.is_posting_list
    assert few.docs() is not None and few.by_number
    assert many.docs() is None
    whole = films.node({"bool": {"must_not": [EXCLUDED[0]]}})
    assert isinstance(whole, MatchAll)
    assert films.rows(whole.scores(1.0))[0][1] == 0.0


@given(query=queries)
def test_a_query_alone_is_what_it_is_in_a_bool(films: Films, query: Any) -> None:
    for bool_query in ({"must": [query]}, {"should": [query]}, {"should": query, "filter": []}):
        alone = films.node({"bool": bool_query})
        assert films.rows(alone.scores(1.0)) == films.rows(films.node(query).scores(1.0))
    # A filter makes what should match optional, even one that all documents meet.
    optional = {"bool": {"should": [query], "filter": [{"match_all": {}}]}}
    assert len(films.matches(films.node(optional))) == DOCUMENTS


@given(query=queries)
def test_a_uniform_score_is_that_of_each(films: Films, query: Any) -> None:
    node = films.node(query)
    uniform = node.uniform_score(2.0)
    if uniform is not None:
        assert {score for _, score in films.rows(node.scores(2.0))} <= {uniform}


@given(must=st.lists(leaves, min_size=2, max_size=4))
def test_joined_scores_are_the_grouped_ones(films: Films, must: list[Any]) -> None:
    node = films.node({"bool": {"must": must}})
    assert isinstance(node, Bool)
    joined = node.joined_scores(1.0)
    if joined is not None:
        assert sorted(films.rows(joined)) == sorted(films.rows(node.grouped_scores(1.0, [])))


@given(terms=st.lists(words, min_size=2, max_size=5), name=fields)
def test_phrases_are_counted_as_in_python(films: Films, terms: list[str], name: str) -> None:
    node = films.node(_phrase(name, terms, 0))
    assert isinstance(node, Phrase)
    places = ", ".join(f"p{number}.positions" for number in range(len(terms)))
    tables = " CROSS JOIN ".join(f"{films.index.post} p{number}" for number in range(len(terms)))
    conditions = " AND ".join(
        f"p{number}.field = {node.field.number} AND p{number}.term = '{term}' "
        f"AND p{number}.doc = p0.doc"
        for number, term in enumerate(terms)
    )
    order = random.Random(len(terms)).sample(range(len(terms)), len(terms))
    counted = "phrase_frequency(0, " + places + ")"
    rows = films.rows(
        "SELECT " + node.frequency_of(order) + f", {counted} FROM {tables} WHERE {conditions}"
    )
    assert [short for short, _ in rows] == [general for _, general in rows]


@given(text=st.text(st.characters(max_codepoint=127)) | st.text("aB1_.:',; \"-\n", max_size=20))
def test_terms_of_ascii_are_those_of_the_rules(text: str) -> None:
    assert tokenizer.terms(text) == [token.term for token in tokenizer.tokens(text)]


SORTS = (
    None,
    [{"_score": {"order": "desc"}}, {"title.keyword": {"order": "asc"}}],
    [{"_score": {"order": "desc"}}, {"year": {"order": "desc"}}, {"_id": {"order": "asc"}}],
    [{"year": {"order": "asc"}}, {"_score": {"order": "desc"}}],
    [{"price": {"order": "asc"}}],
    [{"price": {"order": "desc", "missing": "_first"}}],
    [{"title.keyword": {"order": "asc", "missing": "_first"}}],
)


@given(
    query=queries,
    sort=st.sampled_from(SORTS),
    start=st.sampled_from([0, 0, 3, 250]),
    min_score=st.sampled_from([None, None, 0.5]),
)
def test_pages_are_those_of_the_whole_order(
    films: Films, query: Any, sort: Any, start: int, min_score: Any
) -> None:
    body = {"query": query, "from": start, "size": 5, "track_scores": True}
    if sort is not None:
        body["sort"] = sort
    if min_score is not None:
        body["min_score"] = min_score
    search = films.search(body)
    whole = films.rows(search._page(None, limited=False))
    assert search._page_rows(None) == whole[start : start + 5]
    assert search.total() == len(whole)


def test_ties_beyond_the_spare_ones_are_on_the_page(
    films: Films, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execute, "SPARE", 3)
    sort = [{"_score": {"order": "desc"}}, {"title.keyword": {"order": "desc"}}]
    query = {"match": {"title": "the"}}
    ties = 0
    for size in range(1, 60):
        search = films.search({"query": query, "size": size, "sort": sort})
        whole = films.rows(search._page(None, limited=False))
        ties += whole[size - 1][1] == whole[size + 2][1]
        assert search._page_rows(None) == whole[:size]
    assert ties > 10


# Aggregations

#: of every kind that has values, on fields with one value, with lists, and nested
AGGREGATIONS: dict[str, Any] = {
    f"{kind} {field}": {kind: {"field": field}}
    for field in ("year", "years", "price", "prices", "day", "seen")
    for kind in (
        *("min", "max", "avg", "sum", "value_count", "cardinality", "stats", "extended_stats"),
        *("percentiles", "terms", "missing"),
    )
}
AGGREGATIONS.update(
    {
        "genres": {"terms": {"field": "genres", "min_doc_count": 0}},
        "different genres": {"cardinality": {"field": "genres"}},
        "without genre": {"terms": {"field": "genres", "missing": "none"}},
        "without year": {"terms": {"field": "years", "missing": 7}},
        "mean of all": {"avg": {"field": "prices", "missing": 1.1}},
        "months": {"date_histogram": {"field": "day", "calendar_interval": "month"}},
        "years": {"histogram": {"field": "years", "interval": 2}},
        "by year": {
            "histogram": {"field": "year", "interval": 3},
            "aggs": {"mean": {"avg": {"field": "price"}}, "sum": {"sum": {"field": "prices"}}},
        },
        "by genre": {
            "terms": {"field": "genres", "order": {"mean": "asc"}},
            "aggs": {"mean": {"avg": {"field": "price"}}, "seen": {"terms": {"field": "seen"}}},
        },
        "people": {
            "nested": {"path": "people"},
            "aggs": {
                "roles": {
                    "terms": {"field": "people.role"},
                    "aggs": {
                        "pay": {"stats": {"field": "people.pay"}},
                        "films": {"reverse_nested": {}},
                    },
                },
                "pay": {"sum": {"field": "people.pay"}},
            },
        },
        "filtered": {
            "filter": {"match": {"title": "dark"}},
            "aggs": {"mean": {"avg": {"field": "price"}}},
        },
    }
)


def results(films: Films, query: Any, requested: dict[str, Any]) -> dict[str, Any]:
    body = {"query": query, "size": 0, "aggs": requested}
    return films.search(body).run()["aggregations"]


@pytest.mark.parametrize("name", sorted(AGGREGATIONS))
def test_aggregations_of_all_are_those_of_a_copy(films: Films, name: str) -> None:
    search = films.search({})
    run = AggregationRun(films.connection, films.index, search.parser, HANDLERS, search.hits)
    copied = Condition(films.index.root.level, lambda alias: Sql(f"{alias}.doc > 0"))
    requested = {"it": AGGREGATIONS[name]}
    # Several are computed on a copy of the matches.
    copying = {**requested, "filtered": {"filter": {"match_all": {}}}}
    expected = run.run(copying, copied)["it"]
    assert results(films, {"match_all": {}}, requested)["it"] == expected
    assert run.run(requested, copied)["it"] == expected


@given(query=queries, name=st.sampled_from(sorted(AGGREGATIONS)))
def test_aggregations_of_matches_are_those_of_a_copy(films: Films, query: Any, name: str) -> None:
    requested = {"it": AGGREGATIONS[name]}
    copying = {**requested, "filtered": {"filter": {"match_all": {}}}}
    expected = results(films, query, copying)["it"]
    assert results(films, query, requested)["it"] == expected


@given(
    days=st.lists(st.integers(-40_000, 40_000), max_size=20),
    unit=st.sampled_from(["m", "h", "d", "w", "M", "q", "y"]),
)
def test_dates_are_rounded_as_if_each_was_the_first(days: list[int], unit: str) -> None:
    rounded = histograms._rounding(unit)
    for day in days:
        for moment in (day * DAY_MS - 1, day * DAY_MS, day * DAY_MS + 7_199_999):
            assert rounded(moment) == histograms._rounded(moment, unit)


@pytest.mark.parametrize("name", ["price", "prices"])
def test_sums_are_of_the_documents_order(films: Films, name: str) -> None:
    """An index has the values in another order, in which their sum is another in its last digit."""
    field = films.index.fields[name]
    level, multi = field.level.table, films.index.multi
    alone = f"SELECT {field.column} AS value FROM {level} NOT INDEXED WHERE {{}} ORDER BY doc"
    lists = f"(SELECT doc FROM {multi} WHERE field = {field.number})"
    one = films.rows(Sql(alone.format(f"{field.column} IS NOT NULL AND doc NOT IN {lists}")))
    more = films.rows(
        Sql(f"SELECT value FROM {multi} WHERE field = {field.number} ORDER BY doc, place")
    )
    numbers = [number for (number,) in one + more]

    def total(ordered: list[float]) -> Any:
        text = json.dumps(list(range(len(ordered))))
        films.connection.create_function("number", 1, ordered.__getitem__)
        rows = Sql("SELECT total(number(value)) FROM json_each(?)", (text,))
        return films.rows(rows)[0][0]

    assert total(numbers) != total(sorted(numbers))
    result = results(films, {"match_all": {}}, {"it": {"sum": {"field": name}}})
    assert result["it"]["value"] == total(numbers)
