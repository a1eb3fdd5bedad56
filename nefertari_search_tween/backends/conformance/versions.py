"""External versions: the newest wins, in any order and among many writers."""

from __future__ import annotations

import random
from functools import partial
from typing import Any, Optional

import pytest

from nefertari_search_tween.backends.base import Backend
from nefertari_search_tween.backends.conformance.base_case import Cases, run_together, unique_name
from nefertari_search_tween.backends.conformance.corpus import Index


class VersionCases(Cases):
    @pytest.mark.parametrize(
        ("versions", "statuses", "expected"),
        [
            ((5, 6, 7), (201, 200, 200), "third"),
            ((5, 5, 5), (201, 200, 200), "third"),
            ((5, 4, 5), (201, 409, 200), "third"),
            ((5, 7, 6), (201, 200, 409), "second"),
            ((0, 0, 1), (201, 200, 200), "third"),
            ((2**62, 2**62 - 1, 2**62), (201, 409, 200), "third"),
        ],
    )
    def test_an_older_version_never_overwrites_a_newer(
        self, shared: Index, versions: tuple[int, ...], statuses: tuple[int, ...], expected: str
    ) -> None:
        key = unique_name("key")
        for name, version, status in zip(("first", "second", "third"), versions, statuses):
            (result,) = shared.bulk([shared.action(key, {"title": name}, version)])
            assert result.status == status
            assert (result.error is None) == (status != 409)
            assert result.indexed
        assert shared.state([key]) == {key: {"title": expected}}

    @pytest.mark.parametrize("body", [{"title": "newer"}, None], ids=["document", "deleted"])
    @pytest.mark.parametrize("version", [2**40, 2**62])
    def test_a_conflict_tells_the_version_that_is_there(
        self, shared: Index, version: int, body: Optional[dict[str, Any]]
    ) -> None:
        key = unique_name("key")
        (first,) = shared.bulk([shared.action(key, body, version)])
        assert first.conflict is None
        (late,) = shared.bulk([shared.action(key, {"title": "older"}, 7)])
        assert late.conflict == version

    def test_versions_count_within_one_bulk(self, empty: Index) -> None:
        writes = [("1", "a", 3), ("1", "b", 2), ("1", "c", 3), ("1", None, 2), ("2", "d", 1)]
        results = empty.bulk(
            empty.action(key, {"title": title} if title else None, version)
            for key, title, version in writes
        )
        assert [result.status for result in results] == [201, 409, 200, 409, 201]
        assert empty.state() == {"1": {"title": "c"}, "2": {"title": "d"}}

    def test_a_delete_takes_the_document_away(self, empty: Index) -> None:
        empty.write({"1": {"id": 1}, "2": {"id": 2}})
        (result,) = empty.bulk([empty.action("1", None, 2)])
        assert result.status == 200
        assert result.error is None
        assert empty.state() == {"2": {"id": 2}}

    @pytest.mark.parametrize(("version", "status"), [(4, 409), (5, 200), (6, 200)])
    def test_a_delete_has_a_version_as_well(self, shared: Index, version: int, status: int) -> None:
        key = unique_name("key")
        shared.bulk([shared.action(key, {"id": 1}, 5)])
        (result,) = shared.bulk([shared.action(key, None, version)])
        assert result.status == status
        assert result.indexed
        assert shared.state([key]) == ({key: {"id": 1}} if status == 409 else {})

    @pytest.mark.parametrize(("version", "status"), [(4, 409), (5, 201), (6, 201)])
    def test_a_late_write_does_not_bring_a_deleted_document_back(
        self, shared: Index, version: int, status: int
    ) -> None:
        key = unique_name("key")
        shared.bulk([shared.action(key, {"id": 1}, 3)])
        shared.bulk([shared.action(key, None, 5)])
        shared.backend.refresh(shared.alias)
        (result,) = shared.bulk([shared.action(key, {"id": 1}, version)])
        assert result.status == status
        assert result.indexed
        assert shared.state([key]) == ({} if status == 409 else {key: {"id": 1}})

    def test_a_delete_before_the_first_write_counts(self, shared: Index) -> None:
        key = unique_name("key")
        (result,) = shared.bulk([shared.action(key, None, 5)])
        assert (result.error, result.status) == (None, 404)
        assert result.indexed
        assert not result.target_missing
        (late,) = shared.bulk([shared.action(key, {"id": 1}, 4)])
        assert late.status == 409
        assert shared.state([key]) == {}

    # Many writers

    def test_the_newest_version_wins_among_many_writers(self, empty: Index) -> None:
        writers, rounds, keys = 6, 15, [str(number) for number in range(10)]

        def work(writer: int) -> list[int]:
            statuses = []
            for step in random.Random(writer).sample(range(rounds), rounds):
                version = step * writers + writer + 1
                body = {"year": version} if version % 7 != 3 else None
                results = empty.bulk([empty.action(key, body, version) for key in keys])
                statuses += [result.status for result in results]
            return statuses

        statuses = run_together([partial(work, writer) for writer in range(writers)])
        assert set().union(*statuses) <= {200, 201, 404, 409}
        newest = writers * rounds
        assert newest % 7 != 3, "the last write is meant to be no delete"
        assert empty.state() == {key: {"year": newest} for key in keys}

    def test_many_writers_lose_no_document(self, backend: Backend, empty: Index) -> None:
        def work(writer: int) -> list[Any]:
            batch = [empty.action(f"{writer}-{n}", {"year": n}) for n in range(500)]
            return [result.error for result in empty.bulk(batch, 100) if result.error is not None]

        assert run_together([partial(work, writer) for writer in range(6)]) == [[]] * 6
        backend.refresh(empty.alias)
        assert empty.total() == 3000
