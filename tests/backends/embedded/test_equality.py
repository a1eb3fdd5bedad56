"""The embedded backend finds, ranks and counts as Elasticsearch does, on 17,472 real films."""

from __future__ import annotations

import json
import random
import re
import sqlite3
import urllib.request
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from nefertari_search_tween.backends.base import BulkAction
from nefertari_search_tween.backends.connection import Connection
from nefertari_search_tween.backends.elasticsearch import ElasticsearchBackend
from nefertari_search_tween.backends.embedded.backend import EmbeddedBackend
from nefertari_search_tween.backends.embedded.text import tokenizer

KEYWORD = {"type": "keyword", "ignore_above": 8191}
TEXT = {"type": "text", "fields": {"keyword": KEYWORD}}
LONG = {"type": "long", "ignore_malformed": True}
MAPPING = {
    "dynamic": False,
    "properties": {
        "id": LONG,
        "title": TEXT,
        "year": LONG,
        "rating": {"type": "double"},
        "released": {"type": "date", "format": "date_optional_time||epoch_millis"},
        "cast": TEXT,
        "awards": TEXT,
        "genres": TEXT,
        "people": {"type": "nested", "properties": {"name": TEXT, "role": KEYWORD}},
    },
}
TEXTS = ("title", "cast", "awards", "genres", "people.name")
# Scores are computed in single precision there, in double here.
CLOSE = 1e-5


def documents() -> Iterator[tuple[str, dict[str, Any]]]:
    load = pytest.importorskip("films.load", reason="the example application is not on the path")
    try:
        path = load.data_file()
    except SystemExit as missing:
        pytest.skip(str(missing))
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    for (
        key,
        title,
        year,
        rating,
        released,
        cast,
        awards,
        genres,
        director,
        writer,
    ) in connection.execute(
        'SELECT ID, Title, Year, Runtime, Released, "Cast", Awards, Genre, Director, Writer '
        "FROM omdb ORDER BY ID"
    ):
        people = [
            {"name": name.strip(), "role": role}
            for role, names in (("director", director), ("writer", writer))
            for name in (names or "").split(",")
            if name.strip()
        ]
        yield (
            str(key),
            {
                "id": key,
                "title": title,
                "year": year,
                "rating": rating,
                "released": released[:10] if released else None,
                "cast": cast,
                "awards": awards,
                "genres": [name.strip() for name in (genres or "").split(",") if name.strip()],
                "people": people,
            },
        )


class Pair:
    """Both backends, with the same documents."""

    def __init__(self, mine: EmbeddedBackend, theirs: ElasticsearchBackend, alias: str) -> None:
        self.mine = mine
        self.theirs = theirs
        self.alias = alias

    def compare(self, body: dict[str, Any]) -> int:
        """Assert that both answer the same; gives the number of matches."""
        body = {"track_total_hits": True, "size": 25, **body}
        mine = self.mine.search(self.alias, body)
        theirs = self.theirs.search(self.alias, body)
        text = json.dumps(body, ensure_ascii=False)
        assert mine["hits"]["total"] == theirs["hits"]["total"], text
        pairs = list(zip(mine["hits"]["hits"], theirs["hits"]["hits"]))
        assert len(mine["hits"]["hits"]) == len(theirs["hits"]["hits"]), text
        for one, other in pairs:
            if one["_score"] is None or other["_score"] is None:
                assert one["_score"] == other["_score"], text
            else:
                assert one["_score"] == pytest.approx(other["_score"], rel=CLOSE), text
        is_cut = theirs["hits"]["total"]["value"] > body.get("from", 0) + len(pairs)
        for run, is_last in _runs(pairs):
            ours, others = ({hit["_id"]: hit for hit in hits} for hits in zip(*run))
            if len({other["_score"] for _, other in run}) == 1:
                assert list(ours) == list(others), text
            elif not (is_last and is_cut):
                # Where two scores differ by less than rounding, their order may be either.
                assert set(ours) == set(others), text
            for identity in set(ours) & set(others):
                assert ours[identity].get("_source") == others[identity].get("_source"), text
        assert _rounded(mine.get("aggregations")) == _rounded(theirs.get("aggregations")), text
        return int(mine["hits"]["total"]["value"])


def _runs(pairs: list[tuple[Any, Any]]) -> Iterator[tuple[list[tuple[Any, Any]], bool]]:
    """Runs of *pairs* whose scores differ by no more than rounding; whether it is the last one."""
    run: list[tuple[Any, Any]] = []
    for pair in pairs:
        if run:
            before, score = run[-1][1]["_score"], pair[1]["_score"]
            if score is not None and abs(before - score) > CLOSE * abs(before):
                yield run, False
                run = []
        run.append(pair)
    if run:
        yield run, True


def _rounded(value: Any) -> Any:
    """Numbers that were summed in another order."""
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return float(f"{value:.9g}") if isinstance(value, float) else value


@pytest.fixture(scope="module")
def films() -> dict[str, dict[str, Any]]:
    return dict(documents())


@pytest.fixture(scope="module")
def pair(
    films: dict[str, dict[str, Any]],
    elasticsearch_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Pair]:
    mine = EmbeddedBackend(str(tmp_path_factory.mktemp("mirrors")), timeout=60.0)
    theirs = ElasticsearchBackend(Connection((elasticsearch_url,), search_timeout=60.0))
    alias = f"test-{uuid.uuid4().hex[:12]}-film"
    for backend in (mine, theirs):
        settings = {"index.number_of_replicas": 0}
        backend.create_index(f"{alias}-000001", MAPPING, settings, [alias, f"{alias}-write"])
        actions = [
            BulkAction(f"{alias}-write", key, 1, json.dumps(film, ensure_ascii=False).encode())
            for key, film in films.items()
        ]
        assert all(outcome.error is None for outcome in backend.bulk(actions, 500))
        backend.refresh(alias)
    yield Pair(mine, theirs, alias)
    theirs.delete_index(f"{alias}-000001")
    mine.close()
    theirs.client.close()


def analyzed(url: str, texts: list[str]) -> Iterator[list[str]]:
    """The server's terms of each of *texts*."""
    body = json.dumps({"analyzer": "standard", "text": texts}).encode()
    request = urllib.request.Request(f"{url}/_analyze", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        tokens = json.load(answer)["tokens"]
    at = 0
    start = 0
    for text in texts:
        end = start + len(text.encode("utf-16-le")) // 2
        terms = []
        while at < len(tokens) and tokens[at]["start_offset"] < end:
            terms.append(tokens[at]["token"])
            at += 1
        yield terms
        start = end + 1


def test_every_title_has_the_same_terms(
    films: dict[str, dict[str, Any]], elasticsearch_url: str
) -> None:
    titles = [film["title"] for film in films.values()]
    different = {}
    for first in range(0, len(titles), 500):
        part = titles[first : first + 500]
        for title, terms in zip(part, analyzed(elasticsearch_url, part)):
            if tokenizer.terms(title) != terms:
                different[title] = (tokenizer.terms(title), terms)
    assert different == {}
    assert len(titles) > 17_000


@pytest.mark.parametrize(
    "text",
    [
        "don't can’t o.k. 3.14 1,000 a_b _x_ a:b a·b foo.bar 3.a x2y 'quoted' C++ AT&T 50/50",
        "日本語 ひらがな カタカナ 한국어 ไทยแลนด์ ＦＵＬＬ ｶﾀｶﾅ",
        "İSTANBUL ΣΟΦΟΣ straße ẞ e\u0301 a\u00adb a\u200db",
        "ש\"ח ש' مرحبا 12٫5",
        "😀 👍🏽 👩 🇩🇪 ☎ a😀b © ™ №5 ½",
        "x" * 256 + " " + "y" * 600,
        "",
        "... --- !!!",
    ],
)
def test_texts_of_every_script_have_the_same_terms(text: str, elasticsearch_url: str) -> None:
    assert tokenizer.terms(text) == next(analyzed(elasticsearch_url, [text]))


WORD = {"title": "knight", "cast": "hanks", "awards": "oscars", "genres": "drama"}


@pytest.mark.parametrize(
    "query",
    [
        *({"match_phrase": {name: {"query": word}}} for name, word in WORD.items()),
        {"match_phrase": {"title": {"query": "the dark knight"}}},
        {"match_phrase": {"title": {"query": "new york new york"}}},
        {"match_phrase": {"cast": {"query": "hanks tom", "slop": 3}}},
        {"match_phrase": {"awards": {"query": "won oscars nominated", "slop": 10}}},
        {"match_phrase": {"genres": {"query": "drama crime", "slop": 100}}},
        {"match_phrase": {"genres": {"query": "drama crime", "slop": 101}}},
        {"match_phrase": {"genres": {"query": "drama crime", "slop": 102}}},
        {"match": {"title": {"query": "the lord of the rings"}}},
        {"match": {"title": {"query": "the lord of the rings", "operator": "and"}}},
        {"match": {"title": {"query": "star wars return", "minimum_should_match": 2}}},
        {"match": {"title": {"query": "godfahter", "fuzziness": "AUTO", "operator": "and"}}},
        {"match": {"title": {"query": "batmen forevr", "fuzziness": 1, "operator": "and"}}},
        {"match": {"cast": {"query": "jonson", "fuzziness": 2, "operator": "and"}}},
        {"match": {"title": {"query": "it", "fuzziness": "AUTO", "operator": "and"}}},
        {"match": {"cast": {"query": "jonson", "fuzziness": "AUTO", "prefix_length": 1}}},
        *({"prefix": {"title": {"value": each}}} for each in ("s", "star")),
        *(
            {
                "constant_score": {
                    "filter": {
                        # Here all words count, on a server the first 50 by default.
                        "match_phrase_prefix": {name: {"query": text, "max_expansions": 100_000}}
                    }
                }
            }
            for name, text in (("title", "star w"), ("cast", "tom ha"), ("awards", "won 2 osc"))
        ),
        {"wildcard": {"title": {"value": "star*", "case_insensitive": True}}},
        {"wildcard": {"title": {"value": "*m?n", "case_insensitive": True}}},
        {"wildcard": {"title.keyword": {"value": "The *Knight*", "case_insensitive": False}}},
        {"wildcard": {"title.keyword": {"value": "the god*", "case_insensitive": True}}},
        {"regexp": {"title": {"value": "s[tp]ar.*", "case_insensitive": True}}},
        {"regexp": {"title": {"value": "(bat|super|spider.)man", "case_insensitive": True}}},
        {"regexp": {"title": {"value": "~(.*[aeiou].*)&.{4,}", "case_insensitive": True}}},
        {"regexp": {"title": {"value": "<1990-2000>", "case_insensitive": True}}},
        {"range": {"year": {"gte": 1990, "lt": 1993}}},
        {"range": {"rating": {"gt": 150.5}}},
        {"range": {"released": {"gte": "1999", "lte": "1999-06"}}},
        {"range": {"released": {"gt": "1999", "lt": "2000-02-01"}}},
        {"range": {"title.keyword": {"gte": "S", "lt": "T"}}},
        {"term": {"year": {"value": 1999}}},
        {"term": {"released": {"value": "1999-03-31"}}},
        {"term": {"title.keyword": {"value": "Hamlet"}}},
        {"terms": {"year": [1981, 1982, 1983]}},
        {"exists": {"field": "awards"}},
        {"bool": {"must_not": [{"exists": {"field": "awards"}}]}},
        {
            "bool": {
                "must": [{"match_phrase": {"title": {"query": "man"}}}],
                "should": [{"match_phrase": {"cast": {"query": "john"}}}],
                "filter": [{"range": {"year": {"gte": 1970}}}],
                "must_not": [{"match_phrase": {"genres": {"query": "drama"}}}],
            }
        },
        {
            "dis_max": {
                "queries": [
                    {
                        "bool": {
                            "must": [{"match_phrase": {name: {"query": "king"}}}],
                            "boost": boost,
                        }
                    }
                    for name, boost in (("title", 3.0), ("cast", 2.0), ("genres", 1.0))
                ],
                "tie_breaker": 0.3,
            }
        },
        *(
            {
                "nested": {
                    "path": "people",
                    "query": {"match_phrase": {"people.name": {"query": "john"}}},
                    "score_mode": mode,
                }
            }
            for mode in ("max", "min", "avg", "sum", "none")
        ),
        {
            "nested": {
                "path": "people",
                "query": {
                    "bool": {
                        "must": [{"match_phrase": {"people.name": {"query": "woody allen"}}}],
                        "filter": [{"term": {"people.role": "director"}}],
                    }
                },
            }
        },
        {"constant_score": {"filter": {"term": {"genres.keyword": "Western"}}, "boost": 2.5}},
    ],
    ids=lambda query: re.sub(r"[^a-z0-9]+", "-", json.dumps(query).lower())[:60],
)
def test_queries_rank_the_same(pair: Pair, query: dict[str, Any]) -> None:
    sort = [{"_score": {"order": "desc"}}, {"id": {"order": "asc"}}]
    assert pair.compare({"query": query, "sort": sort}) > 0


@pytest.mark.parametrize(
    "sort",
    [
        [{"title.keyword": {"order": "asc"}}],
        [{"title.keyword": {"order": "desc", "missing": "_first"}}],
        [{"rating": {"order": "asc", "missing": "_first"}}, {"year": {"order": "desc"}}],
        [{"rating": {"order": "desc", "missing": "_last"}}, {"title.keyword": {"order": "asc"}}],
        [{"released": {"order": "desc", "missing": "_first"}}],
        [{"genres.keyword": {"order": "desc"}}],
        [{"genres.keyword": {"order": "asc", "missing": "_first"}}],
        [{"people.name.keyword": {"order": "asc", "nested": {"path": "people"}}}],
        [{"people.name.keyword": {"order": "desc", "nested": {"path": "people"}}}],
        [
            {
                "people.name.keyword": {
                    "order": "asc",
                    "nested": {"path": "people", "filter": {"term": {"people.role": "writer"}}},
                }
            }
        ],
    ],
    ids=str,
)
@pytest.mark.parametrize("start", [0, 9000])
def test_sorts_are_the_same(pair: Pair, sort: list[Any], start: int) -> None:
    pair.compare({"sort": [*sort, {"id": {"order": "asc"}}], "from": start})


@pytest.mark.parametrize(
    "aggregation",
    [
        {"terms": {"field": "genres.keyword", "size": 40}},
        {"terms": {"field": "year", "size": 7, "order": {"_key": "desc"}}},
        {"stats": {"field": "rating"}},
        {"extended_stats": {"field": "year"}},
        {"missing": {"field": "awards.keyword"}},
        {"histogram": {"field": "year", "interval": 10, "min_doc_count": 0}},
        {"date_histogram": {"field": "released", "calendar_interval": "quarter"}},
        {
            "range": {
                "field": "rating",
                "ranges": [{"to": 60}, {"from": 60, "to": 90.5}, {"from": 90.5}],
            }
        },
        {
            "terms": {"field": "genres.keyword", "size": 5, "order": {"best": "desc"}},
            "aggs": {"best": {"avg": {"field": "rating"}}},
        },
        {
            "nested": {"path": "people"},
            "aggs": {
                "roles": {
                    "terms": {"field": "people.role"},
                    "aggs": {"films": {"reverse_nested": {}}},
                }
            },
        },
    ],
    ids=lambda aggregation: next(iter(aggregation)),
)
@pytest.mark.parametrize("word", [None, "love"])
def test_aggregations_are_the_same(
    pair: Pair, aggregation: dict[str, Any], word: str | None
) -> None:
    body: dict[str, Any] = {"size": 0, "aggs": {"it": aggregation}}
    if word is not None:
        body["query"] = {"match_phrase": {"title": {"query": word}}}
    pair.compare(body)


def test_random_queries_rank_the_same(pair: Pair, films: dict[str, dict[str, Any]]) -> None:
    dice = random.Random(20)
    documents = list(films.values())
    hits = [pair.compare(_random_search(dice, documents)) for _ in range(300)]
    assert sum(1 for count in hits if count) > 150


@pytest.mark.thorough
def test_random_deep_queries_rank_the_same(pair: Pair, films: dict[str, dict[str, Any]]) -> None:
    dice = random.Random(21)
    documents = list(films.values())
    hits = [pair.compare(_deep_search(dice, documents)) for _ in range(100)]
    assert sum(1 for count in hits if count) > 50


def test_random_date_arithmetic_is_the_same(pair: Pair, films: dict[str, dict[str, Any]]) -> None:
    dice = random.Random(22)
    released = [film["released"] for film in films.values() if film["released"]]
    bodies = []
    for _ in range(200):
        bounds = {
            dice.choice(("gt", "gte")): _arithmetic(dice, released),
            dice.choice(("lt", "lte")): _arithmetic(dice, released),
        }
        bodies.append({"query": {"range": {"released": bounds}}, "sort": [{"id": "asc"}]})
    hits = [pair.compare(body) for body in bodies]
    assert sum(1 for count in hits if count) > 60


def _arithmetic(dice: random.Random, dates: list[str]) -> str:
    """Date arithmetic on one of *dates*, or on now, which is far from all of them."""
    steps = "".join(
        f"{dice.choice('+-')}{dice.choice(['', dice.randrange(40)])}{dice.choice('yMwdhHms')}"
        if dice.random() < 0.6
        else f"/{dice.choice('yMwdhHms')}"
        for _ in range(dice.randrange(4))
    )
    if dice.random() < 0.1:
        return f"now-{dice.randrange(20, 90)}y/y"
    zone = dice.choice(["", "T00:30", "T01:30:00+02:00", "T22:00:00-0330"])
    return f"{dice.choice(dates)}{zone}||{steps}"


def test_deep_aggregations_are_the_same(pair: Pair) -> None:
    inner: dict[str, Any] = {"roles": {"terms": {"field": "people.role"}}}
    aggregations: dict[str, Any] = {"people": {"nested": {"path": "people"}, "aggs": inner}}
    for year in range(1950, 1970):
        filtered = {"filter": {"range": {"year": {"gte": year}}}, "aggs": aggregations}
        aggregations = {"since": filtered}
    pair.compare({"size": 0, "aggs": aggregations})


def _random_search(dice: random.Random, films: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "query": _random_query(dice, films, 2),
        "sort": [{"_score": {"order": "desc"}}, {"id": {"order": "asc"}}],
        "from": dice.choice([0, 0, 10]),
    }


def _deep_search(dice: random.Random, films: list[dict[str, Any]]) -> dict[str, Any]:
    query = _random_leaf(dice, films)
    # Elasticsearch takes 30 levels.
    for _ in range(dice.randrange(5, 15)):
        other = _random_leaf(dice, films)
        query = dice.choice(
            [
                {"bool": {"must": [query], "should": [other]}},
                {"bool": {"should": [query, other], "minimum_should_match": 1}},
                {"bool": {"filter": [query], "should": [other]}},
                {"bool": {"must": [{"bool": {"must_not": [query]}}], "must_not": [other]}},
                {"dis_max": {"queries": [other, query], "tie_breaker": 0.3}},
                {"constant_score": {"filter": query, "boost": 1.5}},
            ]
        )
    return {"query": query, "sort": [{"_score": {"order": "desc"}}, {"id": {"order": "asc"}}]}


def _random_query(dice: random.Random, films: list[dict[str, Any]], depth: int) -> dict[str, Any]:
    if depth == 0 or dice.random() < 0.3:
        return _random_leaf(dice, films)
    parts = [_random_query(dice, films, depth - 1) for _ in range(dice.randrange(1, 4))]
    kind = dice.choice(["must", "should", "mixed", "dis_max"])
    if kind == "dis_max":
        return {"dis_max": {"queries": parts, "tie_breaker": dice.choice([0.0, 0.5])}}
    if kind == "should":
        return {"bool": {"should": parts, "minimum_should_match": dice.randrange(len(parts) + 1)}}
    if kind == "must":
        return {"bool": {"must": parts, "boost": dice.choice([1.0, 2.5])}}
    return {
        "bool": {
            "must": parts[:1],
            "should": parts[1:],
            "filter": [_random_leaf(dice, films)] if dice.random() < 0.3 else [],
            "must_not": [_random_leaf(dice, films)],
        }
    }


def _random_leaf(dice: random.Random, films: list[dict[str, Any]]) -> dict[str, Any]:
    film = dice.choice(films)
    kind = dice.randrange(8)
    if kind == 0:
        return {"range": {"year": {"gte": film["year"], "lt": film["year"] + dice.randrange(9)}}}
    if kind == 1:
        return {"term": {"genres.keyword": dice.choice(film["genres"] or ["Drama"])}}
    name = dice.choice(TEXTS)
    if name == "people.name":
        people = film["people"] or [{"name": "john"}]
        inner = _text_leaf(dice, name, tokenizer.terms(dice.choice(people)["name"]), kind)
        mode = dice.choice(["max", "avg", "sum"])
        return {"nested": {"path": "people", "query": inner, "score_mode": mode}}
    value = film[name] or "the"
    return _text_leaf(
        dice, name, tokenizer.terms(value if isinstance(value, str) else dice.choice(value)), kind
    )


def _text_leaf(dice: random.Random, name: str, terms: list[str], kind: int) -> dict[str, Any]:
    terms = terms or ["a"]
    at = dice.randrange(len(terms))
    word = terms[at]
    if kind in (2, 3):
        return {"match_phrase": {name: {"query": word}}}
    if kind == 4:
        return {"match_phrase": {name: {"query": " ".join(terms[at : at + 3])}}}
    if kind == 5:
        some = dice.sample(terms, min(2, len(terms)))
        return {"match_phrase": {name: {"query": " ".join(some), "slop": dice.randrange(6)}}}
    if kind == 6:
        position = dice.randrange(len(word))
        typo = word[:position] + dice.choice("abxyz") + word[position + 1 :]
        return {"match": {name: {"query": typo, "fuzziness": "AUTO", "operator": "and"}}}
    return {"wildcard": {name: {"value": word[:3] + "*", "case_insensitive": True}}}
