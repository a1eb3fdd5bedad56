"""Aggregations that compute numbers."""

from __future__ import annotations

import pytest

from nefertari_search_tween.backends.conformance.base_case import Cases
from nefertari_search_tween.backends.conformance.corpus import Index


class MetricCases(Cases):
    def test_stats(self, films: Index) -> None:
        stats = films.aggregate(years={"stats": {"field": "year"}})["years"]
        assert stats == {
            "count": 11,
            "min": -5.0,
            "max": 2012.0,
            "avg": pytest.approx(20024 / 11),
            "sum": 20024.0,
        }

    @pytest.mark.parametrize(
        ("kind", "expected"),
        [
            ("min", -5.0),
            ("max", 2012.0),
            ("sum", 20024.0),
            ("avg", 20024 / 11),
            ("value_count", 11),
        ],
    )
    def test_single_numbers(self, films: Index, kind: str, expected: float) -> None:
        metric = films.aggregate(year={kind: {"field": "year"}})["year"]
        assert metric == {"value": pytest.approx(expected)}

    def test_numbers_of_dates(self, films: Index) -> None:
        metric = films.aggregate(first={"min": {"field": "released"}})["first"]
        assert metric == {
            "value": 408_931_200_000.0,
            "value_as_string": "1982-12-17T00:00:00.000Z",
        }

    def test_extended_stats(self, films: Index) -> None:
        stats = films.aggregate(years={"extended_stats": {"field": "rating"}})["years"]
        assert stats["count"] == 11
        assert stats["sum"] == pytest.approx(70.1)
        assert stats["variance"] == pytest.approx(
            stats["sum_of_squares"] / 11 - (stats["sum"] / 11) ** 2
        )
        assert stats["std_deviation"] == pytest.approx(stats["variance"] ** 0.5)

    @pytest.mark.parametrize(
        ("field", "expected"),
        [("country", 5), ("genres.keyword", 5), ("year", 8), ("seen", 2), ("no_such_field", 0)],
    )
    def test_cardinality(self, films: Index, field: str, expected: int) -> None:
        metric = films.aggregate(distinct={"cardinality": {"field": field}})["distinct"]
        assert metric == {"value": expected}

    def test_percentiles(self, empty: Index) -> None:
        empty.write({str(number): {"year": number} for number in range(101)})
        percentiles = empty.aggregate(years={"percentiles": {"field": "year"}})["years"]["values"]
        assert list(percentiles) == ["1.0", "5.0", "25.0", "50.0", "75.0", "95.0", "99.0"]
        for name, value in percentiles.items():
            # Servers estimate, by half a value at most here; the next value would be a mistake.
            assert value == pytest.approx(float(name), abs=0.6)

    def test_chosen_percentiles(self, empty: Index) -> None:
        empty.write({str(number): {"year": number} for number in range(101)})
        options = {"field": "year", "percents": [0, 50, 100], "keyed": False}
        percentiles = empty.aggregate(years={"percentiles": options})["years"]["values"]
        assert [each["key"] for each in percentiles] == [0.0, 50.0, 100.0]
        assert [each["value"] for each in percentiles] == pytest.approx([0, 50, 100], abs=0.6)
