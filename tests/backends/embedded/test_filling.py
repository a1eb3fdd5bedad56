"""An embedded index that is filled before it is searched, and documents that are written again."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from nefertari_search_tween.backends.base import BulkAction
from nefertari_search_tween.backends.embedded.backend import EmbeddedBackend
from nefertari_search_tween.indexing.rebuild.rebuild import REFRESH_INTERVAL, rebuild
from tests.support.apps import awkward, forget_sessions, search_of

KEYWORD = {"type": "keyword"}
MAPPING = {
    "dynamic": False,
    "properties": {
        "title": {"type": "text", "fields": {"keyword": KEYWORD}},
        "year": {"type": "long"},
        "tags": KEYWORD,
        "parts": {"type": "nested", "properties": {"name": {"type": "text"}}},
    },
}
DOCUMENT = {
    "title": "dark the dark night",
    "year": 1,
    "tags": ["b", "a"],
    "parts": [{"name": "x y"}],
}
INDICES = {"i1_multi_value", "i1_r0_c1", "i1_r0_c2", "i1_r0_c3"}


@pytest.fixture
def backend(tmp_path: Path) -> EmbeddedBackend:
    backend = EmbeddedBackend(str(tmp_path))
    backend.create_index("films-1", MAPPING, {}, ["write"])
    return backend


def table(backend: EmbeddedBackend, query: str) -> list[Any]:
    connection = sqlite3.connect(backend.store.path)
    rows = connection.execute(query).fetchall()
    connection.close()
    return rows


def indices(backend: EmbeddedBackend) -> set[str]:
    """The names of the indices of columns."""
    rows = table(backend, "SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")
    return {name for (name,) in rows} - {"i1_r1_root"}


def write(backend: EmbeddedBackend, key: str, body: Any, version: int = 1) -> None:
    text = None if body is None else json.dumps(body).encode()
    (item,) = backend.bulk([BulkAction("write", key, version, text)], 10)
    assert item.error is None


def response(backend: EmbeddedBackend) -> Any:
    body = {
        "query": {"match": {"title": "dark"}},
        "aggs": {"tags": {"terms": {"field": "tags"}}, "years": {"max": {"field": "year"}}},
    }
    answer = backend.search("films-1", body)
    return answer["hits"], answer["aggregations"]


def test_indices_of_columns_are_made_when_it_is_filled(backend: EmbeddedBackend) -> None:
    assert indices(backend) == INDICES
    backend.put_settings("films-1", {REFRESH_INTERVAL: "-1"})
    assert indices(backend) == set()
    write(backend, "1", DOCUMENT)
    # It can be searched all the same, and grow.
    before = response(backend)
    backend.put_mapping("films-1", {"properties": {"more": {"type": "long"}}})
    assert indices(backend) == set()
    backend.put_settings("films-1", {REFRESH_INTERVAL: None})
    assert indices(backend) == INDICES | {"i1_r0_c5"}
    assert response(backend) == before
    backend.put_mapping("films-1", {"properties": {"yet_more": {"type": "long"}}})
    assert indices(backend) == INDICES | {"i1_r0_c5", "i1_r0_c6"}


def test_an_index_that_is_never_refreshed_has_them_when_it_is_swapped_in(
    backend: EmbeddedBackend,
) -> None:
    backend.put_settings("films-1", {REFRESH_INTERVAL: "-1"})
    backend.put_settings("films-1", {REFRESH_INTERVAL: "-1"})
    assert backend.swap_alias("films", "films-1") == set()
    assert indices(backend) == INDICES


def test_an_index_with_documents_keeps_them(backend: EmbeddedBackend) -> None:
    write(backend, "1", DOCUMENT)
    backend.put_settings("films-1", {REFRESH_INTERVAL: "-1"})
    assert indices(backend) == INDICES


def test_filling_goes_on_after_a_half_made_end(backend: EmbeddedBackend) -> None:
    backend.put_settings("films-1", {REFRESH_INTERVAL: "-1"})
    write(backend, "1", DOCUMENT)
    # As if it had been killed between two indices.
    connection = sqlite3.connect(backend.store.path)
    connection.execute("CREATE INDEX i1_r0_c2 ON i1_r0 (c2)")
    connection.close()
    backend.put_settings("films-1", {REFRESH_INTERVAL: "-1"})
    write(backend, "2", DOCUMENT)
    assert indices(backend) == {"i1_r0_c2"}
    backend.put_settings("films-1", {REFRESH_INTERVAL: None})
    assert indices(backend) == INDICES


def test_a_bulk_of_a_rebuild_has_ten_chunks(tmp_path: Path, module_prefix: str) -> None:
    app = awkward(
        f"sqlite:///{tmp_path}/parcels.sqlite",
        f"embedded:{tmp_path}",
        module_prefix,
        **{"nefertari_search.models": "Parcel"},
    )
    search = search_of(app)
    with search.outbox.engine.begin() as connection:
        for number in range(25):
            connection.execute("INSERT INTO awkward_parcels (code) VALUES (?)", f"p{number:02}")
    mirror = search.mirrors.get("Parcel")
    rebuild(search.mirrors, search.rebuild_locks, search.outbox, [mirror], 1)
    ((bulks,),) = table(mirror.backend, "SELECT writes FROM indices WHERE name LIKE '%parcel%'")
    assert bulks == 3
    forget_sessions()


# Documents that are written again


def remaining(backend: EmbeddedBackend) -> tuple[list[Any], list[Any]]:
    """The terms that are left, and the counts that are not 0."""
    terms = table(backend, "SELECT field, term, doc FROM i1_post")
    return terms, table(backend, "SELECT * FROM i1_stats WHERE docs <> 0 OR terms <> 0")


def test_a_deleted_document_leaves_no_terms(backend: EmbeddedBackend) -> None:
    write(backend, "1", DOCUMENT)
    assert remaining(backend)[0] and remaining(backend)[1]
    write(backend, "1", None, 2)
    assert remaining(backend) == ([], [])


@pytest.mark.parametrize(
    "analysed",
    [
        # By another Python, say: another term, other frequencies, one term more, one less.
        "UPDATE i1_post SET term = 'nacht' WHERE doc = 1 AND term = 'night'",
        "UPDATE i1_post SET tf = 3 - tf WHERE doc = 1 AND term IN ('dark', 'the')",
        "INSERT INTO i1_post SELECT field, 'more', doc, 1, length, 9 FROM i1_post "
        "WHERE doc = 1 AND term = 'the'; UPDATE i1_r0 SET c0 = c0 + 1 WHERE doc = 1; "
        "UPDATE i1_stats SET terms = terms + 1 WHERE field = 0",
        "DELETE FROM i1_post WHERE doc = 1 AND term = 'night'; UPDATE i1_r0 SET c0 = c0 - 1 "
        "WHERE doc = 1; UPDATE i1_stats SET terms = terms - 1 WHERE field = 0",
    ],
)
def test_terms_that_were_others_are_deleted_too(backend: EmbeddedBackend, analysed: str) -> None:
    write(backend, "1", DOCUMENT)
    write(backend, "2", {"title": "dark"})
    others = "SELECT * FROM i1_post WHERE doc = 2 AND field = 0"
    before = table(backend, others)
    connection = sqlite3.connect(backend.store.path)
    connection.executescript(analysed)
    connection.close()
    write(backend, "1", {"year": 2}, 2)
    assert table(backend, "SELECT * FROM i1_post WHERE doc = 1") == []
    assert table(backend, others) == before
    assert table(backend, "SELECT docs, terms FROM i1_stats WHERE field = 0") == [(1, 1)]


def test_fields_that_the_mapping_got_later_had_no_terms(backend: EmbeddedBackend) -> None:
    document = {**DOCUMENT, "plot": "dark again", "cast": [{"name": "z"}]}
    write(backend, "1", document)
    cast = {"type": "nested", "properties": {"name": {"type": "text"}}}
    backend.put_mapping("films-1", {"properties": {"plot": {"type": "text"}, "cast": cast}})
    write(backend, "2", document)
    write(backend, "1", None, 2)
    assert {doc for _, _, doc in remaining(backend)[0]} == {2, 1}
    # What is left is of the second document, whose nested ones are the first of their own.
    write(backend, "2", None, 2)
    assert remaining(backend) == ([], [])


def test_a_document_that_fits_the_mapping_no_more_leaves_no_terms(
    backend: EmbeddedBackend,
) -> None:
    write(backend, "1", {**DOCUMENT, "unknown": 1})
    backend.put_mapping("films-1", {})
    connection = sqlite3.connect(backend.store.path)
    # As after "dynamic": "strict".
    (mapping,) = connection.execute("SELECT mapping FROM indices").fetchone()
    strict = json.dumps({**json.loads(mapping), "dynamic": "strict"})
    connection.execute("UPDATE indices SET mapping = ?, generation = generation + 1", (strict,))
    connection.commit()
    connection.close()
    write(backend, "1", None, 2)
    assert remaining(backend) == ([], [])


def test_files_of_the_older_format_are_gone_on_with(tmp_path: Path) -> None:
    backend = EmbeddedBackend(str(tmp_path))
    backend.create_index("films-1", MAPPING, {}, ["write"])
    write(backend, "1", DOCUMENT)
    before = response(backend)
    backend.close()
    connection = sqlite3.connect(tmp_path / "search.sqlite")
    connection.execute("ALTER TABLE i1_docs ADD COLUMN posted TEXT")
    connection.execute("UPDATE i1_docs SET posted = 'anything'")
    connection.execute("UPDATE about SET format = 1")
    connection.commit()
    connection.close()
    reopened = EmbeddedBackend(str(tmp_path))
    assert response(reopened) == before
    # Older releases need what is no more written.
    assert table(reopened, "SELECT format FROM about") == [(2,)]
    write(reopened, "1", None, 2)
    assert remaining(reopened) == ([], [])
    reopened.close()
