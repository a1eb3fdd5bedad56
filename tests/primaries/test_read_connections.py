"""The connection that each thread keeps for looking: what it must never miss, hold or share."""

from __future__ import annotations

import os
import sqlite3
import threading

import pytest
from sqlalchemy import create_engine, literal_column, select, table
from sqlalchemy.exc import OperationalError

from nefertari_search_tween.primary.sqla.outbox import connections
from nefertari_search_tween.primary.sqla.outbox.connections import ReadConnections
from nefertari_search_tween.primary.sqla.outbox.queries import state_query
from nefertari_search_tween.primary.sqla.outbox.tables import OUTBOX, VERSIONS

NUMBER = select([literal_column("number")]).select_from(table("numbers"))


def make(path, number):
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE numbers (number INTEGER)")
    connection.execute("INSERT INTO numbers VALUES (?)", (number,))
    connection.commit()
    connection.close()


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "numbers.sqlite"
    make(path, 1)
    return path


@pytest.fixture(params=["delete", "wal"])
def writer(request, path):
    connection = sqlite3.connect(path, timeout=0)
    connection.execute(f"PRAGMA journal_mode={request.param}")
    yield connection
    connection.close()


@pytest.fixture
def reader(path):
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": 0})
    return ReadConnections(engine)


def observation(reader):
    """The number that is read, and the driver's connection that it was read by."""
    (number,) = reader.fetch_first(NUMBER)
    own = reader._connections._local.__dict__.get("handle")
    return number, None if own is None else own.connection


def set_to(writer, number):
    writer.execute("UPDATE numbers SET number = ?", (number,))
    writer.commit()


def test_each_look_sees_what_was_committed_before_it_by_one_connection(reader, writer):
    number, first = observation(reader)
    assert number == 1
    for number in (2, 3):
        set_to(writer, number)
        assert observation(reader) == (number, first)


def test_nothing_is_locked_between_looks(reader, writer):
    """By the look that reads of the mirror take."""
    with reader.connect() as connection:
        for each in (OUTBOX, VERSIONS):
            each.create(connection)
        connection.execute(VERSIONS.insert(), [{"model": "Cat", "version": 1}])
    for number in (2, 3):
        version, pending = reader.fetch_first(state_query("Cat", ("Dog",)), first="9", last="9")
        assert (version, bool(pending)) == (number - 1, False)
        # Fails at once when anything is locked.
        writer.execute("BEGIN EXCLUSIVE")
        writer.execute("UPDATE nefertari_search_versions SET version = ?", (number,))
        writer.commit()


def test_a_file_in_the_place_of_another_is_looked_at(reader, path, tmp_path):
    _, first = observation(reader)
    make(tmp_path / "backup.sqlite", 77)
    os.replace(tmp_path / "backup.sqlite", path)
    number, second = observation(reader)
    assert number == 77
    assert second is not first


def test_a_failed_look_takes_its_connection_with_it(reader, path):
    _, first = observation(reader)
    blocking = sqlite3.connect(path)
    blocking.execute("BEGIN EXCLUSIVE")
    with pytest.raises(OperationalError, match="locked"):
        observation(reader)
    blocking.rollback()
    blocking.close()
    number, second = observation(reader)
    assert number == 1
    assert second is not first


def test_threads_share_none(reader):
    observations = []
    thread = threading.Thread(target=lambda: observations.append(observation(reader)))
    mine = observation(reader)
    thread.start()
    thread.join()
    ((number, its),) = observations
    assert number == 1
    assert its is not mine[1]


def test_the_child_of_a_fork_opens_its_own(reader, writer):
    _, first = observation(reader)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            number, own = observation(reader)
            os.write(write, f"{number} {own is first}".encode())
            status = 0
        finally:
            os._exit(status)
    os.close(write)
    _, status = os.waitpid(child, 0)
    with os.fdopen(read) as output:
        assert (status, output.read()) == (0, "1 False")
    # Nothing is open at a fork, in the parent neither.
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        first.execute("SELECT 1")
    set_to(writer, 2)
    number, second = observation(reader)
    assert number == 2
    assert second is not first


def test_what_other_threads_have_open_is_closed_before_a_fork(reader):
    opened, go_on = threading.Event(), threading.Event()
    observations = []

    def read_twice():
        observations.append(observation(reader))
        opened.set()
        go_on.wait()
        observations.append(observation(reader))

    thread = threading.Thread(target=read_twice)
    thread.start()
    opened.wait()
    child = os.fork()
    if child == 0:
        os._exit(0 if observation(reader)[0] == 1 else 1)
    assert os.waitpid(child, 0)[1] == 0
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        observations[0][1].execute("SELECT 1")
    go_on.set()
    thread.join()
    assert [number for number, _ in observations] == [1, 1]
    assert observations[0][1] is not observations[1][1]


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:////nowhere/at/all.sqlite"])
def test_what_is_no_file_yet_is_not_kept(url):
    engine = create_engine(url)
    assert connections._file_of(engine) is None


def test_a_pool_keeps_its_own(postgres_server):
    """And no transaction is open behind a query."""
    engine = create_engine(postgres_server.create_database("looking"))
    reader = ReadConnections(engine)
    for _ in range(2):
        assert reader.fetch_first(select([literal_column("1")])) == (1,)
    with reader.connect() as connection:
        connection.execute("SELECT 1")
        assert not connection.connection.connection.info.transaction_status
    assert engine.pool.checkedin() == 1
    engine.dispose()
