"""What databases and drivers limit: variables of a statement, transactions that they begin."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest
import transaction
from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.exc import OperationalError
from webtest import TestApp

from nefertari_search_tween.indexing.verify.verify import verify
from nefertari_search_tween.interfaces.primary import Key
from tests.support.apps import awkward, forget_sessions, search_of

#: more than SQLite took before 3.32, in one statement
VARIABLES = 999
OBJECTS = 1500


def _own_transactions(connection: Any, record: Any) -> None:
    connection.isolation_level = None


def _begin(connection: Any) -> None:
    connection.execute("BEGIN")


def _begin_immediate(connection: Any) -> None:
    connection.execute("BEGIN IMMEDIATE")


@pytest.fixture(params=[_begin, _begin_immediate], ids=["BEGIN", "BEGIN IMMEDIATE"])
def app(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[TestApp]:
    """On SQLite as SQLAlchemy's documentation has it for real savepoints."""
    event.listen(Engine, "connect", _own_transactions)
    event.listen(Engine, "begin", request.param)
    try:
        names = (_own_transactions, request.param)
        trusted = " ".join(f"{each.__module__}.{each.__qualname__}" for each in names)
        yield _app(tmp_path, **{"nefertari_search.trusted_hooks": trusted})
    finally:
        event.remove(Engine, "connect", _own_transactions)
        event.remove(Engine, "begin", request.param)
        forget_sessions()


def _app(folder: Any, **settings: Any) -> TestApp:
    only = {"nefertari_search.models": "Lever"}
    url = f"sqlite:///{folder}/a.sqlite?timeout=1"
    return awkward(url, f"embedded:{folder}/search", "levers", **only, **settings)


def test_claims_and_commands_work_with_transactions_of_the_application_s(app: TestApp) -> None:
    from pyramid_sqlalchemy import Session

    from tests.apps.awkward.models import Lever

    search = search_of(app)
    app.post_json("/levers", {"name": "one"})
    with transaction.manager:
        Session().add(Lever(name="two"))
        Session().flush()
        savepoint = Session().begin_nested()
        Session().add(Lever(name="never"))
        Session().flush()
        savepoint.rollback()
    answer = app.get("/levers?_sort=id")
    assert answer.headers["X-Search-Engine"] == "mirror"
    assert [each["name"] for each in answer.json["data"]] == ["one", "two"]
    assert search.outbox.pending_count() == 0
    # What a killed process has left is claimed by the next.
    with search.outbox.engine.begin() as connection:
        connection.execute("UPDATE awkward_levers SET name = 'three' WHERE name = 'two'")
    search.outbox.enqueue([Key("Lever", 1), Key("Lever", 2)])
    assert search.indexer.drain() == 2
    assert [each["name"] for each in app.get("/levers?_sort=id").json["data"]] == ["one", "three"]
    mirror = search.mirrors.get("Lever")
    assert verify(search.mirrors, search.outbox, mirror, 100).clean


def test_a_claim_has_the_file_s_lock_before_its_query(app: TestApp) -> None:
    outbox = search_of(app).outbox
    with outbox._transaction(writing=True) as connection:
        assert connection.execute("SELECT count(*) FROM awkward_levers").scalar() == 0
        other = sqlite3.connect(outbox.engine.url.database, timeout=0, isolation_level=None)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
        other.close()


@pytest.fixture
def limited(tmp_path: Any) -> Iterator[TestApp]:
    """On SQLite with as many variables as its old versions take."""

    def limit(connection: Any, record: Any) -> None:
        connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, VARIABLES)

    if not hasattr(sqlite3.Connection, "setlimit"):
        pytest.skip("this Python can't limit SQLite")
    event.listen(Engine, "connect", limit)
    try:
        app = _app(tmp_path)
        query = f"SELECT 1 WHERE 1 IN ({', '.join('?' * (VARIABLES + 1))})"
        with pytest.raises(OperationalError):
            search_of(app).outbox.engine.execute(query, tuple(range(VARIABLES + 1)))
        yield app
    finally:
        event.remove(Engine, "connect", limit)
        forget_sessions()


def test_statements_have_the_variables_that_old_versions_take(limited: TestApp) -> None:
    search = search_of(limited)
    with search.outbox.engine.begin() as connection:
        names = [(number, f"n{number}") for number in range(OBJECTS)]
        connection.execute("INSERT INTO awkward_levers (id, name) VALUES (?, ?)", names)
    keys = [Key("Lever", number) for number in range(OBJECTS)]
    from pyramid_sqlalchemy import Session

    with transaction.manager:
        # One transaction, one claim.
        search.outbox.record(Session(), keys)
        from zope.sqlalchemy import mark_changed

        mark_changed(Session())
    assert search.outbox.pending_count() == 0
    reader = search.mirrors.get("Lever").reader
    assert len(reader.existing(range(OBJECTS))) == OBJECTS
    assert sum(map(len, reader.split(range(OBJECTS), OBJECTS))) == OBJECTS
    search.outbox.enqueue(keys)
    assert search.indexer.drain() == OBJECTS
    mirror = search.mirrors.get("Lever")
    differences = verify(search.mirrors, search.outbox, mirror, 5000)
    assert (differences.compared, differences.clean) == (OBJECTS, True)
