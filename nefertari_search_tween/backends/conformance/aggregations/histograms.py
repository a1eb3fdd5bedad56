"""Histograms of numbers and dates."""

from __future__ import annotations

from typing import Any

import pytest

from nefertari_search_tween.backends.conformance.aggregations.buckets import TWO_THOUSANDS, counts
from nefertari_search_tween.backends.conformance.base_case import Cases
from nefertari_search_tween.backends.conformance.corpus import Index


class HistogramCases(Cases):
    def test_a_histogram_has_no_gaps(self, films: Index) -> None:
        options = {"field": "year", "interval": 10}
        results = films.aggregate(
            years={"filter": TWO_THOUSANDS, "aggs": {"decades": {"histogram": options}}}
        )
        assert results["years"]["decades"]["buckets"] == [
            {"key": 2000.0, "doc_count": 7},
            {"key": 2010.0, "doc_count": 2},
        ]
        since = {"range": {"year": {"gte": 1980}}}
        results = films.aggregate(
            years={"filter": since, "aggs": {"decades": {"histogram": options}}}
        )
        assert counts(results["years"]["decades"]) == [
            (1980.0, 1),
            (1990.0, 0),
            (2000.0, 7),
            (2010.0, 2),
        ]

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ({"interval": 2}, [(0.0, 2), (2.0, 0), (4.0, 0), (6.0, 4), (8.0, 5)]),
            ({"interval": 2, "min_doc_count": 1}, [(0.0, 2), (6.0, 4), (8.0, 5)]),
            (
                {"interval": 2, "offset": 1, "min_doc_count": 1},
                [(-1.0, 2), (5.0, 2), (7.0, 6), (9.0, 1)],
            ),
            (
                {"interval": 0.5, "min_doc_count": 2},
                [(0.0, 2), (6.0, 2), (7.0, 2), (8.0, 2), (8.5, 2)],
            ),
            ({"interval": 5, "missing": 100, "min_doc_count": 1}, [(0.0, 2), (5.0, 9), (100.0, 1)]),
            ({"interval": 5, "order": {"_key": "desc"}}, [(5.0, 9), (0.0, 2)]),
        ],
    )
    def test_histograms(
        self, films: Index, options: dict[str, Any], expected: list[tuple[float, int]]
    ) -> None:
        ratings = films.aggregate(ratings={"histogram": {"field": "rating", **options}})["ratings"]
        # -0.0 and 0.0 are one bucket.
        assert [(key + 0.0, count) for key, count in counts(ratings)] == expected

    def test_a_histogram_of_dates(self, films: Index) -> None:
        options = {"field": "released", "calendar_interval": "year", "min_doc_count": 1}
        releases = films.aggregate(released={"date_histogram": options})["released"]
        assert releases["buckets"] == [
            {"key": 378_691_200_000, "key_as_string": "1982-01-01T00:00:00.000Z", "doc_count": 1},
            {"key": 978_307_200_000, "key_as_string": "2001-01-01T00:00:00.000Z", "doc_count": 2},
            {"key": 1_199_145_600_000, "key_as_string": "2008-01-01T00:00:00.000Z", "doc_count": 2},
            {"key": 1_262_304_000_000, "key_as_string": "2010-01-01T00:00:00.000Z", "doc_count": 1},
        ]

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            (
                {"calendar_interval": "month", "format": "yyyy-MM"},
                [
                    ("1982-12", 1),
                    ("2001-04", 1),
                    ("2001-07", 1),
                    ("2008-06", 1),
                    ("2008-07", 1),
                    ("2010-06", 1),
                ],
            ),
            (
                {"calendar_interval": "quarter", "format": "yyyy-MM-dd"},
                [
                    ("1982-10-01", 1),
                    ("2001-04-01", 1),
                    ("2001-07-01", 1),
                    ("2008-04-01", 1),
                    ("2008-07-01", 1),
                    ("2010-04-01", 1),
                ],
            ),
            (
                {"calendar_interval": "day", "format": "yyyy-MM-dd"},
                [
                    ("1982-12-17", 1),
                    ("2001-04-25", 1),
                    ("2001-07-20", 1),
                    ("2008-06-27", 1),
                    ("2008-07-18", 1),
                    ("2010-06-23", 1),
                ],
            ),
            (
                {"calendar_interval": "week", "format": "yyyy-MM-dd"},
                [
                    ("1982-12-13", 1),
                    ("2001-04-23", 1),
                    ("2001-07-16", 1),
                    ("2008-06-23", 1),
                    ("2008-07-14", 1),
                    ("2010-06-21", 1),
                ],
            ),
            (
                {"fixed_interval": "3650d", "format": "yyyy"},
                [("1979", 1), ("1999", 4), ("2009", 1)],
            ),
        ],
    )
    def test_histograms_of_dates(
        self, films: Index, options: dict[str, Any], expected: list[tuple[str, int]]
    ) -> None:
        options = {"field": "released", "min_doc_count": 1, **options}
        buckets = films.aggregate(released={"date_histogram": options})["released"]["buckets"]
        assert [(each["key_as_string"], each["doc_count"]) for each in buckets] == expected

    def test_a_histogram_of_dates_has_no_gaps(self, films: Index) -> None:
        options = {"field": "released", "calendar_interval": "year", "format": "yyyy"}
        buckets = films.aggregate(released={"date_histogram": options})["released"]["buckets"]
        assert [each["key_as_string"] for each in buckets] == [str(y) for y in range(1982, 2011)]
        assert sum(each["doc_count"] for each in buckets) == 6
