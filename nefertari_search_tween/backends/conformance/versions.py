"""External versions: the newest wins, in any order and among many writers."""

from __future__ import annotations

import random
import threading
from typing import Any, Optional

import pytest

from nefertari_search_tween.backends.base import Backend
from nefertari_search_tween.backends.conformance.base_case import Cases
from nefertari_search_tween.backends.conformance.corpus import Index


class VersionCases(Cases):
    @pytest.mark.parametrize(
        ("first", "second", "third", "statuses", "expected"),
        [
            (5, 6, 7, (201, 200, 200), "third"),
            (5, 5, 5, (201, 200, 200), "third"),
            (5, 4, 5, (201, 409, 200), "third"),
            (5, 7, 6, (201, 200, 409), "second"),
            (0, 0, 1, (201, 200, 200), "third"),
            (2**62, 2**62 - 1, 2**62, (201, 409, 200), "third"),
        ],
    )
    def test_an_older_version_never_overwrites_a_newer(
        self,
        empty: Index,
        first: int,
        second: int,
        third: int,
        statuses: tuple[int, ...],
        expected: str,
    ) -> None:
        versions = {"first": first, "second": second, "third": third}
        for (name, version), status in zip(versions.items(), statuses):
            (result,) = empty.bulk([empty.action("1", {"title": name}, version)])
            assert result.status == status
            assert (result.error is None) == (status != 409)
            assert result.indexed
        assert empty.state() == {"1": {"title": expected}}

    @pytest.mark.parametrize("body", [{"title": "newer"}, None], ids=["document", "deleted"])
    @pytest.mark.parametrize("version", [2**40, 2**62])
    def test_a_conflict_tells_the_version_that_is_there(
        self, empty: Index, body: Optional[dict[str, Any]], version: int
    ) -> None:
        (first,) = empty.bulk([empty.action("1", body, version)])
        assert first.conflict is None
        (late,) = empty.bulk([empty.action("1", {"title": "older"}, 7)])
        assert late.conflict == version

    def test_versions_count_within_one_bulk(self, empty: Index) -> None:
        results = empty.bulk(
            [
                empty.action("1", {"title": "a"}, 3),
                empty.action("1", {"title": "b"}, 2),
                empty.action("1", {"title": "c"}, 3),
                empty.action("1", None, 2),
                empty.action("2", {"title": "d"}, 1),
            ]
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
    def test_a_delete_has_a_version_as_well(self, empty: Index, version: int, status: int) -> None:
        empty.write({"1": {"id": 1}}, version=5)
        (result,) = empty.bulk([empty.action("1", None, version)])
        assert result.status == status
        assert result.indexed
        assert set(empty.state()) == ({"1"} if status == 409 else set())

    @pytest.mark.parametrize(("version", "status"), [(4, 409), (5, 201), (6, 201)])
    def test_a_late_write_does_not_bring_a_deleted_document_back(
        self, empty: Index, version: int, status: int
    ) -> None:
        empty.write({"1": {"id": 1}}, version=3)
        empty.bulk([empty.action("1", None, 5)])
        empty.backend.refresh(empty.alias)
        (result,) = empty.bulk([empty.action("1", {"id": 1}, version)])
        assert result.status == status
        assert result.indexed
        assert set(empty.state()) == (set() if status == 409 else {"1"})

    def test_a_delete_before_the_first_write_counts(self, empty: Index) -> None:
        (result,) = empty.bulk([empty.action("1", None, 5)])
        assert result.error is None
        assert result.status == 404
        assert result.indexed
        assert not result.target_missing
        (late,) = empty.bulk([empty.action("1", {"id": 1}, 4)])
        assert late.status == 409
        assert empty.state() == {}

    # Many writers

    def test_the_newest_version_wins_among_many_writers(self, empty: Index) -> None:
        writers, rounds, keys = 6, 15, [str(number) for number in range(10)]
        statuses: list[Any] = []

        def work(writer: int) -> None:
            order = list(range(rounds))
            random.Random(writer).shuffle(order)
            for step in order:
                version = step * writers + writer + 1
                body: Optional[dict[str, Any]] = {"year": version}
                if version % 7 == 3:
                    body = None
                batch = [empty.action(key, body, version) for key in keys]
                try:
                    statuses.extend(result.status for result in empty.bulk(batch))
                except Exception as error:  # noqa: BLE001 - shown by the assertion below
                    statuses.append(repr(error))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(writers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert set(statuses) <= {200, 201, 404, 409}
        newest = writers * rounds
        assert newest % 7 != 3, "the last write is meant to be no delete"
        assert empty.state() == {key: {"year": newest} for key in keys}

    def test_many_writers_lose_no_document(self, backend: Backend, empty: Index) -> None:
        failed: list[Any] = []

        def work(writer: int) -> None:
            batch = (empty.action(f"{writer}-{n}", {"year": n}) for n in range(500))
            failed.extend(each for each in backend.bulk(batch, 100) if each.error is not None)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        backend.refresh(empty.alias)
        assert failed == []
        total = empty.search(size=0, track_total_hits=True)["hits"]["total"]["value"]
        assert total == 3000
