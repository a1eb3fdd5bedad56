"""Rows are read by the shortest statements that give the same documents, to the byte.

What they are compared with: one join per relationship, from the owner's table to the target's, and
each nested document encoded for each document that holds it.
"""

from __future__ import annotations

import json

import pytest
import transaction
from sqlalchemy import event
from sqlalchemy.engine import Engine

from nefertari_search_tween.mirror.serializer import Serializer
from nefertari_search_tween.primary.sqla import reader, row_queries
from tests.apps.every_field.content import fill_zoo
from tests.support import apps

CHUNK = 50


def bodies(search):
    """The JSON texts (or errors) of all documents, by model and key."""
    return {
        (mirror.name, pk): body if isinstance(body, bytes) else repr(body)
        for mirror in search.mirrors
        for rows in mirror.reader.scan(CHUNK)
        for pk, body in rows
    }


def by_joins(search, patch):
    """The same as :func:`bodies`, by joins."""
    patch.setattr(reader, "key_column", lambda model, prop: None)
    patch.setattr(row_queries, "owner_column", lambda model, prop: None)
    patch.setattr(Serializer, "nested", lambda *arguments: Serializer.document(*arguments)[0])
    row_queries._STATEMENTS.clear()
    try:
        return bodies(search)
    finally:
        patch.undo()
        row_queries._STATEMENTS.clear()


@pytest.fixture(scope="module")
def zoo(primary_url, tmp_path_factory, module_prefix):
    from pyramid_sqlalchemy import Session

    folder = tmp_path_factory.mktemp("zoo")
    app = apps.zoo(primary_url, f"embedded:{folder}/search", module_prefix)
    with transaction.manager:
        fill_zoo(200)
    yield apps.search_of(app)
    transaction.abort()
    Session.remove()


@pytest.mark.every_primary
def test_documents_of_the_zoo_are_the_same(zoo, monkeypatch):
    new = bodies(zoo)
    assert len({name for name, _ in new}) > 8
    assert any(b'"keeper":{' in body for body in new.values() if isinstance(body, bytes))
    assert new == by_joins(zoo, monkeypatch)


@pytest.mark.every_primary
def test_what_refers_to_no_row_is_the_same(zoo, monkeypatch):
    """Foreign keys that are not checked may hold anything."""
    engine = zoo.outbox.engine
    if engine.dialect.name != "sqlite":
        pytest.skip("the database checks them")
    with engine.begin() as connection:
        connection.execute("UPDATE zoo_items SET keeper_code = 'none such' WHERE id % 3 = 0")
        # One that is not nested: its key alone is shown.
        connection.execute("UPDATE zoo_nodes SET parent_id = 999999 WHERE id % 2 = 0")
    new = bodies(zoo)
    item = json.loads(new["Item", 3])
    assert (item["keeper_code"], item["keeper"]) == ("none such", None)
    assert new == by_joins(zoo, monkeypatch)


def test_documents_of_the_films_are_the_same(loaded_films, monkeypatch):
    search = apps.search_of(apps.films(*loaded_films))
    new = bodies(search)
    assert len(new) > 17_000
    assert new == by_joins(search, monkeypatch)


def test_a_key_in_the_row_needs_no_join(loaded_films):
    """The film has its director's key, and so have the director's films."""
    search = apps.search_of(apps.films(*loaded_films))
    statements = []

    def note(connection, cursor, statement, parameters, context, executemany):
        statements.append(" ".join(statement.split()))

    reads = search.mirrors.get("Film").reader
    pks = [pk for pk, _ in next(iter(reads.scan(CHUNK)))]
    event.listen(Engine, "before_cursor_execute", note)
    try:
        reads.read(pks)
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    # Only what an association table links is joined.
    joined = [each for each in statements if " JOIN " in each or "people AS " in each]
    assert joined == []
    assert len([each for each in statements if "FROM people" in each]) == 1
