"""Versions: the newest external one wins, and a conditional write replaces the one it names."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from functools import partial
from typing import Any, Optional

import pytest

from nefertari_search_tween.backends.base import (
    Backend,
    ConditionalWrite,
    SequenceVersion,
    WriteResult,
    sequence_version,
)
from nefertari_search_tween.backends.conformance.base_case import (
    Cases,
    run_together,
    unique_name,
)
from nefertari_search_tween.backends.conformance.corpus import Index

WRITERS = 12


def write(
    index: Index,
    key: str,
    body: Optional[Mapping[str, Any]],
    expected: Optional[SequenceVersion] = None,
) -> WriteResult:
    text = None if body is None else json.dumps(body).encode()
    (written,) = index.backend.write(
        [ConditionalWrite(index.write_alias, key, text, expected)], 100
    )
    return written


def stored(index: Index, key: str) -> Any:
    return index.backend.get_realtime(index.alias, [key])[key]


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


class ConditionalWriteCases(Cases):
    """Conditional writes, on which an engine that stores the documents themselves relies."""

    def test_a_document_is_created_once(self, empty: Index) -> None:
        assert stored(empty, "1") is None
        first = write(empty, "1", {"id": 1})
        assert (first.status, first.error) == (201, None)
        assert first.version is not None
        second = write(empty, "1", {"id": 2})
        assert second.conflict
        assert (second.status, second.version) == (409, None)
        # Before any refresh.
        assert stored(empty, "1") == ({"id": 1}, first.version)

    def test_a_state_is_replaced_and_deleted_once(self, empty: Index) -> None:
        created = write(empty, "1", {"id": 1})
        changed = write(empty, "1", {"id": 2}, created.version)
        assert changed.status == 200
        assert changed.version != created.version
        assert stored(empty, "1") == ({"id": 2}, changed.version)
        assert write(empty, "1", {"id": 3}, created.version).conflict
        assert empty.state() == {"1": {"id": 2}}
        assert write(empty, "1", None, created.version).conflict
        assert write(empty, "1", None, changed.version).status == 200
        assert write(empty, "1", None, changed.version).conflict
        assert empty.state() == {}

    def test_a_document_that_is_gone_is_not_replaced(self, empty: Index) -> None:
        created = write(empty, "1", {"id": 1})
        write(empty, "1", None, created.version)
        assert write(empty, "1", {"id": 2}, created.version).conflict
        assert stored(empty, "1") is None

    def test_no_version_occurs_twice(self, empty: Index) -> None:
        versions = []
        for number in range(4):
            created = write(empty, "1", {"id": number})
            changed = write(empty, "1", {"id": number}, created.version)
            write(empty, "1", None, changed.version)
            versions += [created.version, changed.version]
        assert len(set(versions)) == len(versions)
        assert write(empty, "1", {"id": 9}, versions[0]).conflict

    def test_a_delete_names_a_state(self, empty: Index) -> None:
        with pytest.raises(ValueError, match="needs the version that it deletes"):
            ConditionalWrite(empty.write_alias, "1", None, None)

    def test_hits_have_their_versions(self, empty: Index) -> None:
        created = write(empty, "1", {"id": 1})
        changed = write(empty, "1", {"id": 2}, created.version)
        empty.backend.refresh(empty.alias)
        (hit,) = empty.search(seq_no_primary_term=True)["hits"]["hits"]
        assert sequence_version(hit) == changed.version
        body = {"seq_no_primary_term": True, "sort": [{"id": "asc"}]}
        ((hit,),) = empty.backend.scan(empty.alias, body, 10)
        assert sequence_version(hit) == changed.version
        assert write(empty, "1", {"id": 3}, sequence_version(hit)).status == 200

    def test_each_write_of_a_bulk_stands_alone(self, backend: Backend, empty: Index) -> None:
        created = write(empty, "1", {"id": 1})
        alias = empty.write_alias
        nowhere = "conformance-nowhere-WRITE"
        writes = [
            ConditionalWrite(alias, "1", b'{"id": 5}', created.version),
            ConditionalWrite(alias, "1", b'{"id": 6}', created.version),
            ConditionalWrite(alias, "2", b'{"id": 2, "seen": "neither"}', None),
            ConditionalWrite(alias, "3", b'{"id":\n3}', None),
            ConditionalWrite(nowhere, "4", b"{}", None),
            ConditionalWrite(nowhere, "4", None, created.version),
        ]
        results = list(backend.write(writes, chunk_size=2))
        assert [n for n, each in enumerate(results) if each.conflict] == [1]
        assert [n for n, each in enumerate(results) if each.version is not None] == [0, 3]
        assert results[2].status == 400
        assert results[2].error
        assert results[4].target_missing
        assert empty.state() == {"1": {"id": 5}, "3": {"id": 3}}

    def test_one_of_many_creators_wins(self, empty: Index) -> None:
        results = run_together([partial(write, empty, "1", {"id": n}) for n in range(WRITERS)])
        (winner,) = [each for each in results if each.version is not None]
        assert all(each.conflict for each in results if each is not winner)
        assert stored(empty, "1").version == winner.version

    def test_no_update_of_many_is_lost(self, empty: Index) -> None:
        write(empty, "1", {"id": 0})

        def count() -> int:
            tries, written = 0, None
            while written is None:
                source, version = stored(empty, "1")
                written = write(empty, "1", {"id": source["id"] + 1}, version).version
                tries += 1
            return tries

        tries = run_together([count] * WRITERS)
        assert stored(empty, "1").source == {"id": WRITERS}
        assert sum(tries) >= WRITERS
