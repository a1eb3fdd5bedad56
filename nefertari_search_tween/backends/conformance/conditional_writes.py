"""Conditional writes, on which an engine that stores the documents themselves relies."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from typing import Any, Callable, Optional

import pytest

from nefertari_search_tween.backends.base import (
    Backend,
    ConditionalWrite,
    SequenceVersion,
    WriteResult,
    sequence_version,
)
from nefertari_search_tween.backends.conformance.base_case import Cases
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


def at_once(count: int, work: Callable[[int], Any]) -> list[Any]:
    """Return the results of *work* in *count* threads that start together."""
    barrier = threading.Barrier(count)
    results: list[Any] = [None] * count

    def run(number: int) -> None:
        barrier.wait()
        results[number] = work(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


class ConditionalWriteCases(Cases):
    def test_a_document_is_created_once(self, empty: Index) -> None:
        first = write(empty, "1", {"id": 1})
        assert (first.status, first.error) == (201, None)
        assert first.version is not None
        second = write(empty, "1", {"id": 2})
        assert second.conflict
        assert second.version is None
        assert second.status == 409
        assert stored(empty, "1") == ({"id": 1}, first.version)

    def test_a_write_is_there_before_any_refresh(self, empty: Index) -> None:
        assert stored(empty, "1") is None
        created = write(empty, "1", {"id": 1})
        changed = write(empty, "1", {"id": 2}, created.version)
        assert stored(empty, "1") == ({"id": 2}, changed.version)

    def test_a_state_is_replaced_once(self, empty: Index) -> None:
        created = write(empty, "1", {"id": 1})
        changed = write(empty, "1", {"id": 2}, created.version)
        assert changed.status == 200
        assert changed.version != created.version
        late = write(empty, "1", {"id": 3}, created.version)
        assert late.conflict
        assert empty.state() == {"1": {"id": 2}}

    def test_a_state_is_deleted_once(self, empty: Index) -> None:
        created = write(empty, "1", {"id": 1})
        changed = write(empty, "1", {"id": 2}, created.version)
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
        results = list(
            backend.write(
                [
                    ConditionalWrite(alias, "1", b'{"id": 5}', created.version),
                    ConditionalWrite(alias, "1", b'{"id": 6}', created.version),
                    ConditionalWrite(alias, "2", b'{"id": 2, "seen": "neither"}', None),
                    ConditionalWrite(alias, "3", b'{"id":\n3}', None),
                    ConditionalWrite("conformance-nowhere-WRITE", "4", b"{}", None),
                    ConditionalWrite("conformance-nowhere-WRITE", "4", None, created.version),
                ],
                chunk_size=2,
            )
        )
        assert [each.conflict for each in results] == [False, True, False, False, False, False]
        assert [each.version is not None for each in results] == [True] + [False] * 2 + [True] + [
            False
        ] * 2
        assert results[2].status == 400
        assert results[2].error
        assert results[4].target_missing
        assert empty.state() == {"1": {"id": 5}, "3": {"id": 3}}

    def test_one_of_many_creators_wins(self, empty: Index) -> None:
        results = at_once(WRITERS, lambda number: write(empty, "1", {"id": number}))
        (winner,) = [each for each in results if each.version is not None]
        assert all(each.conflict for each in results if each is not winner)
        assert stored(empty, "1").version == winner.version

    def test_no_update_of_many_is_lost(self, empty: Index) -> None:
        write(empty, "1", {"id": 0})

        def count(_: int) -> int:
            tries = 0
            while True:
                tries += 1
                source, version = stored(empty, "1")
                if write(empty, "1", {"id": source["id"] + 1}, version).version is not None:
                    return tries

        tries = at_once(WRITERS, count)
        assert stored(empty, "1").source == {"id": WRITERS}
        assert sum(tries) >= WRITERS
