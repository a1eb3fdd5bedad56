"""The order and parts of results: sorts, pages, totals, sources, scans."""

from __future__ import annotations

import itertools
import threading
import time
from typing import Any

import pytest

from nefertari_search_tween.backends.base import Backend
from nefertari_search_tween.backends.conformance.base_case import Cases, run_together
from nefertari_search_tween.backends.conformance.corpus import (
    ALL,
    FILMS,
    Index,
    by_key,
    document,
)
from nefertari_search_tween.exceptions import BackendRejected

BY_ID = [str(number) for number in range(1, 13)]
KNIGHT = {"match_phrase": {"title": {"query": "knight"}}}

#: field, films in ascending order, films without a value
SORTS: list[tuple[str, str, str]] = [
    # Texts by their UTF-8 bytes, which is by code point.
    ("title.keyword", "9 6 4 5 1 3 2 12 11 8 7", "10"),
    ("year", "10 3 1 6 7 5 8 2 12 4 11", "9"),
    ("rating", "10 9 4 8 3 5 6 12 1 11 2", "7"),
    ("seen", "3 6 9 1 2 5 7 12", "4 8 10 11"),
    ("released", "3 6 1 12 2 4", "5 7 8 9 10 11"),
    ("_exact.released", "1 2", "3 4 5 6 7 8 9 10 11 12"),
    ("country", "9 6 1 7 8 2 3 4 5", "10 11 12"),
]
#: what ``_source`` requests of the third film, and what it gets
SOURCES: list[tuple[Any, dict[str, Any]]] = [
    (True, document("3", FILMS["3"])),
    ({"includes": ["title", "_type"]}, {"title": "The Dark Crystal", "_type": "Film"}),
    ({"includes": ["title", "no_such_field"]}, {"title": "The Dark Crystal"}),
    ({"includes": ["no_such_field"]}, {}),
    ({"includes": ["directors.name"]},
        {"directors": [{"name": "Jim Henson"}, {"name": "Frank Oz"}]}),
    ({"includes": ["directors"]}, {"directors": FILMS["3"]["directors"]}),
    ({"includes": ["ti*"]}, {"title": "The Dark Crystal"}),
    (["title"], {"title": "The Dark Crystal"}),
    ({"excludes": ["plot", "directors", "released", "length", "_inexact", "_exact", "_rejected"]},
        {"id": 3, "_pk": "3", "_type": "Film", "title": "The Dark Crystal", "genres": ["family"],
            "country": "United States", "year": 1982, "rating": 7.1, "seen": False}),
    ({"includes": ["directors", "year"], "excludes": ["directors.awards"]},
        {"year": 1982, "directors": [
            {"name": "Jim Henson", "born": 1936}, {"name": "Frank Oz", "born": 1944}]}),
]  # fmt: skip


def descending(ordered: list[str], field: str) -> list[str]:
    """Return *ordered* reversed; documents of equal value stay in order of their ids."""

    def value(key: str) -> Any:
        value: Any = FILMS[key]
        for name in field.replace(".keyword", "").split("."):
            value = value[name]
        # -0.0 sorts before 0.0.
        return (value, str(value)) if field == "rating" and not value else (value, "")

    groups: list[list[str]] = []
    for key in ordered:
        if groups and value(groups[-1][-1]) == value(key):
            groups[-1].append(key)
        else:
            groups.append([key])
    return [key for group in reversed(groups) for key in group]


class PagingCases(Cases):
    # Sorts

    @pytest.mark.parametrize("missing", ["_first", "_last"])
    @pytest.mark.parametrize("order", ["asc", "desc"])
    @pytest.mark.parametrize(("field", "ascending", "without"), SORTS)
    def test_sorts_put_missing_values_where_they_are_told(
        self, films: Index, field: str, ascending: str, without: str, order: str, missing: str
    ) -> None:
        ordered, absent = ascending.split(), without.split()
        expected = ordered if order == "asc" else descending(ordered, field)
        expected = absent + expected if missing == "_first" else expected + absent
        sort = [{field: {"order": order, "missing": missing}}, {"id": {"order": "asc"}}]
        assert films.hits(sort=sort) == expected

    def test_missing_values_go_last_by_default(self, films: Index) -> None:
        for order in ("asc", "desc"):
            assert films.hits(sort=[{"year": {"order": order}}, {"id": "asc"}])[-1] == "9"

    def test_several_keys(self, films: Index) -> None:
        sort = [
            {"seen": {"order": "desc", "missing": "_last"}},
            {"year": {"order": "asc", "missing": "_first"}},
            {"title.keyword": {"order": "desc", "missing": "_first"}},
        ]
        assert " ".join(films.hits(sort=sort)) == "7 1 5 12 2 9 3 6 10 8 4 11"

    def test_texts_sort_by_code_point(self, empty: Index) -> None:
        titles = ["", " ", "A", "Z", "a", "z", "~", "é", "Ω", "千", "\uff5e", "😀", "𠮷"]
        numbered = list(enumerate(titles))
        empty.write({str(n): {"id": n, "title": title} for n, title in reversed(numbered)})
        expected = [str(n) for n, title in sorted(numbered, key=lambda each: each[1])]
        assert empty.hits(sort=[{"title.keyword": {"order": "asc"}}]) == expected
        assert empty.hits(sort=[{"title.keyword": {"order": "desc"}}]) == expected[::-1]

    def test_whole_numbers_sort_exactly(self, empty: Index) -> None:
        numbers = [-(2**63) + 1, -(2**53) - 1, -(2**53), -1, 0, 1, 2**53, 2**53 + 1, 2**63 - 2]
        empty.write({str(n): {"year": value} for n, value in enumerate(numbers)})
        for order, expected in (("asc", numbers), ("desc", numbers[::-1])):
            hits = empty.search(sort=[{"year": {"order": order, "missing": "_last"}}])["hits"][
                "hits"
            ]
            assert [hit["_source"]["year"] for hit in hits] == expected
            assert [hit["sort"] for hit in hits] == [[each] for each in expected]

    @pytest.mark.parametrize(
        ("order", "expected"), [("asc", "2 4 5 1 12 6 3"), ("desc", "1 3 2 6 12 4 5")]
    )
    def test_of_several_values_the_first_or_last_counts(
        self, films: Index, order: str, expected: str
    ) -> None:
        query = {"exists": {"field": "genres.keyword"}}
        sort = [{"genres.keyword": {"order": order}}, {"id": "asc"}]
        assert films.hits(query=query, sort=sort) == expected.split()

    @pytest.mark.parametrize(
        ("path", "name", "order", "expected"),
        [
            ("directors", "born", "asc", "3 1 7 2"),
            ("directors", "born", "desc", "2 3 1 7"),
            ("directors", "name.keyword", "asc", "2 3 1 7"),
            ("directors", "name.keyword", "desc", "3 1 7 2"),
            ("directors.awards", "year", "asc", "3 1 7"),
            ("directors.awards", "year", "desc", "1 7 3"),
        ],
    )
    def test_sorts_by_nested_documents(
        self, films: Index, path: str, name: str, order: str, expected: str
    ) -> None:
        clause = {"order": order, "missing": "_last", "nested": {"path": path}}
        rest = [each for each in BY_ID if each not in expected.split()]
        sort = [{f"{path}.{name}": clause}, {"id": "asc"}]
        assert films.hits(sort=sort) == expected.split() + rest

    def test_sorts_by_score(self, films: Index) -> None:
        best_first = [{"_score": {"order": "desc"}}, {"id": "asc"}]
        # The shortest title is the best match; the other two are equally long.
        assert films.hits(query=KNIGHT, sort=best_first) == ["11", "2", "4"]
        worst_first = [{"_score": {"order": "asc"}}, {"id": "asc"}]
        assert films.hits(query=KNIGHT, sort=worst_first) == ["2", "4", "11"]
        for hit in films.search(query=KNIGHT, sort=best_first)["hits"]["hits"]:
            assert hit["sort"][0] == pytest.approx(hit["_score"], rel=1e-5)

    def test_other_sorts_need_no_score(self, films: Index) -> None:
        hits = films.search(query=KNIGHT, sort=by_key())["hits"]["hits"]
        assert [hit["_score"] for hit in hits] == [None, None, None]
        assert [hit["sort"] for hit in hits] == [[2], [4], [11]]

    # Pages and totals

    @pytest.mark.parametrize(
        ("start", "size"), [(0, 5), (5, 5), (10, 5), (12, 5), (500, 5), (0, 0), (11, 1)]
    )
    def test_pages(self, films: Index, start: int, size: int) -> None:
        body = {"sort": by_key(), "from": start, "size": size, "track_total_hits": True}
        response = films.search(**body)
        assert [hit["_id"] for hit in response["hits"]["hits"]] == BY_ID[start : start + size]
        assert response["hits"]["total"] == {"value": 12, "relation": "eq"}

    def test_ten_hits_by_default(self, films: Index) -> None:
        hits = films.search(sort=by_key())["hits"]["hits"]
        assert [hit["_id"] for hit in hits] == BY_ID[:10]

    def test_a_page_beyond_the_window_is_refused(self, films: Index) -> None:
        assert films.hits(sort=by_key(), **{"from": 9_990, "size": 10}) == []
        with pytest.raises(BackendRejected) as raised:
            films.hits(sort=by_key(), **{"from": 9_991, "size": 10})
        assert raised.value.status == 400

    def test_totals_are_exact_beyond_ten_thousand(self, empty: Index) -> None:
        empty.write({str(number): {"id": number, "year": number % 2} for number in range(10_050)})
        odd = {"term": {"year": {"value": 1}}}
        page = empty.search(size=1, sort=by_key(), track_total_hits=True)
        assert page["hits"]["total"] == {"value": 10_050, "relation": "eq"}
        assert empty.total(odd) == 5_025
        assert sum(len(chunk) for chunk in empty.scan(3_000, sort=by_key())) == 10_050

    def test_an_answer_says_how_long_it_took(self, films: Index) -> None:
        response = films.search()
        assert isinstance(response["took"], int)
        assert response["took"] >= 0
        assert response["timed_out"] is False
        assert response["hits"]["hits"][0]["_index"] == films.name

    # Sources

    @pytest.mark.parametrize(("source", "expected"), SOURCES)
    def test_sources_are_narrowed(
        self, films: Index, source: Any, expected: dict[str, Any]
    ) -> None:
        body = {"query": {"term": {"id": 3}}, "_source": source}
        (hit,) = films.search(**body)["hits"]["hits"]
        assert hit["_source"] == expected

    def test_a_source_may_be_left_out(self, films: Index) -> None:
        hits = films.search(_source=False)["hits"]["hits"]
        assert not any("_source" in hit for hit in hits)

    def test_empty_lists_and_nulls_are_kept(self, films: Index) -> None:
        body = {"_source": {"includes": ["seen", "directors"]}, "query": {"term": {"id": 4}}}
        (hit,) = films.search(**body)["hits"]["hits"]
        assert hit["_source"] == {"seen": None, "directors": []}

    # Scans

    @pytest.mark.parametrize("chunk", [1, 4, 5, 12, 13, 1000])
    def test_a_scan_gives_everything_in_order(self, films: Index, chunk: int) -> None:
        sort = [{"rating": {"order": "desc", "missing": "_first"}}, {"id": "asc"}]
        chunks = list(films.scan(chunk, sort=sort, track_total_hits=False))
        assert [key for each in chunks for key in each] == films.hits(sort=sort)
        assert all(1 <= len(each) <= chunk for each in chunks)

    @pytest.mark.parametrize("chunk", [1, 2, 5])
    def test_a_scan_loses_nothing_where_values_are_equal(self, films: Index, chunk: int) -> None:
        for key, missing in (("country", "_first"), ("seen", "_last"), ("_type", "_last")):
            sort = [{key: {"order": "asc", "missing": missing}}]
            ids = [each for keys in films.scan(chunk, sort=sort) for each in keys]
            assert sorted(ids) == sorted(ALL), key

    def test_a_scan_takes_a_query_and_a_source(self, films: Index) -> None:
        body = {"query": KNIGHT, "sort": by_key(), "_source": {"includes": ["year"]}}
        hits = [hit for chunk in films.backend.scan(films.alias, body, 2) for hit in chunk]
        assert [hit["_source"] for hit in hits] == [{"year": 2008}, {"year": 2010}, {"year": 2012}]

    def test_a_scan_in_order_of_the_score(self, films: Index) -> None:
        body = {"query": KNIGHT, "sort": [{"_score": {"order": "desc"}}, {"id": "asc"}]}
        hits = [hit for chunk in films.backend.scan(films.alias, body, 1) for hit in chunk]
        assert [hit["_id"] for hit in hits] == ["11", "2", "4"]
        assert all(hit["_score"] > 0 for hit in hits)

    def test_a_scan_of_nothing_gives_nothing(self, empty: Index) -> None:
        assert list(empty.scan(10, sort=by_key())) == []

    def test_a_malformed_scan_is_refused(self, films: Index) -> None:
        with pytest.raises(BackendRejected):
            list(films.scan(10, sort=by_key(), query={"no_such_query": {}}))

    def test_a_scan_may_be_given_up(self, films: Index) -> None:
        for _ in range(30):
            chunks = films.scan(2, sort=by_key())
            assert next(chunks)[0] == "1"
            chunks.close()  # type: ignore[attr-defined]

    def test_a_scan_sees_the_state_of_its_beginning(self, backend: Backend, empty: Index) -> None:
        def films_of(year: int, numbers: range) -> dict[str, dict[str, int]]:
            return {f"{number:03d}": {"id": number, "year": year} for number in numbers}

        before = films_of(1, range(100))
        empty.write(before)
        scan = backend.scan(empty.alias, {"sort": by_key()}, 10)
        hits = list(next(scan))
        empty.write(films_of(2, range(0, 100, 2)), 2)
        empty.write(films_of(2, range(100, 200)), 2)
        empty.bulk([empty.action(key, None, 3) for key in films_of(1, range(51, 100, 2))])
        backend.refresh(empty.alias)
        hits.extend(hit for chunk in scan for hit in chunk)
        assert {hit["_id"]: hit["_source"] for hit in hits} == before
        assert len(hits) == 100
        assert empty.total() == 175

    def test_a_scan_goes_on_while_the_alias_moves_and_its_index_is_deleted(
        self, backend: Backend, empty: Index
    ) -> None:
        empty.write({str(number): {"id": number} for number in range(20)})
        scan = empty.scan(5, sort=by_key())
        keys = list(next(scan))
        following = self.create(backend, empty.alias)
        following.write({"other": {"id": 99}})
        backend.swap_alias(empty.alias, following.name)
        for chunk in scan:
            keys.extend(chunk)
        assert keys == [str(number) for number in range(20)]
        assert empty.hits() == ["other"]

    def test_a_deletion_does_not_disturb_searches_unless_they_are_known(
        self, backend: Backend, empty: Index
    ) -> None:
        empty.write({str(number): {"id": number} for number in range(20)})
        before = backend.search_activity(empty.name)
        scan = empty.scan(5, sort=by_key())
        keys = list(next(scan))
        during = backend.search_activity(empty.name)
        if before is None or during is None:
            backend.delete_index(empty.name)
            for chunk in scan:
                keys.extend(chunk)
            assert keys == [str(number) for number in range(20)]
            return
        assert before.running == 0 < during.running
        scan.close()  # type: ignore[attr-defined]
        deadline = time.monotonic() + 5
        while (after := backend.search_activity(empty.name)) is None or after.running:
            assert time.monotonic() < deadline
        assert after.ended > before.ended

    def test_scans_go_on_beside_writers(self, backend: Backend, empty: Index) -> None:
        keys = [f"{number:03d}" for number in range(50)]
        done = threading.Event()
        errors: list[Any] = []

        def write() -> None:
            # Every round writes one year to all documents, in one request.
            for version in itertools.count(2):
                batch = [empty.action(k, {"id": int(k), "year": version}, version) for k in keys]
                errors.extend(each for each in empty.bulk(batch) if each.error is not None)
                backend.refresh(empty.alias)
                if done.is_set():
                    return

        def scan() -> list[list[str]]:
            try:
                scans = [empty.scan(7, sort=by_key()) for _ in range(10)]
                return [[key for chunk in chunks for key in chunk] for chunks in scans]
            finally:
                done.set()

        empty.write({key: {"id": int(key), "year": 1} for key in keys})
        scans, _ = run_together([scan, write])
        assert scans == [keys] * 10
        assert errors == []
