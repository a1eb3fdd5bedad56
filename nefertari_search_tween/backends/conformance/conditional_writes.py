"""Conditional writes, on which an engine that stores the documents themselves relies."""

from __future__ import annotations

import json
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
from nefertari_search_tween.backends.conformance.base_case import Cases, run_together
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


class ConditionalWriteCases(Cases):
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
