"""Aggregations of the film catalogue: every type, compared with Python over the primary's rows."""

from __future__ import annotations

import datetime
import statistics
from collections import Counter
from typing import Any, Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyramid_sqlalchemy import metadata
from sqlalchemy import event
from webtest import TestApp

from nefertari_search_tween.search.aggregations.types import KINDS
from nefertari_search_tween.search.aggregations.unsupported import UNSUPPORTED
from tests.support.apps import Films, search_of
from tests.support.apps import films as make_films
from tests.support.reference_aggregations import (
    DAY,
    EPOCH,
    Film,
    aggregated,
    counted,
    films_of,
    request,
    same,
    units_of,
    values_of,
)
from tests.support.tiers import backend_kind, examples

pytestmark = pytest.mark.every_backend

#: what a server (as the tests start it: Elasticsearch without its modules) has not
LACKS = {
    "elasticsearch": {
        *("adjacency_matrix", "auto_date_histogram", "boxplot", "bucket_sort", "multi_terms"),
        *("cumulative_cardinality", "derivative", "matrix_stats", "moving_percentiles"),
        *("normalize", "rate", "string_stats", "top_metrics"),
    },
    "opensearch": {
        *("boxplot", "cumulative_cardinality", "moving_percentiles", "normalize"),
        *("random_sampler", "rate", "string_stats", "top_metrics"),
    },
    "embedded": set(KINDS)
    - {
        *("avg", "sum", "min", "max", "value_count", "stats", "extended_stats", "cardinality"),
        *("percentiles", "filter", "filters", "missing", "global", "nested", "reverse_nested"),
        *("terms", "range", "date_range", "histogram", "date_histogram", "top_hits"),
    },
}
LACKING = LACKS[backend_kind()]


@pytest.fixture(scope="module")
def app(loaded_films: Films) -> TestApp:
    return make_films(*loaded_films)


@pytest.fixture(scope="module")
def films(loaded_films: Films) -> list[Film]:
    return films_of(loaded_films.directory)


@pytest.fixture(scope="module")
def asked_sql(app: TestApp) -> list[str]:
    """Statements on the application's tables, since the test emptied it."""
    statements: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *arguments: Any) -> None:
        if "nefertari_search_" not in statement:
            statements.append(statement)

    event.listen(metadata.bind, "before_cursor_execute", note)
    return statements


def ask(app: TestApp, tree: Any, path: str = "/films", **params: str) -> Any:
    """The results of *tree*; the mirror's own."""
    response = app.get(request(path, tree, **params))
    assert response.headers["X-Search-Engine"] == "mirror"
    return response.json


def refused(app: TestApp, tree: Any, path: str = "/films", **params: str) -> str:
    response = app.get(request(path, tree, **params), expect_errors=True)
    assert response.status_int == 400, response.text[:300]
    assert response.headers["X-Search-Engine"] == "none; reason=bad-request"
    return str(response.json["message"])


def keys(result: Any) -> list[tuple[Any, int]]:
    return [(bucket["key"], bucket["doc_count"]) for bucket in result["buckets"]]


def values(films: list[Film], name: str) -> list[Any]:
    return [value for film in films for value in values_of(film, name)]


def percentile(numbers: list[float], percent: float) -> float:
    """Return a percentile of sorted *numbers*, interpolated between neighbours."""
    rank = (len(numbers) - 1) * percent / 100
    low = int(rank)
    high = min(low + 1, len(numbers) - 1)
    return numbers[low] + (numbers[high] - numbers[low]) * (rank - low)


def moment(day: datetime.date) -> int:
    return (day - EPOCH).days * DAY


# Every type once: what it is asked, and what must be true of the answer

Check = Callable[[Any, list[Film]], None]
CASES: dict[str, tuple[Any, Check]] = {}


def case(kind: str, body: Any, **inner: Any) -> Callable[[Check], Check]:
    def add(check: Check) -> Check:
        CASES[kind] = ({"x": {kind: body, **({"aggs": inner} if inner else {})}}, check)
        return check

    return add


def reference(kind: str, body: Any, **inner: Any) -> None:
    """The answer is what tests/support/reference_aggregations.py computes."""
    tree = {"x": {kind: body, **({"aggs": inner} if inner else {})}}

    def check(results: Any, films: list[Film]) -> None:
        same(results, aggregated(tree, units_of(films)))

    CASES[kind] = (tree, check)


reference("avg", {"field": "runtime"})
reference("sum", {"field": "oscars"})
reference("min", {"field": "released"})
reference("max", {"field": "tomato_rating"})
reference("value_count", {"field": "rating"})
reference("stats", {"field": "box_office"})
reference("cardinality", {"field": "year"})
reference("terms", {"field": "rating"}, newest={"max": {"field": "year"}})
reference("missing", {"field": "metacritic"}, years={"stats": {"field": "year"}})
reference("filter", {"term": {"title": "Heat"}}, years={"terms": {"field": "year"}})
reference("histogram", {"field": "year", "interval": 10}, won={"sum": {"field": "oscars"}})
reference("date_histogram", {"field": "released", "calendar_interval": "year"})
reference(
    "range",
    {
        "field": "runtime",
        "ranges": [{"key": "short", "to": 60}, {"key": "long", "from": 180, "to": 240}],
    },
)


@case("extended_stats", {"field": "runtime", "sigma": 3})
def _extended(results: Any, films: list[Film]) -> None:
    numbers = values(films, "runtime")
    spread = statistics.pstdev(numbers)
    assert results["x"]["count"] == len(numbers)
    assert results["x"]["std_deviation"] == pytest.approx(spread)
    assert results["x"]["variance"] == pytest.approx(spread**2)
    bounds = results["x"]["std_deviation_bounds"]
    assert bounds["upper"] == pytest.approx(statistics.fmean(numbers) + 3 * spread)


@case("percentiles", {"field": "runtime", "percents": "5,50,95"})
def _percentiles(results: Any, films: list[Film]) -> None:
    numbers = sorted(values(films, "runtime"))
    assert list(results["x"]["values"]) == ["5.0", "50.0", "95.0"]
    for percent, value in results["x"]["values"].items():
        if backend_kind() == "embedded":
            assert value == pytest.approx(percentile(numbers, float(percent)))
            continue
        # Servers estimate: a centroid of a t-digest holds 4 q (1 - q) / 100 of the values at most.
        low, high = (percentile(numbers, float(percent) + off) for off in (-1, 1))
        assert low <= value <= high


@case("percentile_ranks", {"field": "runtime", "values": "80,120"})
def _ranks(results: Any, films: list[Film]) -> None:
    numbers = values(films, "runtime")
    for value, rank in results["x"]["values"].items():
        below = sum(number < float(value) for number in numbers) / len(numbers) * 100
        upto = sum(number <= float(value) for number in numbers) / len(numbers) * 100
        assert below - 0.6 <= rank <= upto + 0.6


@case("median_absolute_deviation", {"field": "runtime"})
def _deviation(results: Any, films: list[Film]) -> None:
    numbers = values(films, "runtime")
    middle = statistics.median(numbers)
    expected = statistics.median(abs(number - middle) for number in numbers)
    assert results["x"]["value"] == pytest.approx(expected, rel=0.05)


@case("weighted_avg", {"value": {"field": "tomato_rating"}, "weight": {"field": "reviews"}})
def _weighted(results: Any, films: list[Film]) -> None:
    pairs = [(f["tomato_rating"], f["reviews"]) for f in films]
    pairs = [(value, weight) for value, weight in pairs if None not in (value, weight)]
    total = sum(value * weight for value, weight in pairs)
    assert results["x"]["value"] == pytest.approx(total / sum(weight for _, weight in pairs))


@case(
    "top_hits",
    {"size": 3, "sort": "-oscars,title", "_source": "title,oscars,director"},
)
def _top_hits(results: Any, films: list[Film]) -> None:
    best = sorted(films, key=lambda film: (-(film["oscars"] or 0), film["title"]))[:3]
    hits = results["x"]["hits"]["hits"]
    assert results["x"]["hits"]["total"]["value"] == len(films)
    assert [hit["_id"] for hit in hits] == [str(film["id"]) for film in best]
    for hit, film in zip(hits, best):
        assert set(hit) == {"_id", "_type", "_score", "sort", "_source"}
        assert hit["_type"] == "Film"
        source = hit["_source"]
        assert set(source) == {"title", "oscars", "director", "_type", "_pk"}
        assert (source["title"], source["oscars"]) == (film["title"], film["oscars"])
        assert source["director"]["name"] == film["director"]["name"]
        assert not [name for name in source["director"] if name.startswith("_ex")]


@case("global", {}, n={"value_count": {"field": "id"}})
def _global(results: Any, films: list[Film]) -> None:
    assert results == {"x": {"doc_count": len(films), "n": {"value": len(films)}}}


@case("nested", {"path": "genres"}, names={"terms": {"field": "genres.name", "size": 3}})
def _nested(results: Any, films: list[Film]) -> None:
    names = [genre["name"] for film in films for genre in film["genres"]]
    assert results["x"]["doc_count"] == len(names)
    assert keys(results["x"]["names"]) == counted(names)[:3]


@case(
    "reverse_nested",
    {},
)
def _reverse(results: Any, films: list[Film]) -> None:
    buckets = results["x"]["names"]["buckets"]
    assert len(buckets) == 4
    for bucket in buckets:
        genre_films = [
            f for f in films if bucket["key"] in [genre["name"] for genre in f["genres"]]
        ]
        assert bucket["back"]["doc_count"] == bucket["doc_count"] == len(genre_films)
        assert bucket["back"]["y"]["value"] == pytest.approx(
            statistics.fmean(values(genre_films, "year"))
        )


BACK = {"reverse_nested": {}, "aggs": {"y": {"avg": {"field": "year"}}}}
NAMES = {"terms": {"field": "genres.name", "size": 4}, "aggs": {"back": BACK}}
CASES["reverse_nested"] = (
    {"x": {"nested": {"path": "genres"}, "aggs": {"names": NAMES}}},
    _reverse,
)


@case(
    "date_range",
    {
        "field": "released",
        "format": "yyyy-MM-dd",
        "ranges": [{"to": "1950-01-01"}, {"key": "new", "from": "2000-01-01", "to": "2010-01-01"}],
    },
)
def _date_range(results: Any, films: list[Film]) -> None:
    days = [film["released"] for film in films if film["released"] is not None]
    old = sum(day < datetime.date(1950, 1, 1) for day in days)
    new = sum(datetime.date(2000, 1, 1) <= day < datetime.date(2010, 1, 1) for day in days)
    assert keys(results["x"]) == [("*-1950-01-01", old), ("new", new)]


@case("auto_date_histogram", {"field": "released", "buckets": 10})
def _auto(results: Any, films: list[Film]) -> None:
    buckets = results["x"]["buckets"]
    assert 1 <= len(buckets) <= 10
    assert sum(bucket["doc_count"] for bucket in buckets) == len(values(films, "released"))


@case("variable_width_histogram", {"field": "year", "buckets": 4})
def _variable(results: Any, films: list[Film]) -> None:
    buckets = results["x"]["buckets"]
    assert len(buckets) == 4
    years = values(films, "year")
    assert sum(bucket["doc_count"] for bucket in buckets) == len(years)
    assert (buckets[0]["min"], buckets[-1]["max"]) == (min(years), max(years))


@case("rare_terms", {"field": "rating", "max_doc_count": 60})
def _rare(results: Any, films: list[Film]) -> None:
    counts = Counter(values(films, "rating"))
    rare = sorted((count, key) for key, count in counts.items() if count <= 60)
    assert keys(results["x"]) == [(key, count) for count, key in rare]


@case("significant_terms", {"field": "year", "size": 1})
def _significant(results: Any, films: list[Film]) -> None:
    # Everything is found: nothing is more frequent than elsewhere. See the test below, too.
    assert results["x"] == {"doc_count": len(films), "bg_count": len(films), "buckets": []}


@case("significant_text", {"field": "title", "size": 1})
def _significant_text(results: Any, films: list[Film]) -> None:
    assert results["x"] == {"doc_count": len(films), "bg_count": len(films), "buckets": []}


@case("multi_terms", {"terms": [{"field": "rating"}, {"field": "year"}], "size": 5})
def _multi(results: Any, films: list[Film]) -> None:
    pairs = Counter((f["rating"], f["year"]) for f in films if f["rating"] and f["year"])
    best = sorted(pairs.values(), reverse=True)[:5]
    assert [bucket["doc_count"] for bucket in results["x"]["buckets"]] == best
    for bucket in results["x"]["buckets"]:
        assert pairs[tuple(bucket["key"])] == bucket["doc_count"]


@case(
    "composite",
    {"sources": [{"r": {"terms": {"field": "rating"}}}], "size": 4, "after": {"r": "GP"}},
    years={"max": {"field": "year"}},
)
def _composite(results: Any, films: list[Film]) -> None:
    counts = sorted(Counter(values(films, "rating")).items())
    after = [(key, count) for key, count in counts if key > "GP"][:4]
    assert [(b["key"]["r"], b["doc_count"]) for b in results["x"]["buckets"]] == after
    assert results["x"]["after_key"] == {"r": after[-1][0]}
    for bucket in results["x"]["buckets"]:
        years = [f["year"] for f in films if f["rating"] == bucket["key"]["r"] and f["year"]]
        assert bucket["years"]["value"] == max(years)


@case(
    "filters",
    {
        "filters": {
            "heat": {"term": {"title": "Heat"}},
            "kubrick": {"query_string": {"query": "director.name:(stanley kubrick)"}},
        },
        "other_bucket": True,
    },
)
def _filters(results: Any, films: list[Film]) -> None:
    heat = {film["id"] for film in films if film["title"] == "Heat"}
    kubrick = {
        film["id"] for film in films if film["director"] and film["director"]["name"] == KUBRICK
    }
    counts = {name: bucket["doc_count"] for name, bucket in results["x"]["buckets"].items()}
    rest = len(films) - len(heat | kubrick)
    assert counts == {"heat": len(heat), "kubrick": len(kubrick), "_other_": rest}


KUBRICK = "Stanley Kubrick"


@case(
    "adjacency_matrix",
    {"filters": {"new": {"range": {"year": {"gte": 2000}}}, "r": {"term": {"rating": "R"}}}},
)
def _adjacency(results: Any, films: list[Film]) -> None:
    new = {film["id"] for film in films if film["year"] and film["year"] >= 2000}
    rated = {film["id"] for film in films if film["rating"] == "R"}
    assert sorted(keys(results["x"])) == sorted(
        [("new", len(new)), ("r", len(rated)), ("new&r", len(new & rated))]
    )


def _sampled(results: Any, films: list[Film]) -> None:
    assert 0 < results["x"]["doc_count"] <= 100
    assert results["x"]["n"]["value"] == results["x"]["doc_count"]


case("sampler", {"shard_size": 100}, n={"value_count": {"field": "id"}})(_sampled)
case(
    "diversified_sampler",
    {"shard_size": 100, "field": "director_id", "max_docs_per_value": 1},
    n={"value_count": {"field": "id"}},
)(_sampled)


@case("random_sampler", {"probability": 0.5, "seed": 7}, n={"value_count": {"field": "id"}})
def _random(results: Any, films: list[Film]) -> None:
    assert 0.4 < results["x"]["n"]["value"] / len(films) < 1.6


@case("matrix_stats", {"fields": "year,oscars"})
def _matrix(results: Any, films: list[Film]) -> None:
    both = [f for f in films if None not in (f["year"], f["oscars"])]
    means = {each["name"]: each["mean"] for each in results["x"]["fields"]}
    assert {each["count"] for each in results["x"]["fields"]} == {len(both)}
    assert means == {
        name: pytest.approx(statistics.fmean(film[name] for film in both))
        for name in ("year", "oscars")
    }


@case("boxplot", {"field": "year"})
def _boxplot(results: Any, films: list[Film]) -> None:
    assert results["x"]["min"] == min(values(films, "year"))


@case("string_stats", {"field": "rating"})
def _strings(results: Any, films: list[Film]) -> None:
    assert results["x"]["count"] == len(values(films, "rating"))


@case("top_metrics", {"metrics": {"field": "year"}, "sort": "-oscars"})
def _top_metrics(results: Any, films: list[Film]) -> None:
    assert results["x"]["top"]


# Pipelines work on the years of the two decades here.
DECADES = {
    "histogram": {"field": "year", "interval": 10},
    "aggs": {"won": {"sum": {"field": "oscars"}}},
}


def _won(films: list[Film]) -> list[float]:
    sums: dict[int, float] = {}
    for film in films:
        if film["year"] is not None:
            decade = film["year"] // 10
            sums[decade] = sums.get(decade, 0) + (film["oscars"] or 0)
    return [sums[decade] for decade in sorted(sums)]


def beside(kind: str, expected: Callable[[list[float]], Any], **options: Any) -> None:
    """A pipeline that stands beside what it works on."""
    tree = {"years": DECADES, "x": {kind: {"buckets_path": "years>won", **options}}}

    def check(results: Any, films: list[Film]) -> None:
        fields = expected(_won(films))
        assert {name: results["x"][name] for name in fields} == {
            name: pytest.approx(each) for name, each in fields.items()
        }

    CASES[kind] = (tree, check)


beside("avg_bucket", lambda won: {"value": statistics.fmean(won)})
beside("sum_bucket", lambda won: {"value": sum(won)})
beside("min_bucket", lambda won: {"value": min(won)})
beside("max_bucket", lambda won: {"value": max(won)})
beside("stats_bucket", lambda won: {"count": len(won), "sum": sum(won), "min": min(won)})
beside("extended_stats_bucket", lambda won: {"std_deviation": statistics.pstdev(won)})
beside("percentiles_bucket", lambda won: {"values": {"100.0": max(won)}}, percents="100")


def within(
    kind: str, options: Any, expected: Callable[[list[float]], list[Any]], name: str = "value"
) -> None:
    """A pipeline that stands inside of the buckets that it works on."""
    inner = {**DECADES["aggs"], "p": {kind: options}}
    tree = {"x": {**DECADES, "aggs": inner}}

    def check(results: Any, films: list[Film]) -> None:
        got = [bucket["p"][name] for bucket in results["x"]["buckets"] if "p" in bucket]
        assert got == [pytest.approx(each) for each in expected(_won(films))]

    CASES[kind] = (tree, check)


def _steps(won: list[float]) -> list[float]:
    return [after - before for before, after in zip(won, won[1:])]


within("derivative", {"buckets_path": "won"}, _steps)
within("serial_diff", {"buckets_path": "won", "lag": 1}, _steps)
within(
    "cumulative_sum",
    {"buckets_path": "won"},
    lambda won: [sum(won[: at + 1]) for at in range(len(won))],
)
within(
    "normalize",
    {"buckets_path": "won", "method": "percent_of_sum"},
    lambda won: [each / sum(won) for each in won],
)
within("moving_percentiles", {"buckets_path": "won", "window": 2}, lambda won: [])
within("cumulative_cardinality", {"buckets_path": "won"}, lambda won: [])
within("rate", {"unit": "year"}, lambda won: [])


@case("bucket_sort", {})
def _bucket_sort(results: Any, films: list[Film]) -> None:
    won = [bucket["won"]["value"] for bucket in results["x"]["buckets"]]
    assert won == sorted(_won(films), reverse=True)[:2]


CASES["bucket_sort"] = (
    {
        "x": {
            **DECADES,
            "aggs": {**DECADES["aggs"], "p": {"bucket_sort": {"sort": "-won", "size": 2}}},
        }
    },
    _bucket_sort,
)


def test_every_type_has_a_case():
    assert set(CASES) == set(KINDS)
    assert not set(KINDS) & set(UNSUPPORTED)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_type(kind: str, app: TestApp, films: list[Film], asked_sql: list[str]):
    tree, check = CASES[kind]
    if kind in LACKING:
        message = refused(app, tree)
        assert message.startswith("Bad parameter '_aggs.")
        assert f"aggregation '{kind}'" in message or f"aggregations of type '{kind}'" in message
        return
    del asked_sql[:]
    results = ask(app, tree)
    assert not asked_sql
    check(results, films)


@pytest.mark.parametrize("kind", sorted(UNSUPPORTED))
def test_a_type_that_there_is_not(kind: str, app: TestApp):
    message = refused(app, {"x": {kind: {"field": "year"}}})
    expected = f"there are no aggregations of type '{kind}' here: {UNSUPPORTED[kind]}"
    assert message == f"Bad parameter '_aggs.x.{kind}': {expected}"


# Nested documents


def test_nested_fields_need_no_nested(app: TestApp, films: list[Film]):
    """The result stands where the caller asked for it; documents counted are the nested ones."""
    tree = {"g": {"terms": {"field": "genres.name", "size": 5}}}
    results = ask(app, tree)
    same(results, aggregated(tree, units_of(films)))
    assert set(results["g"]) == {"buckets", "sum_other_doc_count", "doc_count_error_upper_bound"}


@pytest.mark.parametrize(
    "tree",
    [
        # From nested documents back to films, and on to other nested documents.
        {"g": {"terms": {"field": "genres.name"}, "aggs": {"y": {"stats": {"field": "year"}}}}},
        {
            "g": {
                "terms": {"field": "genres.name", "size": 3},
                "aggs": {"d": {"terms": {"field": "director.name", "size": 2}}},
            }
        },
        {
            "y": {
                "terms": {"field": "year", "size": 3},
                "aggs": {
                    "g": {
                        "terms": {"field": "genres.name", "size": 3},
                        "aggs": {"r": {"terms": {"field": "rating"}}},
                    }
                },
            }
        },
        {"f": {"filter": {"term": {"director.name": "Alfred Hitchcock"}}}},
        {
            "g": {
                "terms": {"field": "genres.name", "size": 3},
                "aggs": {
                    "n": {"filter": {"range": {"year": {"gte": 1990, "lt": 2000}}}},
                    "h": {"filter": {"term": {"director.name": "Alfred Hitchcock"}}},
                },
            }
        },
        {"m": {"missing": {"field": "director.name"}}, "e": {"missing": {"field": "genres.name"}}},
        {"i": {"max": {"field": "director.id"}}, "c": {"cardinality": {"field": "genres.name"}}},
    ],
)
def test_nested_documents(tree: Any, app: TestApp, films: list[Film], asked_sql: list[str]):
    del asked_sql[:]
    results = ask(app, tree)
    assert not asked_sql
    same(results, aggregated(tree, units_of(films)))


def test_a_condition_on_the_nested_documents_themselves(app: TestApp, films: list[Film]):
    tree = {
        "g": {
            "nested": {"path": "genres"},
            "aggs": {"d": {"filter": {"term": {"genres.name": "Drama"}}}},
        }
    }
    names = [genre["name"] for film in films for genre in film["genres"]]
    assert ask(app, tree)["g"] == {
        "doc_count": len(names),
        "d": {"doc_count": names.count("Drama")},
    }


def test_buckets_ordered_by_what_is_around_the_nested_documents(app: TestApp, films: list[Film]):
    tree = {
        "g": {
            "terms": {"field": "genres.name", "size": 30, "order": {"s.avg": "desc"}},
            "aggs": {"s": {"stats": {"field": "year"}}},
        }
    }
    buckets = ask(app, tree)["g"]["buckets"]
    averages = [bucket["s"]["avg"] for bucket in buckets]
    assert len(averages) == len({genre["name"] for film in films for genre in film["genres"]})
    assert averages == sorted(averages, reverse=True)


@pytest.mark.skipif("avg_bucket" in LACKING, reason="this backend has no pipelines")
def test_a_pipeline_through_nested_documents(app: TestApp, backend_url: str):
    tree = {
        "g": {
            "terms": {"field": "genres.name", "size": 3},
            "aggs": {"y": {"avg": {"field": "year"}}},
        },
        "all": {"avg_bucket": {"buckets_path": "g>y"}},
    }
    if backend_url.startswith("opensearch"):
        # Its pipelines don't look through a bucket that is alone (docs/aggregations.rst).
        assert "must be a multi-bucket aggregation" in refused(app, tree)
        return
    results = ask(app, tree)
    averages = [bucket["y"]["value"] for bucket in results["g"]["buckets"]]
    assert results["all"]["value"] == pytest.approx(statistics.fmean(averages))


def test_equal_hits_go_by_their_keys(app: TestApp, films: list[Film]):
    """And show of their order what was asked for: a score, when it was nothing."""
    ids = sorted(film["id"] for film in films if film["oscars"] == 0)
    tree = {"x": {"top_hits": {"size": 9, "sort": "oscars", "_source": "title"}}}
    hits = ask(app, tree, oscars="0")["x"]["hits"]["hits"]
    assert [hit["_id"] for hit in hits] == [str(each) for each in ids[:9]]
    assert all(hit["sort"] == [0] and hit["_score"] is None for hit in hits)
    tree["x"]["top_hits"] = {"size": 9, "_source": "title"}
    result = ask(app, tree, oscars="0")["x"]["hits"]
    assert [hit["_id"] for hit in result["hits"]] == [str(each) for each in ids[:9]]
    assert all(set(hit) == {"_id", "_type", "_score", "_source"} for hit in result["hits"])
    assert result["max_score"] == result["hits"][0]["_score"] > 0


def test_documents_of_nested_buckets_are_the_collections(app: TestApp, films: list[Film]):
    """Nobody said `nested`: what is shown is what the collection is made of."""
    tree = {
        "g": {
            "terms": {"field": "genres.name", "size": 2},
            "aggs": {"best": {"top_hits": {"size": 1, "sort": "-oscars,id"}}},
        }
    }
    for bucket in ask(app, tree)["g"]["buckets"]:
        genre_films = [
            f for f in films if bucket["key"] in [genre["name"] for genre in f["genres"]]
        ]
        best = min(genre_films, key=lambda film: (-(film["oscars"] or 0), film["id"]))
        (hit,) = bucket["best"]["hits"]["hits"]
        assert hit["_source"]["title"] == best["title"]
        assert not {"_exact", "_inexact", "_rejected"} & set(hit["_source"])


# What of the collection is aggregated


@pytest.mark.parametrize(
    ("path", "params", "condition"),
    [
        ("/films", {"year": "1999"}, lambda film: film["year"] == 1999),
        ("/films", {"year": ">=2010", "rating": "PG-13"}, None),
        ("/films", {"q": "title:heat"}, None),
        ("/films", {"director.name": "kubrick"}, None),
        ("/search", {"title": "godfather"}, None),
        ("/search", {"director.name": "kubrick"}, None),
        # The view's own narrowing counts, too.
        ("/people/7437/films", {}, lambda film: film["director_id"] == 7437),
        ("/people/7437/films", {"director_id": "7438"}, None),
        ("/people/7437/films", {"year": ">=1980"}, None),
        ("/films", {"year": "2999"}, lambda film: False),
    ],
)
def test_filters_apply(
    path: str, params: dict[str, str], condition: Any, app: TestApp, films: list[Film]
):
    tree = {
        "y": {"terms": {"field": "year", "size": 5}},
        "d": {"cardinality": {"field": "director_id"}},
    }
    results = ask(app, tree, path, **params)
    if condition is None:
        # The films that a search with the same parameters finds, one by one.
        searched = app.get(
            request(path, {}, _limit="9000", _search="true", **params)[: -len("&_aggs=")]
        )
        ids = {item["id"] for item in searched.json["data"]}
        assert len(ids) == searched.json["total"]
        condition = lambda film: film["id"] in ids  # noqa: E731
    same(results, aggregated(tree, units_of([film for film in films if condition(film)])))


def test_pages_sorts_and_fields_do_not_matter(app: TestApp):
    tree = {"y": {"terms": {"field": "year"}}}
    plain = ask(app, tree)
    assert ask(app, tree, _limit="1", _start="3", _sort="-year", _fields="title") == plain
    assert ask(app, tree, _count="") == plain


def test_global_stays_within_the_views_own_collection(app: TestApp, films: list[Film]):
    tree = {"all": {"global": {}, "aggs": {"n": {"value_count": {"field": "id"}}}}}
    own = sum(film["director_id"] == 7437 for film in films)
    results = ask(app, tree, "/people/7437/films", year="1979")
    assert results == {"all": {"doc_count": own, "n": {"value": own}}}


@pytest.mark.skipif("significant_terms" in LACKING, reason="this backend has them not")
def test_what_is_usual_is_counted_within_the_views_own_collection(app: TestApp, films: list[Film]):
    tree = {"s": {"significant_terms": {"field": "rating"}}}
    own = [film for film in films if film["director_id"] == 7437]
    results = ask(app, tree, "/people/7437/films", year="[1970 TO 1979]")
    assert results["s"]["bg_count"] == len(own)
    tree["s"]["significant_terms"]["background_filter"] = {"exists": {"field": "rating"}}
    results = ask(app, tree, "/people/7437/films", year="[1970 TO 1979]")
    assert results["s"]["bg_count"] == sum(film["rating"] is not None for film in own)


def test_the_long_name_and_the_flag(app: TestApp):
    short = app.get("/films?_aggs.y.avg.field=year")
    long = app.get("/films?_aggregations.y.avg.field=year&_search=true")
    assert short.json == long.json
    assert long.headers["X-Search-Engine"] == "mirror"
    assert "search-backend" in long.headers["Server-Timing"]


def test_head_is_get_without_a_body(app: TestApp):
    got = app.get("/films?_aggs.y.avg.field=year")
    head = app.head("/films?_aggs.y.avg.field=year")
    assert (head.status_int, head.body) == (200, b"")
    assert head.headers["X-Search-Engine"] == got.headers["X-Search-Engine"] == "mirror"
    assert app.head("/films?_aggs.y.avg.field=nope", expect_errors=True).status_int == 400


def test_old_names_still_work(app: TestApp):
    """What Elasticsearch 1 and 2 called differently."""
    new = {"d": {"date_histogram": {"field": "released", "calendar_interval": "year"}}}
    old = {"d": {"date_histogram": {"field": "released", "interval": "year"}}}
    assert ask(app, old, year="1999") == ask(app, new, year="1999")
    days = {"d": {"date_histogram": {"field": "released", "fixed_interval": "30d"}}}
    assert ask(app, {"d": {"date_histogram": {"field": "released", "interval": "30d"}}}) == ask(
        app, days
    )
    by_key = {"t": {"terms": {"field": "rating", "order": {"_key": "asc"}}}}
    assert ask(app, {"t": {"terms": {"field": "rating", "order": {"_term": "asc"}}}}) == ask(
        app, by_key
    )
    raw = {"t": {"terms": {"field": "rating.keyword", "order": {"_key": "asc"}}}}
    assert ask(app, raw) == ask(app, by_key)
    hits = {"t": {"top_hits": {"_source": {"include": "title"}, "size": 1}}}
    (hit,) = ask(app, hits, title="vertigo")["t"]["hits"]["hits"]
    assert set(hit["_source"]) == {"title", "_type", "_pk"}


# Anything at all, against Python

FIELDS = ["year", "runtime", "oscars", "meter", "metacritic"]
TEXTS = ["rating", "genres.name", "director.name", "title"]
metrics = st.builds(
    lambda kind, field: {kind: {"field": field}},
    st.sampled_from(["avg", "sum", "min", "max", "stats", "value_count", "cardinality"]),
    st.sampled_from([*FIELDS, "director.id", "genres.id", "released"]),
)
bodies = st.one_of(
    st.builds(
        lambda field, size, order: {"terms": {"field": field, "size": size, "order": order}},
        st.sampled_from([*TEXTS, "year", "countries", "oscars"]),
        st.integers(1, 6),
        st.sampled_from([{"_count": "desc"}, {"_key": "asc"}, {"_key": "desc"}]),
    ),
    st.builds(
        lambda field, interval, least: {
            "histogram": {"field": field, "interval": interval, "min_doc_count": least}
        },
        st.sampled_from(FIELDS),
        st.sampled_from([1, 7, 25]),
        st.integers(0, 2),
    ),
    st.just({"date_histogram": {"field": "released", "calendar_interval": "year"}}),
    st.builds(
        lambda field, low, width: {
            "range": {
                "field": field,
                "ranges": [
                    {"key": "low", "to": low},
                    {"key": "mid", "from": low, "to": low + width},
                ],
            }
        },
        st.sampled_from(FIELDS),
        st.integers(-1, 2000),
        st.integers(1, 60),
    ),
    st.builds(
        lambda field: {"missing": {"field": field}},
        st.sampled_from([*FIELDS, *TEXTS, "released", "countries"]),
    ),
    st.sampled_from(
        [
            {"filter": {"term": {"rating": "R"}}},
            {"filter": {"term": {"genres.name": "Drama"}}},
            {"filter": {"range": {"runtime": {"gte": 100, "lt": 150}}}},
            {"filter": {"exists": {"field": "oscars"}}},
            {"filter": {"exists": {"field": "director.name"}}},
        ]
    ),
)
trees = st.recursive(
    st.dictionaries(st.sampled_from("mn"), metrics, min_size=1, max_size=2),
    lambda inner: st.dictionaries(
        st.sampled_from("ab"),
        st.builds(lambda body, aggs: {**body, "aggs": aggs}, bodies, inner),
        min_size=1,
        max_size=2,
    ),
    max_leaves=4,
)


@settings(
    max_examples=examples(100),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(tree=trees, year=st.integers(1940, 2014), years=st.integers(0, 3))
def test_any_aggregations(
    tree: Any, year: int, years: int, app: TestApp, films: list[Film], asked_sql: list[str]
):
    del asked_sql[:]
    results = ask(app, tree, year=f"[{year} TO {year + years}]")
    assert not asked_sql
    matches = [film for film in films if film["year"] and year <= film["year"] <= year + years]
    same(results, aggregated(tree, units_of(matches)))


# What is refused, by name


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"x": {"terms": {"field": "nope"}}}, "'_aggs.x.terms.field': there is no field 'nope'"),
        ({"x": {"terms": {}}}, "'_aggs.x.terms.field': it is missing"),
        ({"x": {"terms": {"field": "director.nope"}}}, "there is no field 'director.nope'"),
        ({"x": {"terms": {"field": "_exact.released"}}}, "there is no field '_exact.released'"),
        ({"x": {"terms": {"field": "_inexact"}}}, "there is no field '_inexact'"),
        ({"x": {"terms": {"field": "*"}}}, "there is no field '*'"),
        ({"x": {"terms": {"field": "year,title"}}}, "there is no field 'year,title'"),
        ({"x": {"terms": {"field": ["year", "title"]}}}, "the name of one field is expected"),
        ({"x": {"nosuch": {"field": "year"}}}, "there is no aggregation of type 'nosuch'"),
        ({"x": {"terms": {"field": "year", "nosuch": 1}}}, "'_aggs.x.terms.nosuch': there is no"),
        ({"x": {"terms": {"field": "year", "script": "1"}}}, "scripts are never run"),
        ({"x": {"terms": {"script": {"source": "1"}}}}, "scripts are never run"),
        ({"x": {"avg": {"script": "doc.year"}}}, "'_aggs.x.avg.script': scripts are never run"),
        ({"x": {"filter": {"script": {"script": "1"}}}}, "there is no such query"),
        ({"x": {"filter": {"term": {"nope": 1}}}}, "'_aggs.x.filter.term.nope'"),
        ({"x": {"filter": {"term": {"year": "abc"}}}}, "'abc' is not a whole number"),
        ({"x": {"filter": {"range": {"year": {"above": 1}}}}}, "there is no such bound"),
        ({"x": {"filter": {"exists": {"field": "nope"}}}}, "there is no field 'nope'"),
        ({"x": {"filter": {"query_string": {"query": "nope:1"}}}}, "has no field 'nope'"),
        ({"x": {"filter": {"query_string": {"query": "a AND"}}}}, "Syntax error"),
        ({"x": {"filter": {"wildcard": {"title": "*a"}}}}, "there is no such query"),
        ({"x": {"filter": "year"}}, "one query is expected"),
        ({"x": {"top_hits": {"sort": "nope"}}}, "there is no field 'nope'"),
        ({"x": {"top_hits": {"_source": "nope"}}}, "there is no field 'nope'"),
        ({"x": {"top_hits": {"size": 101}}}, "it must be at least 0 and at most 100"),
        ({"x": {"top_hits": {"highlight": {"fields": "title"}}}}, "there is no such option"),
        ({"x": {"top_hits": {"script_fields": {"a": 1}}}}, "there is no such option"),
        ({"x": {"top_hits": {"explain": True}}}, "there is no such option"),
        ({"x": {"avg": {"field": "title"}}}, "'title' holds text"),
        ({"x": {"date_histogram": {"field": "year", "interval": "year"}}}, "'year' holds numbers"),
        ({"x": {"histogram": {"field": "year", "interval": 0}}}, "it must be above 0"),
        ({"x": {"histogram": {"field": "year", "interval": "ten"}}}, "'ten' is not a number"),
        ({"x": {"histogram": {"field": "year", "interval": "nan"}}}, "'nan' is not a number"),
        ({"x": {"histogram": {"field": "year"}}}, "'_aggs.x.histogram.interval': it is missing"),
        ({"x": {"date_histogram": {"field": "released"}}}, "calendar_interval or fixed_interval"),
        (
            {"x": {"date_histogram": {"field": "released", "interval": "month or so"}}},
            "'month or so' is not a number and ms, s, m, h or d",
        ),
        ({"x": {"percentiles": {"field": "year", "percents": "50,200"}}}, "at most 100"),
        ({"x": {"terms": {"field": "year", "size": 0}}}, "it must be 1 to 10000"),
        ({"x": {"terms": {"field": "year", "size": 10_001}}}, "nefertari_search.max_buckets"),
        ({"x": {"terms": {"field": "year", "size": "many"}}}, "'many' is not a whole number"),
        ({"x": {"terms": {"field": "year", "min_doc_count": 0}}}, "it is at least 1 here"),
        ({"x": {"terms": {"field": "year", "order": {"y": "asc"}}}}, "there is no aggregation 'y'"),
        ({"x": {"terms": {"field": "year", "order": {"_key": "up"}}}}, "'up' is none of asc, desc"),
        ({"x": {"terms": {"field": "rating", "include": "P.*"}}}, "regular expression"),
        ({"x": {"terms": {"field": "rating", "missing": {"a": 1}}}}, "one text is expected"),
        ({"x": {"nested": {"path": "nope"}}}, "there is no field 'nope._pk'"),
        ({"x": {"nested": {"path": "countries"}}}, "there is no field 'countries._pk'"),
        ({"x": {"reverse_nested": {}}}, "it must be inside of nested documents"),
        ({"x": {"sampler": {}}}, "it needs aggregations inside"),
        (
            {"x": {"avg": {"field": "year"}, "aggs": {"y": {"avg": {"field": "year"}}}}},
            "it can't have aggregations inside",
        ),
        (
            {
                "x": {
                    "variable_width_histogram": {"field": "year"},
                    "aggs": {"y": {"avg": {"field": "year"}}},
                }
            },
            "it can't have aggregations inside: servers give them documents of other buckets",
        ),
        (
            {"x": {"terms": {"field": "year"}, "aggs": {"g": {"global": {}}}}},
            "it must be at the top level",
        ),
        (
            {
                "x": {
                    "terms": {"field": "year"},
                    "aggs": {
                        "s": {
                            "random_sampler": {"probability": 0.5},
                            "aggs": {"y": {"avg": {"field": "year"}}},
                        }
                    },
                }
            },
            "it must be at the top level",
        ),
        (
            {"x": {"terms": {"field": "year"}, "aggs": {"key": {"avg": {"field": "year"}}}}},
            "'key' is a reserved name in buckets",
        ),
        ({"x": {"avg": {"field": "year"}, "max": {"field": "year"}}}, "one type is expected"),
        ({"x": {"aggs": {"y": {"avg": {"field": "year"}}}}}, "one type is expected"),
        ({"a[b]": {"avg": {"field": "year"}}}, "an aggregation needs a name, without"),
        ({"x": {"avg_bucket": {"buckets_path": "y>z"}}}, "there is no aggregation 'y' there"),
        (
            {
                "x": {
                    "composite": {
                        "sources": [
                            {"a": {"terms": {"field": "year"}}},
                            {"b": {"terms": {"field": "genres.name"}}},
                        ]
                    }
                }
            },
            "fields of different documents can't be combined: genres.name, year",
        ),
        ({"x": {"composite": {"sources": [{"a": {"geotile_grid": {}}}]}}}, "there is no such"),
    ],
    ids=str,
)
def test_what_is_refused(tree: Any, message: str, app: TestApp):
    error = refused(app, tree)
    assert error.startswith("Bad parameter '_aggs")
    assert message in error


def test_sizes_multiply(app: TestApp):
    inner = {"r": {"terms": {"field": "rating", "size": 101}}}
    tree = {"y": {"terms": {"field": "year", "size": 100}, "aggs": inner}}
    message = refused(app, tree)
    assert message == (
        "Bad parameter '_aggs.y.aggs.r.terms.size': 10100 buckets in all, 10000 are allowed "
        "(nefertari_search.max_buckets)"
    )
    inner["r"]["terms"]["size"] = 100
    assert len(ask(app, tree)["y"]["buckets"]) > 50


def test_too_many_and_too_deep(app: TestApp):
    many = {f"a{at}": {"avg": {"field": "year"}} for at in range(101)}
    assert "more than 100 aggregations" in refused(app, many)
    deep: Any = {"x": {"avg": {"field": "year"}}}
    for _ in range(10):
        deep = {"x": {"missing": {"field": "year"}, "aggs": deep}}
    assert "nested deeper than 10" in refused(app, deep)


def test_what_the_server_refuses_is_told(app: TestApp, backend_url: str):
    tree = {"x": {"histogram": {"field": "year", "interval": 0.001}}}
    assert "too many buckets" in refused(app, tree)
    assert ask(app, {"x": {"avg": {"field": "year"}}})["x"]["value"] > 1900


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("_aggs.x.avg.field=year&_aggs.x.avg=1", "'_aggs.x.avg': 'avg' has a value, and names"),
        ("_aggs.x.avg=1&_aggs.x.avg.field=year", "'_aggs.x.avg.field': 'avg' has a value"),
        ("_aggs.x.avg.field=year&_aggs.x.avg.field=year", "the name of one field is expected"),
        ("_aggs..avg.field=year", "'_aggs..avg.field': a name between its dots is empty"),
        ("_aggs=", "'_aggs': aggregations are expected"),
        ("_aggs.x.avg.field=year&_search=false", "'_search': the database has no aggregations"),
        ("_aggs.x.avg.field=year&nope=1", "'nope': Film has no field of that name"),
        ("_aggs.x.avg.field=year&_aggregations.y.avg.field=year", "'_aggs': given beside"),
    ],
)
def test_a_query_string_that_is_refused(query: str, message: str, app: TestApp):
    response = app.get(f"/films?{query}", expect_errors=True)
    assert response.status_int == 400
    assert message in response.json["message"]


# Python


def test_from_python(app: TestApp, films: list[Film]):
    from nefertari.elasticsearch import ES

    tree = {"y": {"terms": {"field": "year", "size": 3}}, "o": {"sum": {"field": "oscars"}}}
    results = ES("Film").aggregate(_aggregations_params=tree, rating="R")
    rated = [film for film in films if film["rating"] == "R"]
    same(results, aggregated(tree, units_of(rated)))
    with pytest.raises(Exception, match="Missing _aggregations_params"):
        ES("Film").aggregate(rating="R")
    with pytest.raises(Exception, match="there is no field 'nope'"):
        ES("Film").aggregate(_aggregations_params={"y": {"avg": {"field": "nope"}}})
    # The caller's own object is left as it was.
    assert tree["y"]["terms"] == {"field": "year", "size": 3}


def test_max_buckets_is_a_setting(app: TestApp):
    search = search_of(app)
    before = search.settings.max_buckets
    search.settings.max_buckets = 5
    try:
        assert "it must be 1 to 5" in refused(app, {"x": {"terms": {"field": "year", "size": 6}}})
        assert "10 buckets in all, 5 are" in refused(app, {"x": {"terms": {"field": "year"}}})
    finally:
        search.settings.max_buckets = before
