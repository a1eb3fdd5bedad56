"""The outbox's tables, and what is asked of them."""

from __future__ import annotations

import re
import threading
import time
import uuid

import pytest
from sqlalchemy import Column, Integer, String, create_engine
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.ext.declarative import declarative_base
from sqlalchemy.orm import sessionmaker
from sqlalchemy.schema import CreateIndex, CreateTable

from nefertari_search_tween.compat.current import CURRENT
from nefertari_search_tween.exceptions import ConfigurationError
from nefertari_search_tween.interfaces.outbox import LEASE_SECONDS
from nefertari_search_tween.interfaces.primary import Key
from nefertari_search_tween.primary.sqla.dependencies import Dependencies
from nefertari_search_tween.primary.sqla.outbox import tables
from nefertari_search_tween.primary.sqla.outbox.claims import claimable_rows
from nefertari_search_tween.primary.sqla.outbox.fan_out import FanOutPlan
from nefertari_search_tween.primary.sqla.outbox.outbox import SqlaOutbox
from tests.support.paths import TOP

DOCUMENTED = TOP / "docs" / "consistency.rst"


def statements(dialect):
    """What creates the tables, as one line each."""
    made = []
    for table in tables.TABLES:
        made.append(CreateTable(table).compile(dialect=dialect))
        indexes = sorted(table.indexes, key=lambda index: index.name)
        made.extend(CreateIndex(index).compile(dialect=dialect) for index in indexes)
    return [in_one_line(str(each)) for each in made]


def in_one_line(text):
    return re.sub(r"\s*([(),])\s*", r"\1", " ".join(text.split()))


def documented():
    text = DOCUMENTED.read_text(encoding="utf-8").partition(".. code-block:: sql\n")[2]
    block = re.match(r"\n((?:    .*\n|\n)+)", text)[1]
    return [each.strip() for each in block.split(";") if each.strip()]


@pytest.mark.parametrize(
    ("dialect", "number"),
    [
        (postgresql, "BIGSERIAL NOT NULL"),
        (mysql, "BIGINT NOT NULL AUTO_INCREMENT"),
        (sqlite, "INTEGER NOT NULL"),
    ],
)
def test_the_documented_statements_create_the_tables(dialect, number):
    ours = [in_one_line(each.replace("BIGSERIAL NOT NULL", number)) for each in documented()]
    if dialect is mysql:
        ours = [each.replace("WHERE fan_out > 0", "") for each in ours]
    theirs = [
        each.replace("SMALLINT NOT NULL DEFAULT '0'", "SMALLINT DEFAULT '0' NOT NULL")
        for each in statements(dialect.dialect())
    ]
    assert ours == theirs


def test_tables_that_are_missing_are_created(tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path}/a.sqlite")
    tables.create_missing(engine)
    tables.create_missing(engine)
    assert set(engine.table_names()) == {table.name for table in tables.TABLES}


def test_a_database_that_may_not_be_written_is_told_in_one_line(tmp_path):
    create_engine(f"sqlite:///{tmp_path}/a.sqlite").execute("CREATE TABLE x (y INTEGER)")
    readonly = create_engine("sqlite://", creator=lambda: connect_readonly(tmp_path / "a.sqlite"))
    with pytest.raises(ConfigurationError, match="nefertari_search_outbox is missing") as raised:
        tables.create_missing(readonly)
    assert "\n" not in str(raised.value)


def connect_readonly(path):
    import sqlite3

    return sqlite3.connect(f"file:{path}?mode=ro", uri=True)


class TestMillions:
    """Asking and claiming read a range of the index, however many rows wait."""

    @pytest.fixture
    def sqlite_engine(self, tmp_path):
        engine = create_engine(f"sqlite:///{tmp_path}/a.sqlite")
        tables.create_missing(engine)
        return engine

    @pytest.mark.parametrize(
        "condition",
        [
            "model = 'Item' AND claim_token IS NULL ORDER BY claim_token, id LIMIT 500",
            "model = 'Item' AND claim_token IS NOT NULL AND lease_expires_at < 5 "
            "ORDER BY claim_token, id LIMIT 500",
            "model = 'Item' AND claim_token = 'abc'",
            "model = 'Item'",
        ],
    )
    def test_no_query_scans_or_sorts(self, sqlite_engine, condition):
        plan = sqlite_engine.execute(
            f"EXPLAIN QUERY PLAN SELECT id FROM nefertari_search_outbox WHERE {condition}"
        ).fetchall()
        text = " ".join(str(row[-1]) for row in plan)
        assert "SEARCH" in text and "nefertari_search_outbox_claims" in text
        assert "SCAN" not in text and "TEMP B-TREE" not in text


# On every kind of database

Base = declarative_base()


class Document:
    """What is asked of a model."""

    _nested_relationships = ()
    _nesting_depth = 1
    to_dict = native_fields = _mapped_columns = _mapped_relationships = None

    @classmethod
    def pk_field(cls):
        return cls.__mapper__.primary_key[0].name


class Item(Document, Base):
    __tablename__ = "outbox_items"
    id = Column(Integer, primary_key=True, autoincrement=False)
    name = Column(String(50))


class Keeper(Document, Base):
    __tablename__ = "outbox_keepers"
    code = Column(String(50), primary_key=True)


MODELS = {"Item": Item, "Keeper": Keeper}


@pytest.fixture(scope="module", autouse=True)
def _hooks_off():
    """Those of an application that another module has made in this process."""
    current = CURRENT.runtime
    if current is not None:
        current.capture.remove()
    yield
    if current is not None:
        current.capture.install()


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def engine(request, tmp_path):
    name = f"outbox_{uuid.uuid4().hex[:12]}"
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/a.sqlite"
    elif request.param == "postgresql":
        url = request.getfixturevalue("postgres_server").create_database(name)
    else:
        url = request.getfixturevalue("mariadb_server").create_database(name)
    made = create_engine(url, **({} if request.param == "sqlite" else {"pool_size": 20}))
    tables.create_missing(made)
    Base.metadata.create_all(made)
    yield made
    made.dispose()


def outbox_of(engine, inline=False):
    return SqlaOutbox(MODELS, FanOutPlan(Dependencies([Item, Keeper])), lambda: engine, inline)


@pytest.fixture
def outbox(engine):
    return outbox_of(engine)


@pytest.fixture
def session(engine):
    made = sessionmaker(bind=engine)()
    yield made
    made.close()


def items(*numbers):
    return {Key("Item", number) for number in numbers}


def test_rows_are_committed_with_the_change_or_rolled_back_with_it(outbox, session):
    session.add(Item(id=1))
    session.flush()
    outbox.record(session, items(1))
    assert outbox.has_recorded(session)
    session.rollback()
    outbox.rolled_back(session)
    assert outbox.pending_count() == 0

    session.add(Item(id=1))
    session.flush()
    outbox.record(session, items(1))
    assert not outbox.sync_state("Item").pending
    session.commit()
    assert outbox.committed(session) is None
    assert outbox.sync_state("Item").pending
    assert not outbox.sync_state("Keeper").pending
    assert outbox.claim("Item", 10).keys == items(1)


def test_a_key_is_recorded_once_in_a_transaction(outbox, session):
    outbox.record(session, items(1, 2))
    outbox.record(session, items(2, 3))
    session.commit()
    assert outbox.pending_count("Item") == 3


def test_keys_come_back_as_the_model_has_them(outbox):
    awkward = {"7", "it's", 'a "b"', "é \u2028 日本", "a\nb", " x "}
    outbox.enqueue({Key("Keeper", code) for code in awkward} | items(7))
    assert {key.pk for key in outbox.claim("Keeper", 10).keys} == awkward
    assert {key.pk for key in outbox.claim("Item", 10).keys} == {7}


def test_numbers_only_grow(outbox, engine):
    outbox.enqueue(items(1))
    first = outbox.claim("Item", 10)
    outbox.enqueue(items(1))
    second = outbox.claim("Item", 10)
    assert second.versions["Item"] > first.versions["Item"]
    assert outbox.next_version("Item") > second.versions["Item"]
    # A clock that was set back, or a counter that is ahead of it.
    ahead = 2 * time.time_ns() // 1000
    engine.execute(tables.VERSIONS.update().values(version=ahead))
    assert outbox.next_version("Item") == ahead + 1
    # A database that was restored from a backup of long ago.
    engine.execute(tables.VERSIONS.update().values(version=5))
    assert outbox.next_version("Item") > second.versions["Item"]


def test_a_claim_is_of_one_until_its_lease_is_over(outbox, engine):
    outbox.enqueue(items(*range(5)))
    claim = outbox.claim("Item", 3)
    rest = outbox.claim("Item", 10)
    assert len(claim.keys) == 3
    assert claim.keys | rest.keys == items(*range(5))
    assert outbox.claim("Item", 10) is None
    engine.execute(tables.OUTBOX.update().values(lease_expires_at=1))
    again = outbox.claim("Item", 10)
    assert again.keys == items(*range(5))
    assert again.versions["Item"] > rest.versions["Item"]
    # Who had them before settles nothing of it.
    outbox.settle(claim, "Item", {}, [])
    assert outbox.pending_count("Item") == 5
    outbox.settle(again, "Item", {}, [])
    assert outbox.pending_count() == 0


def test_what_is_released_is_free(outbox):
    outbox.enqueue(items(1, 2))
    claim = outbox.claim("Item", 10)
    outbox.release(claim.token)
    assert outbox.claim("Item", 10).keys == items(1, 2)


def test_rows_of_inline_sync_are_born_claimed(engine, session):
    outbox = outbox_of(engine, inline=True)
    session.add(Item(id=1))
    session.flush()
    outbox.record(session, {*items(1), Key("Keeper", "a")})
    session.commit()
    token = outbox.committed(session)
    assert outbox.claim("Item", 10) is None
    claim = outbox.claim_committed(token)
    assert claim.keys == {*items(1), Key("Keeper", "a")}
    assert set(claim.versions) == {"Item", "Keeper"}
    assert claim.versions["Item"] == outbox.sync_state("Item").version
    outbox.settle(claim, "Item", {}, [1])
    assert outbox.sync_state("Keeper").pending and not outbox.sync_state("Item").pending


def test_a_transaction_longer_than_the_lease_may_have_lost_its_rows(engine, session):
    outbox = outbox_of(engine, inline=True)
    for taken in (False, True):
        outbox.record(session, items(1))
        session.info["nefertari_search.transaction_record"].began -= LEASE_SECONDS + 1
        session.commit()
        engine.execute(tables.OUTBOX.update().values(lease_expires_at=1))
        if taken:
            assert outbox.claim("Item", 10).keys == items(1)
        claim = outbox.claim_committed(outbox.committed(session))
        assert (claim is None) == taken
        if claim is not None:
            assert not claim.expired
            outbox.settle(claim, "Item", {}, [])


def test_no_transaction_of_an_application_waits_for_a_claim(outbox, engine, session):
    """While a claim's transaction is open, another one records, commits, and is claimed."""
    if engine.dialect.name == "sqlite":
        pytest.skip("SQLite has one writer at a time")
    outbox.enqueue(items(*range(10)))
    with outbox._transaction() as connection:
        rows = claimable_rows(connection, "Item", 5, 0)
        outbox._lease_rows([row.id for row in rows], "open", connection)
        outbox.record(session, items(*range(20, 30)))
        session.commit()
        claim = outbox.claim("Item", 100)
        locked = items(*(int(row.pk) for row in rows))
        assert len(locked) == 5
        assert not claim.keys & locked
        assert claim.keys >= items(*range(20, 30))
        if engine.dialect.name == "postgresql":
            # InnoDB locks all rows that it looks at, so a small table's others, too.
            assert claim.keys == items(*range(10), *range(20, 30)) - locked


def test_every_row_is_claimed_once_by_many(engine):
    count, seen, problems = 600, [], []
    outbox_of(engine).enqueue(items(*range(count)))

    def work():
        mine = outbox_of(engine)
        try:
            while (claim := mine.claim("Item", 7)) is not None:
                seen.append(claim)
                mine.settle(claim, "Item", {}, [])
        except Exception as error:  # noqa: BLE001 - told below
            problems.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert sorted(key.pk for claim in seen for key in claim.keys) == list(range(count))
    numbers = [claim.versions["Item"] for claim in seen]
    assert len(set(numbers)) == len(numbers)
    assert outbox_of(engine).pending_count() == 0


def test_dead_letters(outbox):
    outbox.enqueue({*items(1, 2, 3), Key("Keeper", "a")})
    outbox.settle(outbox.claim("Item", 10), "Item", {2: "too long", 3: "é"}, [1])
    letters = outbox.dead_letters()
    assert [(letter.key.pk, letter.error) for letter in letters] == [(2, "too long"), (3, "é")]
    assert abs(letters[0].failed_at - time.time()) < 60
    assert outbox.dead_letters("Keeper") == []

    # Tried again: the letter goes once the document is in the index.
    assert outbox.retry(items(2)) == 1
    claim = outbox.claim("Item", 10)
    assert [letter.key.pk for letter in outbox.dead_letters()] == [2, 3]
    outbox.settle(claim, "Item", {}, [2])
    assert [letter.key.pk for letter in outbox.dead_letters()] == [3]
    # Refused again: one letter, the newer.
    outbox.retry(items(3))
    outbox.settle(outbox.claim("Item", 10), "Item", {3: "still"}, [])
    assert [letter.error for letter in outbox.dead_letters()] == ["still"]
    assert outbox.drop(items(3)) == 1
    assert outbox.dead_letters() == []


def test_what_waits_and_for_how_long(outbox, engine):
    outbox.enqueue(items(1, 2))
    engine.execute(tables.OUTBOX.update().values(recorded_at=tables.OUTBOX.c.recorded_at - 5000))
    outbox.enqueue(items(3))
    lag = outbox.backlog()
    assert set(lag) == {"Item"}
    assert lag["Item"].rows == 3
    assert 5 <= lag["Item"].age_seconds < 60


def test_tables_that_were_made_anew_serve_on(outbox, engine):
    for table in reversed(tables.TABLES):
        table.drop(engine)
    tables.create_missing(engine)
    assert outbox.sync_state("Item") == (False, 0)
    outbox.enqueue(items(1))
    assert outbox.claim("Item", 1).versions["Item"] > 0
