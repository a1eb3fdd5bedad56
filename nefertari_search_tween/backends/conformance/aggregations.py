"""Aggregations on the films: their results, in the shape of Elasticsearch's responses."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from nefertari_search_tween.backends.conformance.base_case import Cases
from nefertari_search_tween.backends.conformance.corpus import Index, by_key

Options = dict[str, Any]
Counts = dict[Any, int]

AVERAGE = pytest.approx(20024 / 11)
JUNE, JUNE_MS = "2001-06-01", 991_353_600_000.0
JAPANESE = {"term": {"country": "Japan"}}
KNIGHT = {"match_phrase": {"title": {"query": "knight"}}}


def term_buckets(others: int, counts: Counts) -> dict[str, Any]:
    """Return the result of a ``terms`` aggregation.

    :param others: documents in none of its buckets.
    """
    buckets = [{"key": key, "doc_count": count} for key, count in counts.items()]
    return {"doc_count_error_upper_bound": 0, "sum_other_doc_count": others, "buckets": buckets}


#: type and options of an aggregation, its whole result
RESULTS: list[tuple[str, Options, dict[str, Any]]] = [
    # the counter of the exact reads
    ("filter", {"terms": {"_inexact": ["*", "title", "year"]}}, {"doc_count": 1}),
    ("missing", {"field": "seen"}, {"doc_count": 4}),
    ("terms", {"field": "country"},
        term_buckets(0, {"United States": 4, "Japan": 2, "": 1, "France": 1, "Russia": 1})),
    ("terms", {"field": "country", "size": 2}, term_buckets(3, {"United States": 4, "Japan": 2})),
    ("terms", {"field": "seen"},
        {**term_buckets(0, {}), "buckets": [
            {"key": 1, "key_as_string": "true", "doc_count": 5},
            {"key": 0, "key_as_string": "false", "doc_count": 3}]}),
    ("range", {"field": "year", "ranges": [
            {"to": 2001}, {"from": 2001, "to": 2008}, {"key": "new", "from": 2008}]},
        {"buckets": [
            {"key": "*-2001.0", "to": 2001.0, "doc_count": 2},
            {"key": "2001.0-2008.0", "from": 2001.0, "to": 2008.0, "doc_count": 5},
            {"key": "new", "from": 2008.0, "doc_count": 4}]}),
    ("range", {"field": "rating", "keyed": True, "ranges": [{"to": 7}, {"from": 7}]},
        {"buckets": {
            "*-7.0": {"to": 7.0, "doc_count": 4}, "7.0-*": {"from": 7.0, "doc_count": 7}}}),
    ("date_range",
        {"field": "released", "format": "yyyy-MM-dd", "ranges": [{"to": JUNE}, {"from": JUNE}]},
        {"buckets": [
            {"key": f"*-{JUNE}", "to": JUNE_MS, "to_as_string": JUNE, "doc_count": 2},
            {"key": f"{JUNE}-*", "from": JUNE_MS, "from_as_string": JUNE, "doc_count": 4}]}),
    ("date_range",
        {"field": "released", "format": "yyyy-MM-dd",
         "ranges": [{"to": f"{JUNE}||+20d/M"}, {"from": "2001-05-31||+1d"}]},
        {"buckets": [
            {"key": f"*-{JUNE}", "to": JUNE_MS, "to_as_string": JUNE, "doc_count": 2},
            {"key": f"{JUNE}-*", "from": JUNE_MS, "from_as_string": JUNE, "doc_count": 4}]}),
    ("filters", {"filters": {"knights": KNIGHT, "japan": JAPANESE}},
        {"buckets": {"japan": {"doc_count": 2}, "knights": {"doc_count": 3}}}),
    ("filters", {"filters": [JAPANESE, {"term": {"seen": True}}], "other_bucket": True},
        {"buckets": [{"doc_count": 2}, {"doc_count": 5}, {"doc_count": 7}]}),
    ("date_histogram", {"field": "released", "calendar_interval": "year", "min_doc_count": 1},
        {"buckets": [
            {"key": millis, "key_as_string": f"{year}-01-01T00:00:00.000Z", "doc_count": count}
            for millis, year, count in (
                (378_691_200_000, 1982, 1), (978_307_200_000, 2001, 2),
                (1_199_145_600_000, 2008, 2), (1_262_304_000_000, 2010, 1))]}),
    ("min", {"field": "year"}, {"value": -5.0}),
    ("max", {"field": "year"}, {"value": 2012.0}),
    ("sum", {"field": "year"}, {"value": 20024.0}),
    ("avg", {"field": "year"}, {"value": AVERAGE}),
    ("value_count", {"field": "year"}, {"value": 11}),
    ("stats", {"field": "year"},
        {"count": 11, "min": -5.0, "max": 2012.0, "avg": AVERAGE, "sum": 20024.0}),
    ("min", {"field": "released"},
        {"value": 408_931_200_000.0, "value_as_string": "1982-12-17T00:00:00.000Z"}),
    ("cardinality", {"field": "country"}, {"value": 5}),
    ("cardinality", {"field": "genres.keyword"}, {"value": 5}),
    ("cardinality", {"field": "year"}, {"value": 8}),
    ("cardinality", {"field": "seen"}, {"value": 2}),
    ("cardinality", {"field": "no_such_field"}, {"value": 0}),
]  # fmt: skip

MOST_FIRST = [{"_count": "desc"}, {"_key": "desc"}]
#: field and options of a ``terms`` aggregation, its buckets
TERMS: list[tuple[str, Options, Counts]] = [
    ("no_such_field", {}, {}),
    ("genres.keyword", {}, {"action": 3, "animation": 2, "drama": 2, "family": 2, "comedy": 1}),
    ("year", {"size": 3}, {2001: 3, 2008: 2, -5: 1}),
    ("rating", {"size": 1}, {8.6: 2}),
    ("country", {"order": {"_key": "asc"}, "size": 3}, {"": 1, "France": 1, "Japan": 2}),
    ("country", {"order": {"_key": "desc"}, "size": 2}, {"United States": 4, "Russia": 1}),
    (
        "country",
        {"order": {"_count": "asc"}},
        {"": 1, "France": 1, "Russia": 1, "Japan": 2, "United States": 4},
    ),
    ("country", {"order": MOST_FIRST, "size": 3}, {"United States": 4, "Japan": 2, "Russia": 1}),
    ("country", {"missing": "nowhere", "size": 2}, {"United States": 4, "nowhere": 3}),
    ("country", {"min_doc_count": 2}, {"United States": 4, "Japan": 2}),
    ("country", {"include": ["Japan", "France"]}, {"Japan": 2, "France": 1}),
    ("country", {"exclude": ["United States", "Japan", ""]}, {"France": 1, "Russia": 1}),
]

#: options of a histogram of the ratings, its buckets; -0.0 and 0.0 are in one
HISTOGRAMS: list[tuple[Options, Counts]] = [
    ({"interval": 2}, {0.0: 2, 2.0: 0, 4.0: 0, 6.0: 4, 8.0: 5}),
    ({"interval": 2, "min_doc_count": 1}, {0.0: 2, 6.0: 4, 8.0: 5}),
    ({"interval": 2, "offset": 1, "min_doc_count": 1}, {-1.0: 2, 5.0: 2, 7.0: 6, 9.0: 1}),
    ({"interval": 0.5, "min_doc_count": 2}, {0.0: 2, 6.0: 2, 7.0: 2, 8.0: 2, 8.5: 2}),
    ({"interval": 5, "missing": 100, "min_doc_count": 1}, {0.0: 2, 5.0: 9, 100.0: 1}),
    ({"interval": 5, "order": {"_key": "desc"}}, {5.0: 9, 0.0: 2}),
]

#: options of a histogram of the dates of release, the bucket of each of the films
DATES: list[tuple[Options, str]] = [
    ({"calendar_interval": "month", "format": "yyyy-MM"},
        "1982-12 2001-04 2001-07 2008-06 2008-07 2010-06"),
    ({"calendar_interval": "quarter", "format": "yyyy-MM-dd"},
        "1982-10-01 2001-04-01 2001-07-01 2008-04-01 2008-07-01 2010-04-01"),
    ({"calendar_interval": "day", "format": "yyyy-MM-dd"},
        "1982-12-17 2001-04-25 2001-07-20 2008-06-27 2008-07-18 2010-06-23"),
    ({"calendar_interval": "week", "format": "yyyy-MM-dd"},
        "1982-12-13 2001-04-23 2001-07-16 2008-06-23 2008-07-14 2010-06-21"),
    ({"fixed_interval": "3650d", "format": "yyyy"}, "1979 1999 1999 1999 1999 2009"),
]  # fmt: skip


def counts(aggregation: dict[str, Any]) -> list[tuple[Any, int]]:
    """Return key and number of documents of every bucket, in order."""
    return [
        (each.get("key_as_string", each["key"]), each["doc_count"])
        for each in aggregation["buckets"]
    ]


class AggregationCases(Cases):
    @pytest.mark.parametrize(("kind", "options", "expected"), RESULTS, ids=str)
    def test_results(
        self, films: Index, kind: str, options: Options, expected: dict[str, Any]
    ) -> None:
        assert films.aggregate(a={kind: options}) == {"a": expected}

    @pytest.mark.parametrize(("field", "options", "expected"), TERMS, ids=str)
    def test_terms(self, films: Index, field: str, options: Options, expected: Counts) -> None:
        terms = films.aggregate(a={"terms": {"field": field, **options}})["a"]
        assert counts(terms) == list(expected.items())

    @pytest.mark.parametrize(("options", "expected"), HISTOGRAMS, ids=str)
    def test_histograms(self, films: Index, options: Options, expected: Counts) -> None:
        ratings = films.aggregate(a={"histogram": {"field": "rating", **options}})["a"]
        assert counts(ratings) == list(expected.items())

    @pytest.mark.parametrize(("options", "expected"), DATES, ids=str)
    def test_histograms_of_dates(self, films: Index, options: Options, expected: str) -> None:
        options = {"field": "released", "min_doc_count": 1, **options}
        releases = films.aggregate(a={"date_histogram": options})["a"]
        assert counts(releases) == list(Counter(expected.split()).items())

    @pytest.mark.parametrize(
        ("since", "expected"),
        [(1980, {1980.0: 1, 1990.0: 0, 2000.0: 7, 2010.0: 2}), (2000, {2000.0: 7, 2010.0: 2})],
    )
    def test_a_histogram_has_no_gaps(self, films: Index, since: int, expected: Counts) -> None:
        aggregation = {
            "filter": {"range": {"year": {"gte": since}}},
            "aggs": {"decades": {"histogram": {"field": "year", "interval": 10}}},
        }
        assert counts(films.aggregate(a=aggregation)["a"]["decades"]) == list(expected.items())

    def test_a_histogram_of_dates_has_no_gaps(self, films: Index) -> None:
        options = {"field": "released", "calendar_interval": "year", "format": "yyyy"}
        years = counts(films.aggregate(a={"date_histogram": options})["a"])
        assert [year for year, _ in years] == [str(year) for year in range(1982, 2011)]
        assert sum(count for _, count in years) == 6

    def test_extended_stats(self, films: Index) -> None:
        stats = films.aggregate(a={"extended_stats": {"field": "rating"}})["a"]
        assert stats["count"] == 11
        assert stats["sum"] == pytest.approx(70.1)
        variance = stats["sum_of_squares"] / 11 - (stats["sum"] / 11) ** 2
        assert stats["variance"] == pytest.approx(variance)
        assert stats["std_deviation"] == pytest.approx(variance**0.5)

    def test_percentiles(self, empty: Index) -> None:
        empty.write({str(number): {"year": number} for number in range(101)})
        options = {"field": "year", "percents": [0, 50, 100], "keyed": False}
        results = empty.aggregate(
            usual={"percentiles": {"field": "year"}}, selected={"percentiles": options}
        )
        usual, selected = results["usual"]["values"], results["selected"]["values"]
        assert list(usual) == ["1.0", "5.0", "25.0", "50.0", "75.0", "95.0", "99.0"]
        # Servers estimate, by half a value at most here; the next value would be a mistake.
        assert usual == {name: pytest.approx(float(name), abs=0.6) for name in usual}
        assert [each["key"] for each in selected] == [0.0, 50.0, 100.0]
        assert [each["value"] for each in selected] == pytest.approx([0, 50, 100], abs=0.6)

    # What is aggregated

    def test_an_aggregation_looks_at_what_the_query_matches(self, films: Index) -> None:
        response = films.search(
            query={"range": {"year": {"gte": 2000}}},
            size=2,
            sort=by_key(),
            track_total_hits=True,
            aggs={"seen": {"filter": {"term": {"seen": True}}}},
        )
        assert response["aggregations"]["seen"]["doc_count"] == 5
        assert response["hits"]["total"]["value"] == 9
        assert len(response["hits"]["hits"]) == 2

    def test_the_whole_index(self, films: Index) -> None:
        years = {"global": {}, "aggs": {"years": {"max": {"field": "year"}}}}
        response = films.search(query=JAPANESE, size=0, aggs={"all": years})
        assert response["aggregations"] == {"all": {"doc_count": 12, "years": {"value": 2012.0}}}

    def test_aggregations_is_the_long_name(self, films: Index) -> None:
        response = films.search(size=0, aggregations={"all": {"value_count": {"field": "id"}}})
        assert response["aggregations"] == {"all": {"value": 12}}

    def test_an_aggregation_of_nothing(self, empty: Index) -> None:
        results = empty.aggregate(
            terms={"terms": {"field": "country"}},
            stats={"stats": {"field": "year"}},
            most={"max": {"field": "year"}},
            inexact={"filter": {"terms": {"_inexact": ["*"]}}},
            years={"histogram": {"field": "year", "interval": 10}},
        )
        assert results == {
            "terms": term_buckets(0, {}),
            "stats": {"count": 0, "min": None, "max": None, "avg": None, "sum": 0.0},
            "most": {"value": None},
            "inexact": {"doc_count": 0},
            "years": {"buckets": []},
        }

    # Aggregations in buckets

    def test_terms_ordered_by_what_is_inside(self, films: Index) -> None:
        countries = films.aggregate(
            a={
                "terms": {"field": "country", "order": {"newest": "desc"}, "size": 3},
                "aggs": {"newest": {"max": {"field": "year"}}},
            }
        )["a"]["buckets"]
        newest = {each["key"]: each["newest"]["value"] for each in countries}
        expected = {"United States": 2010.0, "Russia": 2004.0, "France": 2001.0}
        assert list(newest.items()) == list(expected.items())

    def test_three_levels(self, films: Index) -> None:
        inner = {
            "rating": {"avg": {"field": "rating"}},
            "countries": {"terms": {"field": "country"}},
        }
        decades = {
            "histogram": {"field": "year", "interval": 10, "min_doc_count": 1},
            "aggs": inner,
        }
        aggregation = {"terms": {"field": "seen"}, "aggs": {"decades": decades}}
        assert [
            (
                *(flag["key_as_string"], decade["key"]),
                *(decade["rating"]["value"], counts(decade["countries"])),
            )
            for flag in films.aggregate(a=aggregation)["a"]["buckets"]
            for decade in flag["decades"]["buckets"]
        ] == [
            ("true", 2000.0, pytest.approx(8.35), [("Japan", 2), ("United States", 2)]),
            ("false", 1980.0, pytest.approx(7.1), [("United States", 1)]),
            ("false", 2000.0, pytest.approx(8.3), [("France", 1)]),
        ]

    def test_buckets_of_nested_documents(self, films: Index) -> None:
        awards = {
            "nested": {"path": "directors.awards"},
            "aggs": {"names": {"terms": {"field": "directors.awards.name.keyword"}}},
        }
        inner = {
            "names": {"terms": {"field": "directors.name.keyword"}},
            "oldest": {"min": {"field": "directors.born"}},
            "awards": awards,
        }
        directors = {"nested": {"path": "directors"}, "aggs": inner}
        names = {"Hayao Miyazaki": 2, "Christopher Nolan": 1, "Frank Oz": 1, "Jim Henson": 1}
        assert films.aggregate(a=directors)["a"] == {
            "doc_count": 5,
            "names": term_buckets(0, names),
            "oldest": {"value": 1936.0},
            "awards": {
                "doc_count": 6,
                "names": term_buckets(0, {"Oscar": 3, "Golden Bear": 2, "Hugo": 1}),
            },
        }

    def test_from_nested_documents_back_to_the_films(self, films: Index) -> None:
        ratings = {"reverse_nested": {}, "aggs": {"best": {"max": {"field": "rating"}}}}
        oscars = {
            "filter": {"term": {"directors.awards.name.keyword": "Oscar"}},
            "aggs": {"films": ratings},
        }
        awards = {"nested": {"path": "directors.awards"}, "aggs": {"oscars": oscars}}
        assert films.aggregate(a=awards)["a"]["oscars"] == {
            "doc_count": 3,
            "films": {"doc_count": 3, "best": {"value": 8.6}},
        }

    def test_the_first_documents_of_each(self, films: Index) -> None:
        best = {"size": 1, "sort": [{"rating": {"order": "desc"}}], "_source": ["title"]}
        countries = {
            "terms": {"field": "country", "size": 1},
            "aggs": {"best": {"top_hits": best}},
        }
        (bucket,) = films.aggregate(a=countries)["a"]["buckets"]
        (hit,) = bucket["best"]["hits"]["hits"]
        assert hit["_source"] == {"title": "The Dark Knight"}
