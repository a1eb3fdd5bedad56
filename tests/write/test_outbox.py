"""The outbox's tables, and what is asked of them."""

from __future__ import annotations

import re
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
from nefertari_search_tween.interfaces.outbox import LEASE_SECONDS, FanOut
from nefertari_search_tween.interfaces.primary import Key
from nefertari_search_tween.primary.sqla.dependencies.dependencies import Dependencies
from nefertari_search_tween.primary.sqla.outbox import queries, tables
from nefertari_search_tween.primary.sqla.outbox.claims import claimable_rows
from nefertari_search_tween.primary.sqla.outbox.outbox import SqlaOutbox
from nefertari_search_tween.primary.sqla.outbox.transaction import TransactionRecord
from nefertari_search_tween.runtime import SearchRuntime
from tests.support.paths import TOP
from tests.write.outbox_conformance import OutboxConformance, OutboxStore, tags

DOCUMENTED = TOP / "docs" / "consistency.rst"


def statements(dialect):
    """What creates the tables, as one line each."""
    elements = []
    for table in tables.TABLES:
        elements.append(CreateTable(table).compile(dialect=dialect))
        indexes = sorted(table.indexes, key=lambda index: index.name)
        elements.extend(CreateIndex(index).compile(dialect=dialect) for index in indexes)
    return [in_one_line(str(each)) for each in elements]


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
        ours = [each.replace("WHERE fan_out > 0 OR pk IS NULL", "") for each in ours]
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

    def test_rows_that_become_others_are_looked_up_in_their_index(self, sqlite_engine):
        with sqlite_engine.connect() as connection:
            text = str(queries._LAST_ROW.compile(connection))
            plan = connection.execute(f"EXPLAIN QUERY PLAN {text}").fetchall()
        read = [str(row[-1]) for row in plan if "nefertari_search_outbox" in str(row[-1])]
        assert [each for each in read if each.startswith("SCAN")] == read[1:]
        assert "USING INDEX nefertari_search_outbox_fan_out" in read[1]


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


class Tag(Document, Base):
    __tablename__ = "outbox_tags"
    id = Column(Integer, primary_key=True, autoincrement=False)
    name = Column(String(50))


class Keeper(Document, Base):
    __tablename__ = "outbox_keepers"
    code = Column(String(50), primary_key=True)


MODELS = {"Tag": Tag, "Keeper": Keeper}


@pytest.fixture(scope="module", autouse=True)
def _hooks_off():
    """Those of an application that another module has made in this process."""
    current = CURRENT.runtime
    mirrors = isinstance(current, SearchRuntime)
    if mirrors:
        current.capture.remove()
    yield
    if mirrors:
        current.capture.install()


class SqlStore(OutboxStore):
    def __init__(self, url):
        self.engine = create_engine(url, **({} if url.startswith("sqlite") else {"pool_size": 20}))
        tables.create_missing(self.engine)
        Base.metadata.create_all(self.engine)
        self.sessions = []

    def outbox(self, inline=False):
        outbox = SqlaOutbox(Dependencies([Tag, Keeper]), self.engine, inline)
        outbox.create_missing()
        return outbox

    def begin(self):
        self.sessions.append(sessionmaker(bind=self.engine)())
        return self.sessions[-1]

    def write(self, outbox, unit, keys):
        for key in keys:
            unit.add(Tag(id=key.pk) if key.model == "Tag" else Keeper(code=key.pk))
        unit.flush()
        outbox.record(unit, keys)

    def commit(self, unit):
        unit.commit()

    def began_earlier(self, unit, seconds):
        (record,) = [each for each in unit.info.values() if isinstance(each, TransactionRecord)]
        record.began -= seconds

    def end_leases(self, milliseconds):
        self.engine.execute(tables.OUTBOX.update().values(lease_expires_at=milliseconds))

    def grow_old(self, seconds):
        earlier = tables.OUTBOX.c.recorded_at - 1000 * seconds
        self.engine.execute(tables.OUTBOX.update().values(recorded_at=earlier))

    def forget_versions(self):
        self.engine.execute(tables.VERSIONS.update().values(version=5))

    def close(self):
        for session in self.sessions:
            session.close()
        self.engine.dispose()


class TestSqlOutbox(OutboxConformance):
    @pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
    def store(self, request, tmp_path):
        if request.param == "sqlite":
            url = f"sqlite:///{tmp_path}/a.sqlite?timeout=60"
        else:
            fixture = {"postgresql": "postgres_server"}.get(request.param, "mariadb_server")
            server = request.getfixturevalue(fixture)
            url = server.create_database(f"outbox_{uuid.uuid4().hex[:12]}")
        store = SqlStore(url)
        yield store
        store.close()

    def test_rows_are_rolled_back_with_the_change(self, store, outbox):
        session = store.begin()
        store.write(outbox, session, tags(1))
        session.rollback()
        outbox.rolled_back(session)
        assert outbox.pending_count() == 0

        store.write(outbox, session, tags(1))
        assert not outbox.sync_state("Tag").pending
        session.commit()
        assert outbox.sync_state("Tag").pending

    def test_a_transaction_longer_than_the_lease_may_have_lost_its_rows(self, store):
        outbox, session = store.outbox(inline=True), store.begin()
        store.write(outbox, session, tags(1))
        store.began_earlier(session, LEASE_SECONDS + 1)
        session.commit()
        store.expire()
        assert outbox.claim("Tag", 10).keys == tags(1)
        assert outbox.claim_committed(outbox.committed(session)) is None

    def test_readers_count_what_is_recorded_beside_triggers(self, store):
        """The claim after the commit takes rows of triggers, too, whoever they are of."""
        outbox = store.outbox(inline=True)
        outbox.triggers = True
        session = store.begin()
        store.write(outbox, session, tags(1))
        session.commit()
        outbox.enqueue(tags(2))
        claim = outbox.claim_committed(outbox.committed(session))
        assert claim.keys == tags(1, 2)
        assert outbox.sync_state("Tag").pending

    def test_readers_count_the_rows_of_others_if_triggers_were_just_installed(self, store):
        outbox = store.outbox(inline=True)
        session = store.begin()
        store.write(outbox, session, tags(1))
        session.commit()
        outbox.triggers = True
        outbox.enqueue(tags(2))
        assert outbox.claim_committed(outbox.committed(session)).keys == tags(1)
        assert outbox.sync_state("Tag").pending

    def test_a_watermark_follows_what_its_rows_become_and_no_further(self, store, outbox):
        row = {"model": "Tag", "pk": "1", "fan_out": int(FanOut.EMBEDDING), "recorded_at": 1}
        store.engine.execute(tables.OUTBOX.insert().values(row))
        watermark = outbox.watermark()
        claim = outbox.claim("Tag", 1)
        # As the claim has made it of its row, for a document of another model.
        outbox.enqueue([Key("Keeper", "a")])
        outbox.settle(claim, {})
        assert not outbox.has_passed(watermark)
        time.sleep(0.01)
        outbox.enqueue(tags(2))
        outbox.settle(outbox.claim("Keeper", 1), {})
        assert outbox.has_passed(watermark)

    def test_readers_count_what_a_prepared_transaction_recorded(self, store):
        if store.engine.dialect.name != "postgresql":
            pytest.skip("it prepares no transactions, or not in this driver")
        outbox = store.outbox(inline=True)
        session = sessionmaker(bind=store.engine, twophase=True)()
        store.sessions.append(session)
        store.write(outbox, session, tags(1))
        session.prepare()
        session.commit()
        assert outbox.sync_state("Tag").pending

    def test_no_transaction_of_an_application_waits_for_a_claim(self, store, outbox):
        """While a claim's transaction is open, another one records, commits, and is claimed."""
        kind = store.engine.dialect.name
        if kind == "sqlite":
            pytest.skip("SQLite has one writer at a time")
        session = store.begin()
        outbox.enqueue(tags(*range(10)))
        with outbox._transaction() as connection:
            rows = claimable_rows(connection, "Tag", 5, outbox._lease_bounds(0))
            outbox._lease_rows([row.id for row in rows], "open", connection)
            outbox.record(session, tags(*range(20, 30)))
            session.commit()
            claim = outbox.claim("Tag", 100)
            locked = tags(*(int(row.pk) for row in rows))
            assert len(locked) == 5
            assert not claim.keys & locked
            assert claim.keys >= tags(*range(20, 30))
            if kind == "postgresql":
                # InnoDB locks all rows that it looks at, so a small table's others, too.
                assert claim.keys == tags(*range(10), *range(20, 30)) - locked

    def test_tables_that_were_made_anew_serve_on(self, store, outbox):
        for table in reversed(tables.TABLES):
            table.drop(store.engine)
        tables.create_missing(store.engine)
        assert outbox.sync_state("Tag") == (False, 0)
        outbox.enqueue(tags(1))
        assert outbox.claim("Tag", 1).versions["Tag"] > 0
