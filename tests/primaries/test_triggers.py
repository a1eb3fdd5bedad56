"""Triggers: what no SQLAlchemy session does is mirrored, too.

On SQLite, and with NEFERTARI_SEARCH_TEST_PRIMARY=postgresql on PostgreSQL. Changes are made by
another program (psql, or Python's sqlite3 in a process of its own), or by connections that no
session knows. Every test ends with whole collections compared, mirror against primary.
"""

from __future__ import annotations

import contextlib
import os
import random
import socket
import subprocess
import sys
import threading
import time
import uuid

import pytest
import transaction
from sqlalchemy import create_engine, event
from sqlalchemy.exc import IntegrityError

from nefertari_search_tween.exceptions import BackendError, ConfigurationError
from nefertari_search_tween.indexing.bulk_writer import build_actions, write
from nefertari_search_tween.indexing.indexer import TARGETS_SECONDS
from nefertari_search_tween.mirror.mirror import write_alias
from nefertari_search_tween.primary.sqla.capture.triggers import install as triggers
from tests.support.apps import search_of, zoo
from tests.support.tiers import PRIMARY, examples, primary_kind
from tests.write.test_sync import delete_indices, empty_tables, mirrored_ids, same_everywhere

pytestmark = [pytest.mark.every_primary, pytest.mark.slow]

ON_POSTGRESQL = primary_kind() == "postgresql"
postgresql = pytest.mark.skipif(not ON_POSTGRESQL, reason=f"{PRIMARY} is not postgresql")
sqlite = pytest.mark.skipif(ON_POSTGRESQL, reason=f"{PRIMARY} is postgresql")
#: How many rows one UPDATE in another program changes: 200,000 by hand.
ROWS = int(os.environ.get("NEFERTARI_SEARCH_TEST_ROWS", "5000"))
CHUNK = 200
SEED = (
    "INSERT INTO zoo_keepers (code, name) VALUES ('k1', 'Ann'), ('k2', 'Bo')",
    "INSERT INTO zoo_tags (id, name) VALUES (1, 'big'), (2, 'loud'), (3, 'old')",
    "INSERT INTO zoo_items (id, name, keeper_code) VALUES (1, 'Lion', 'k1'), (2, 'Tiger', NULL),"
    " (3, 'Puma', 'k2')",
    "INSERT INTO zoo_item_tags (item_id, tag_id) VALUES (1, 1), (1, 2), (3, 1)",
    "INSERT INTO zoo_labels (id, text, item_id) VALUES (1, 'roars', 1)",
    "INSERT INTO zoo_visits (id, guest, item_id) VALUES (1, 'Guest', 1), (2, 'Other', 3)",
    "INSERT INTO zoo_nodes (id, name, parent_id) VALUES (1, 'root', NULL), (2, 'leaf', 1),"
    " (3, 'twig', 2)",
    "INSERT INTO zoo_marked (id, name) VALUES (1, 'One')",
)
TABLES = {
    "zoo_customs",
    "zoo_item_tags",
    "zoo_items",
    "zoo_keepers",
    "zoo_labels",
    "zoo_marked",
    "zoo_meals",
    "zoo_nodes",
    "zoo_pens",
    "zoo_round_meals",
    "zoo_rounds",
    "zoo_tags",
    "zoo_visits",
}
PROGRAM = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], timeout=30)
connection.execute("PRAGMA foreign_keys = ON")
connection.executescript(sys.stdin.read())
connection.commit()
"""


class Gate:
    """Passes connections on to a server, or refuses them: a server that is away."""

    def __init__(self, url):
        host, _, port = url.rpartition("/")[2].partition(":")
        self.target = (host, int(port))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.open = True
        self.pairs = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                inner, _ = self.listener.accept()
                if not self.open:
                    inner.close()
                    continue
                outer = socket.create_connection(self.target)
                self.pairs += [inner, outer]
                for one, other in ((inner, outer), (outer, inner)):
                    threading.Thread(target=self._pass_on, args=(one, other), daemon=True).start()

    def _pass_on(self, one, other):
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)
        for each in (one, other):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def shut(self):
        self.open = False
        for each in self.pairs:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self.pairs = []


@pytest.fixture(scope="module")
def gate(elasticsearch_url):
    gate = Gate(elasticsearch_url)
    yield gate
    gate.listener.close()


@pytest.fixture(scope="module")
def app(primary_url, gate):
    from pyramid_sqlalchemy import Session

    Session.remove()
    app = zoo(
        primary_url,
        f"http://127.0.0.1:{gate.port}",
        f"test-{uuid.uuid4().hex[:12]}",
        **{"elasticsearch.chunk_size": str(CHUNK)},
    )
    app.get("/keepers?_sort=code")  # the database's collation is asked for once
    # Tests say when what waits is indexed.
    search_of(app).indexer.recovery.stop()
    yield app
    transaction.abort()
    Session.remove()
    delete_indices(app)


@pytest.fixture(scope="module")
def outside(primary_url):
    """Runs SQL in another program; gives what it says when it fails."""

    def run(*statements):
        script = ";\n".join(statements) + ";\n"
        if ON_POSTGRESQL:
            command = ["psql", "-q", "-v", "ON_ERROR_STOP=1", "-d", primary_url]
        else:
            command = [sys.executable, "-c", PROGRAM, primary_url.partition(":///")[2]]
        done = subprocess.run(command, input=script, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr

    return run


@pytest.fixture(scope="module")
def engine(primary_url):
    """Connections that the application's sessions know nothing of."""
    engine = create_engine(primary_url)
    if not ON_POSTGRESQL:

        @event.listens_for(engine, "connect")
        def enforce(connection, _record):
            connection.execute("PRAGMA foreign_keys = ON")

    yield engine
    engine.dispose()


def database(app):
    search = search_of(app)
    return search.outbox.engine, search.dependencies


@pytest.fixture(autouse=True)
def _seeded(app, outside):
    """Triggers, the rows of SEED, and nothing that waits."""
    transaction.abort()
    triggers.install(*database(app))
    empty_tables()
    outside(*SEED)
    search_of(app).indexer.drain()
    assert search_of(app).outbox.pending_count() == 0


@pytest.fixture
def models(app):
    from tests.apps.every_field import models

    return models


@pytest.fixture
def session(app):
    from pyramid_sqlalchemy import Session

    return Session


def captured(app):
    """Something waits; then nothing does, and mirror and primary agree. Gives the data by name."""
    search = search_of(app)
    assert search.outbox.pending_count() > 0
    return drained(app)


def drained(app):
    search = search_of(app)
    search.indexer.drain()
    assert search.outbox.backlog() == {}
    return {name: body["data"] for name, body in same_everywhere(app).items()}


def by_key(rows, key="id"):
    return {row[key]: row for row in rows}


# One statement


def test_rows_that_another_program_inserted_are_mirrored(app):
    rows = drained(app)  # all of SEED

    assert by_key(rows["items"])[1]["keeper"]["name"] == "Ann"
    assert by_key(rows["items"])[1]["label"]["text"] == "roars"
    assert sorted(by_key(rows["items"])[1]["tags"]) == [1, 2]
    assert by_key(rows["keepers"], "code")["k1"]["items"] == [1]
    assert by_key(rows["nodes"])[1]["children"] == [2]
    assert mirrored_ids(app, "Item") == ["1", "2", "3"]


def test_an_update_by_another_program_is_mirrored(app, outside):
    outside("UPDATE zoo_items SET name = 'Puma' WHERE id = 2")

    assert by_key(captured(app)["items"])[2]["name"] == "Puma"


def test_an_order_that_another_program_changed_is_mirrored(app, outside):
    """Of a list of keys that stay the same, and of nested documents."""
    outside(
        "INSERT INTO zoo_pens (id) VALUES (1)",
        "INSERT INTO zoo_rounds (id) VALUES (1)",
        "INSERT INTO zoo_meals (id, rank, pen_id) VALUES (1, 1, 1), (2, 2, 1)",
        "INSERT INTO zoo_round_meals (round_id, meal_id) VALUES (1, 1), (1, 2)",
    )
    assert captured(app)["rounds"][0]["meals"] == [1, 2]
    outside("UPDATE zoo_meals SET rank = 3 WHERE id = 1")

    rows = captured(app)
    assert rows["rounds"][0]["meals"] == [2, 1]
    assert [meal["id"] for meal in rows["pens"][0]["meals"]] == [1, 2]


def test_a_delete_by_another_program_is_mirrored(app, outside):
    outside("DELETE FROM zoo_items WHERE id = 2")

    assert 2 not in by_key(captured(app)["items"])
    assert mirrored_ids(app, "Item") == ["1", "3"]


def test_raw_sql_of_the_application_itself_is_mirrored(app, session):
    with transaction.manager:
        session.execute("UPDATE zoo_marked SET name = 'Two'")
        from zope.sqlalchemy import mark_changed

        mark_changed(session())

    assert captured(app)["marked"][0]["name"] == "Two"


def test_a_rollback_leaves_nothing(app, engine):
    with engine.connect() as connection:
        change = connection.begin()
        connection.execute("UPDATE zoo_items SET name = 'Puma'")
        connection.execute("DELETE FROM zoo_item_tags")
        change.rollback()

    assert search_of(app).outbox.pending_count() == 0
    assert by_key(drained(app)["items"])[2]["name"] == "Tiger"


def test_a_statement_that_is_refused_leaves_nothing(app, engine):
    with engine.connect() as connection, pytest.raises(IntegrityError):
        connection.execute("INSERT INTO zoo_keepers (code, name) VALUES ('new', 'x'), ('k1', 'y')")

    assert search_of(app).outbox.pending_count() == 0


def test_a_statement_that_finds_no_rows_leaves_nothing(app, outside):
    outside("UPDATE zoo_items SET name = 'x' WHERE id = 99", "DELETE FROM zoo_tags WHERE id = 99")

    assert search_of(app).outbox.pending_count() == 0


def test_what_a_transaction_has_not_committed_is_not_claimed(app, engine):
    if not ON_POSTGRESQL:
        pytest.skip("SQLite has one writer: a claim would wait for it")
    with engine.connect() as connection:
        change = connection.begin()
        connection.execute("UPDATE zoo_items SET name = 'Puma' WHERE id = 2")
        assert search_of(app).indexer.drain() == 0
        change.commit()

    assert by_key(captured(app)["items"])[2]["name"] == "Puma"


# Documents that show the row


def test_a_change_shows_two_levels_up(app, outside):
    outside("UPDATE zoo_keepers SET name = 'Zoë' WHERE code = 'k1'")

    rows = captured(app)
    assert by_key(rows["items"])[1]["keeper"]["name"] == "Zoë"
    assert by_key(rows["visits"])[1]["item"]["keeper"]["name"] == "Zoë"


def test_an_object_without_a_mirror_shows_where_it_is_nested(app, outside):
    outside("UPDATE zoo_labels SET text = 'purrs'")
    assert by_key(captured(app)["items"])[1]["label"]["text"] == "purrs"

    outside("UPDATE zoo_labels SET item_id = 2")
    items = by_key(captured(app)["items"])
    assert (items[1]["label"], items[2]["label"]["text"]) == (None, "purrs")

    outside("DELETE FROM zoo_labels")
    assert by_key(captured(app)["items"])[2]["label"] is None

    outside("INSERT INTO zoo_labels (id, text, item_id) VALUES (7, 'hums', 3)")
    assert by_key(captured(app)["items"])[3]["label"]["text"] == "hums"


def test_a_foreign_key_that_moved_shows_on_both_owners(app, outside):
    outside("UPDATE zoo_items SET keeper_code = 'k2' WHERE id = 1")
    keepers = by_key(captured(app)["keepers"], "code")
    assert (keepers["k1"]["items"], sorted(keepers["k2"]["items"])) == ([], [1, 3])

    outside("UPDATE zoo_items SET keeper_code = NULL WHERE id = 1")
    assert by_key(captured(app)["keepers"], "code")["k2"]["items"] == [3]

    outside("UPDATE zoo_items SET keeper_code = 'k1'")
    keepers = by_key(captured(app)["keepers"], "code")
    assert (sorted(keepers["k1"]["items"]), keepers["k2"]["items"]) == ([1, 2, 3], [])

    outside("DELETE FROM zoo_items WHERE id = 1")
    assert sorted(by_key(captured(app)["keepers"], "code")["k1"]["items"]) == [2, 3]


def test_both_sides_show_what_was_linked_and_unlinked(app, outside):
    outside("INSERT INTO zoo_item_tags (item_id, tag_id) VALUES (2, 3)")
    rows = captured(app)
    assert by_key(rows["items"])[2]["tags"] == [3]
    assert by_key(rows["tags"])[3]["items"] == [2]

    outside("UPDATE zoo_item_tags SET item_id = 3, tag_id = 2 WHERE item_id = 2")
    rows = captured(app)
    assert by_key(rows["items"])[2]["tags"] == []
    assert sorted(by_key(rows["items"])[3]["tags"]) == [1, 2]
    assert by_key(rows["tags"])[3]["items"] == []

    outside("DELETE FROM zoo_item_tags WHERE tag_id = 1")
    rows = captured(app)
    assert by_key(rows["items"])[1]["tags"] == [2]
    assert by_key(rows["tags"])[1]["items"] == []


def test_parents_and_children_show_each_other(app, outside):
    outside("UPDATE zoo_nodes SET parent_id = 1 WHERE id = 3")
    nodes = by_key(captured(app)["nodes"])
    assert (sorted(nodes[1]["children"]), nodes[2]["children"]) == ([2, 3], [])

    outside("DELETE FROM zoo_nodes WHERE id = 3")
    assert by_key(captured(app)["nodes"])[1]["children"] == [2]


# Keys


def test_a_primary_key_that_changed_moves_the_document(app, outside):
    outside("UPDATE zoo_tags SET id = 9 WHERE id = 3")
    assert set(by_key(captured(app)["tags"])) == {1, 2, 9}

    outside(
        "UPDATE zoo_tags SET id = id + 10 WHERE id = 9", "UPDATE zoo_tags SET id = 3 WHERE id = 19"
    )
    assert set(by_key(captured(app)["tags"])) == {1, 2, 3}
    assert mirrored_ids(app, "Tag") == ["1", "2", "3"]


@pytest.mark.thorough
@pytest.mark.parametrize(
    "code",
    ["it's", 'say "no"', "ünï😀", "line\nline", " spaces ", "%s :name \\ {}", "007", "NULL"],
)
def test_a_text_key_is_written_as_python_has_it(app, engine, code):
    sign = "%s" if ON_POSTGRESQL else "?"
    with engine.begin() as connection:
        connection.execute(f"INSERT INTO zoo_keepers (code, name) VALUES ({sign}, 'x')", (code,))
        connection.execute(f"UPDATE zoo_items SET keeper_code = {sign} WHERE id = 1", (code,))
    rows = captured(app)
    assert by_key(rows["keepers"], "code")[code]["items"] == [1]
    assert mirrored_ids(app, "Keeper") == sorted(["k1", "k2", code])

    with engine.begin() as connection:
        connection.execute("UPDATE zoo_items SET keeper_code = NULL")
        connection.execute(f"DELETE FROM zoo_keepers WHERE code = {sign}", (code,))
    captured(app)
    assert mirrored_ids(app, "Keeper") == ["k1", "k2"]


@postgresql
def test_keys_that_change_places_in_one_statement_are_mirrored(app, outside):
    outside(
        "ALTER TABLE zoo_marked DROP CONSTRAINT zoo_marked_pkey",
        "INSERT INTO zoo_marked (id, name) VALUES (2, 'Two')",
        "UPDATE zoo_marked SET id = 3 - id",
        "ALTER TABLE zoo_marked ADD PRIMARY KEY (id)",
    )
    names = {key: row["name"] for key, row in by_key(captured(app)["marked"]).items()}
    assert names == {1: "Two", 2: "One"}


# What the database does by itself


def test_on_delete_set_null_reaches_the_mirrors(app, outside):
    outside("DELETE FROM zoo_keepers WHERE code = 'k1'")

    rows = captured(app)
    assert by_key(rows["items"])[1]["keeper"] is None
    assert by_key(rows["visits"])[1]["item"]["keeper"] is None


def test_on_delete_cascade_reaches_the_mirrors(app, outside):
    outside("DELETE FROM zoo_items WHERE id = 1")

    rows = captured(app)
    assert set(by_key(rows["visits"])) == {2}
    assert by_key(rows["tags"])[1]["items"] == [3]
    assert by_key(rows["keepers"], "code")["k1"]["items"] == []
    assert mirrored_ids(app, "Visit") == ["2"]


def test_on_update_cascade_reaches_the_mirrors(app, outside):
    outside("UPDATE zoo_nodes SET id = 50 WHERE id = 1")
    nodes = by_key(captured(app)["nodes"])
    assert (nodes[2]["parent"], nodes[50]["children"]) == (50, [2])

    outside(
        "DELETE FROM zoo_item_tags",
        "DELETE FROM zoo_labels",
        "UPDATE zoo_items SET id = 60 WHERE id = 1",
    )
    rows = captured(app)
    assert by_key(rows["visits"])[1]["item"]["id"] == 60
    assert mirrored_ids(app, "Item") == ["2", "3", "60"]


def test_rows_that_refer_to_what_is_gone_or_comes_later_are_mirrored(app, outside):
    """Nothing but an enforced foreign key forbids them."""
    off = "SET session_replication_role = replica" if ON_POSTGRESQL else "PRAGMA foreign_keys = OFF"
    # A replica fires no triggers but those that are told to fire always.
    always = [
        f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER nefertari_search_{event}"
        for table in sorted(TABLES)
        for event in ("insert", "update", "delete")
        if ON_POSTGRESQL
    ]
    outside(
        *always,
        off,
        "DELETE FROM zoo_keepers WHERE code = 'k1'",
        "DELETE FROM zoo_tags WHERE id = 1",
    )
    rows = captured(app)
    assert by_key(rows["items"])[1]["keeper"] is None
    assert by_key(rows["items"])[3]["tags"] == []

    outside(
        off,
        "INSERT INTO zoo_keepers (code, name) VALUES ('k1', 'Back')",
        "INSERT INTO zoo_tags (id, name) VALUES (1, 'back')",
    )
    rows = captured(app)
    assert by_key(rows["items"])[1]["keeper"]["name"] == "Back"
    assert by_key(rows["visits"])[1]["item"]["keeper"]["name"] == "Back"
    assert by_key(rows["items"])[3]["tags"] == [1]


@sqlite
def test_rows_that_were_replaced_are_mirrored(app, outside):
    outside("INSERT OR REPLACE INTO zoo_items (id, name, keeper_code) VALUES (1, 'Puma', 'k2')")
    keepers = by_key(captured(app)["keepers"], "code")
    assert (keepers["k1"]["items"], sorted(keepers["k2"]["items"])) == ([], [1, 3])

    outside("CREATE UNIQUE INDEX one_name ON zoo_keepers (name)")
    try:
        assert {"zoo_keepers"} == not_installed(app)
        triggers.install(*database(app))
        outside("INSERT OR REPLACE INTO zoo_keepers (code, name) VALUES ('k3', 'Bo')")
        assert set(by_key(captured(app)["keepers"], "code")) == {"k1", "k3"}

        outside("UPDATE OR REPLACE zoo_keepers SET name = 'Bo' WHERE code = 'k1'")
        assert set(by_key(captured(app)["keepers"], "code")) == {"k1"}
        assert mirrored_ids(app, "Keeper") == ["k1"]
    finally:
        outside("DROP INDEX one_name")


# TRUNCATE


@postgresql
def test_a_truncated_table_is_mirrored(app, outside):
    outside("TRUNCATE zoo_marked")

    assert captured(app)["marked"] == []
    assert mirrored_ids(app, "Marked") == []


@postgresql
def test_a_table_that_was_truncated_and_filled_again_is_mirrored(app, outside):
    outside(
        "TRUNCATE zoo_visits",
        "INSERT INTO zoo_visits (id, guest, item_id) VALUES (2, 'New', 1), (5, 'Newer', 2)",
    )

    assert {each["guest"] for each in captured(app)["visits"]} == {"New", "Newer"}
    assert mirrored_ids(app, "Visit") == ["2", "5"]


@postgresql
def test_a_truncate_that_cascades_is_mirrored(app, outside):
    outside("TRUNCATE zoo_keepers CASCADE")

    rows = captured(app)
    for name in ("keepers", "items", "visits"):
        assert rows[name] == []
    assert [each["items"] for each in rows["tags"]] == [[], [], []]
    for name in ("Keeper", "Item", "Visit"):
        assert mirrored_ids(app, name) == []


@postgresql
def test_truncated_links_and_truncated_nested_objects_are_mirrored(app, outside):
    outside("TRUNCATE zoo_item_tags", "TRUNCATE zoo_labels")

    rows = captured(app)
    assert [(each["tags"], each["label"]) for each in rows["items"]] == [([], None)] * 3


@postgresql
def test_a_truncate_of_many_rows_is_mirrored_while_one_of_them_is_being_indexed(app, outside):
    outside(
        "INSERT INTO zoo_marked (id, name) SELECT n, 'x' FROM generate_series(2, 1000) n",
    )
    search = search_of(app)
    mirror = search.mirrors.get("Marked")
    outside("UPDATE zoo_marked SET name = 'y' WHERE id = 7")
    while search.indexer.process_next_claim(mirror) is not None:
        pass
    # An indexer that has read a row, and writes it when everything else is over.
    outside("INSERT INTO zoo_marked (id, name) VALUES (5000, 'slow')")
    slow = search.outbox.claim("Marked", 10)
    bodies = mirror.reader.read([5000])
    outside("TRUNCATE zoo_marked")
    search.indexer.drain()

    for target in search.indexer.write_targets(mirror):
        write(mirror, build_actions(mirror, target, slow.versions["Marked"], [5000], bodies), 10)
    search.outbox.settle(slow, {})

    assert drained(app)["marked"] == []
    assert mirrored_ids(app, "Marked") == []


@postgresql
def test_a_truncate_during_a_rebuild_is_looked_at_until_the_rebuild_is_over(app, engine, outside):
    """What the rebuild has read but not written when the index is looked through, comes later."""
    search = search_of(app)
    mirror = search.mirrors.get("Marked")
    index = f"{mirror.alias}-000099"
    search.backend.create_index(index, mirror.mapping, {}, [write_alias(index)])
    try:
        time.sleep(1.5 * TARGETS_SECONDS)  # every indexer knows it by now, as a rebuild waits
        outside("INSERT INTO zoo_marked (id, name) VALUES (8, 'Eight'), (9, 'Nine')")
        bodies = mirror.reader.read([8, 9])
        outside("TRUNCATE zoo_marked")
        search.indexer.drain()
        assert set(search.outbox.backlog()) == {"Marked"}

        write(mirror, build_actions(mirror, write_alias(index), 0, [8, 9], bodies), 10)
        with engine.begin() as connection:
            connection.execute("UPDATE nefertari_search_outbox SET lease_expires_at = 0")
        search.indexer.drain()
        assert set(search.outbox.backlog()) == {"Marked"}
        search.backend.refresh(index)
        assert search.backend.search(index, {"size": 10})["hits"]["hits"] == []
    finally:
        search.backend.delete_index(index)
    with engine.begin() as connection:
        connection.execute("UPDATE nefertari_search_outbox SET lease_expires_at = 0")

    assert captured(app)["marked"] == []


# With everything else


def test_a_session_and_triggers_together_leave_nothing_that_waits(app, models, session):
    """Inline: what a commit changed is in the mirror after it, for the next read."""
    app.patch_json("/keepers/k1", {"name": "Zoë"})
    assert search_of(app).outbox.backlog() == {}
    same_everywhere(app)

    item = app.post_json("/items", {"id": 50, "name": "Ocelot", "keeper_code": "k1"}).json
    app.patch_json(f"/items/{item['id']}", {"keeper_code": "k2"})
    app.delete("/items/1")
    with transaction.manager:
        session.query(models.Label).delete(synchronize_session=False)
        session.query(models.Item).update({"name": "All"}, synchronize_session=False)
        session.query(models.Keeper).get("k1").name = "Other"
    assert search_of(app).outbox.backlog() == {}
    assert {each["name"] for each in drained(app)["items"]} == {"All"}


def test_an_object_that_a_session_changed_is_indexed_once(app):
    """The triggers' rows are taken along by the claim of the session's own."""
    with numbers(app, "Item") as claim_count:
        app.patch_json("/items/2", {"name": "Ocelot"})
    assert claim_count() == 1


@contextlib.contextmanager
def numbers(app, name):
    """How many claims of a model there are meanwhile."""
    outbox, claims = search_of(app).outbox, []

    def noting(take):
        def noted(*arguments):
            claim = take(*arguments)
            if claim is not None and name in claim.versions:
                claims.append(claim)
            return claim

        return noted

    with pytest.MonkeyPatch.context() as patch:
        for each in ("claim", "claim_committed"):
            patch.setattr(outbox, each, noting(getattr(outbox, each)))
        yield lambda: len(claims)


def test_raw_sql_beside_the_changes_of_a_session_is_mirrored(app, models, session):
    with transaction.manager:
        session.query(models.Item).get(2).name = "Ocelot"
        session.flush()
        session.execute("UPDATE zoo_items SET name = 'Puma' WHERE id = 3")
        session.execute("UPDATE zoo_marked SET name = 'Two'")

    rows = captured(app)
    assert by_key(rows["items"])[3]["name"] == "Puma"
    assert rows["marked"][0]["name"] == "Two"


def test_a_reader_does_not_get_what_the_mirror_does_not_have_yet(app, outside):
    """Also of a model whose documents show what was changed."""
    outside("UPDATE zoo_keepers SET name = 'Zoë' WHERE code = 'k1'")

    answer = app.get("/visits?_sort=id")
    assert answer.headers["X-Search-Engine"] == "primary; reason=stale"
    assert answer.json["data"][0]["item"]["keeper"]["name"] == "Zoë"
    # Nothing of it shows in a tag.
    assert app.get("/marked").headers["X-Search-Engine"] == "mirror"
    captured(app)


def test_what_changed_while_the_search_server_was_away_is_mirrored(app, gate, outside):
    gate.shut()
    try:
        outside(
            "UPDATE zoo_keepers SET name = 'Zoë'",
            "DELETE FROM zoo_items WHERE id = 3",
            "UPDATE zoo_labels SET text = 'purrs'",
        )
        with pytest.raises(BackendError):
            search_of(app).indexer.drain()
        assert search_of(app).outbox.pending_count() > 0
    finally:
        gate.open = True

    search_of(app).mirrors.breaker.record_response()
    assert by_key(captured(app)["items"])[1]["label"]["text"] == "purrs"


@postgresql
def test_a_document_made_while_what_it_nests_is_changed_shows_the_change(app, engine):
    """The writer of the change could not see the document, nor its maker the change."""
    with engine.connect() as connection:
        change = connection.begin()
        connection.execute("UPDATE zoo_keepers SET name = 'Zoë' WHERE code = 'k1'")
        with engine.begin() as other:
            other.execute("INSERT INTO zoo_items (id, name, keeper_code) VALUES (9, 'New', 'k1')")
        search_of(app).indexer.drain()
        assert by_key(drained(app)["items"])[9]["keeper"]["name"] == "Ann"
        change.commit()

    assert by_key(captured(app)["items"])[9]["keeper"]["name"] == "Zoë"


@pytest.mark.thorough
def test_many_rows_changed_by_one_statement_of_another_program_are_mirrored(
    app, outside, record_property
):
    """NEFERTARI_SEARCH_TEST_ROWS rows, each nested in a document."""
    numbers = (
        f"generate_series(1001, {1000 + ROWS}) AS s(n)"
        if ON_POSTGRESQL
        else f"(WITH RECURSIVE c(n) AS (SELECT 1001 UNION ALL SELECT n + 1 FROM c WHERE n < "
        f"{1000 + ROWS}) SELECT n FROM c) AS s"
    )
    outside(
        f"INSERT INTO zoo_items (id, name) SELECT n, 'Before' FROM {numbers}",
        f"INSERT INTO zoo_visits (id, guest, item_id) SELECT n, 'Guest', n FROM {numbers}",
    )
    search = search_of(app)
    search.indexer.drain()

    began = time.monotonic()
    outside("UPDATE zoo_items SET name = 'After' WHERE id > 1000")
    written = time.monotonic()
    rows = search.outbox.pending_count()
    done = search.indexer.drain()
    ended = time.monotonic()
    record_property(
        "compared",
        f"{ROWS} rows changed by one statement in {written - began:.1f} s ({rows} outbox rows), "
        f"{done} documents indexed in {ended - written:.1f} s",
    )

    assert done == 2 * ROWS
    assert search.outbox.backlog() == {}
    for name in ("Item", "Visit"):
        field = "name" if name == "Item" else "item.name"
        assert count(app, name, {"term": {f"{field}.keyword": "After"}}, field) == ROWS
        assert count(app, name, {"term": {f"{field}.keyword": "Before"}}, field) == 0
    if ROWS <= 800:
        drained(app)


def count(app, name, query, field):
    mirror = search_of(app).mirrors.get(name)
    mirror.backend.refresh(mirror.alias)
    if "." in field:
        query = {"nested": {"path": field.partition(".")[0], "query": query}}
    body = {"size": 0, "track_total_hits": True, "query": query}
    return mirror.backend.search(mirror.alias, body)["hits"]["total"]["value"]


@pytest.mark.thorough
def test_an_object_that_many_documents_nest_is_mirrored_in_small_claims(app, outside):
    count = 3 * CHUNK
    values = ", ".join(f"({n}, 'x', 'k1')" for n in range(1001, 1001 + count))
    outside(f"INSERT INTO zoo_items (id, name, keeper_code) VALUES {values}")
    search = search_of(app)
    search.indexer.drain()
    outside("UPDATE zoo_keepers SET name = 'Zoë' WHERE code = 'k1'")

    claims = []
    claim = search.outbox.claim("Keeper", CHUNK)
    assert claim is not None
    search.indexer.process_claim(claim)
    while (claim := search.outbox.claim("Item", CHUNK)) is not None:
        claims.append(len(claim.keys))
        search.indexer.process_claim(claim)
    assert max(claims) <= CHUNK and sum(claims) >= count
    assert {row["keeper"]["name"] for row in drained(app)["items"] if row["id"] > 1000} == {"Zoë"}


STATEMENTS = (
    "INSERT INTO zoo_keepers (code, name) VALUES ('k{0}', 'n{1}')",
    "INSERT INTO zoo_items (id, name, keeper_code) VALUES ({0}, 'n{1}', {2})",
    "INSERT INTO zoo_visits (id, guest, item_id) VALUES ({0}, 'n{1}', {1})",
    "INSERT INTO zoo_labels (id, text, item_id) VALUES ({0}, 'n{1}', {1})",
    "INSERT INTO zoo_nodes (id, name, parent_id) VALUES ({0}, 'n{1}', {1})",
    "INSERT INTO zoo_tags (id, name) VALUES ({0}, 'n{1}')",
    "INSERT INTO zoo_item_tags (item_id, tag_id) VALUES ({0}, {1})",
    "UPDATE zoo_keepers SET name = 'u{1}' WHERE code >= 'k{0}'",
    "UPDATE zoo_items SET name = 'u{1}', keeper_code = {2} WHERE id >= {0}",
    "UPDATE zoo_items SET keeper_code = {2} WHERE id = {0}",
    "UPDATE zoo_visits SET item_id = {1} WHERE id = {0}",
    "UPDATE zoo_labels SET text = 'u{1}', item_id = {1} WHERE id = {0}",
    "UPDATE zoo_nodes SET parent_id = {1} WHERE id = {0}",
    "UPDATE zoo_nodes SET id = id + 10 WHERE id = {0}",
    "UPDATE zoo_nodes SET id = id - 10 WHERE id > 10",
    "UPDATE zoo_item_tags SET tag_id = {1} WHERE item_id = {0}",
    "UPDATE zoo_tags SET name = 'u{1}'",
    "DELETE FROM zoo_keepers WHERE code = 'k{0}'",
    "DELETE FROM zoo_items WHERE id = {0}",
    "DELETE FROM zoo_visits WHERE id = {0}",
    "DELETE FROM zoo_labels WHERE id >= {0}",
    "DELETE FROM zoo_nodes WHERE id = {0}",
    "DELETE FROM zoo_tags WHERE id = {0}",
    "DELETE FROM zoo_item_tags WHERE item_id = {0}",
)
ONLY = (
    (
        "TRUNCATE zoo_item_tags",
        "TRUNCATE zoo_items CASCADE",
        "INSERT INTO zoo_keepers (code, name) VALUES ('k{0}', 'n{1}') "
        "ON CONFLICT (code) DO UPDATE SET name = 'up{1}'",
    )
    if ON_POSTGRESQL
    else (
        "INSERT OR REPLACE INTO zoo_items (id, name, keeper_code) VALUES ({0}, 'r{1}', {2})",
        "INSERT OR REPLACE INTO zoo_labels (id, text, item_id) VALUES ({0}, 'r{1}', {1})",
        "INSERT OR REPLACE INTO zoo_keepers (code, name) VALUES ('k{0}', 'r{1}')",
        "UPDATE OR REPLACE zoo_visits SET id = {1} WHERE id = {0}",
    )
)


@pytest.mark.parametrize("seed", range(examples(6)))
def test_random_statements_leave_mirror_and_primary_equal(app, engine, seed):
    """Refused ones among them; some in one transaction, some undone."""
    chance = random.Random(seed)
    done = 0
    for _ in range(8):
        with engine.connect() as connection:
            for _ in range(12):
                change = connection.begin()
                for _ in range(chance.randint(1, 3)):
                    template = chance.choice(STATEMENTS + ONLY)
                    keeper = chance.choice(["'k1'", "'k2'", "'k3'", "NULL"])
                    statement = template.format(chance.randint(1, 5), chance.randint(1, 5), keeper)
                    try:
                        connection.execute(statement)
                    except IntegrityError:
                        break
                    done += 1
                else:
                    (change.commit if chance.random() < 0.85 else change.rollback)()
                    continue
                change.rollback()
        drained(app)
    assert done > 50


# Installing


def not_installed(app):
    states = triggers.status(*database(app))
    return {each.table for each in states if each.state != triggers.INSTALLED}


def definitions(engine):
    """All that this package has in the database besides its tables."""
    if ON_POSTGRESQL:
        query = (
            "SELECT tgrelid::regclass::text, tgname, tgfoid::regproc::text, t.xmin::text "
            "FROM pg_trigger t WHERE tgname LIKE 'nefertari%%' UNION ALL "
            "SELECT '', proname, '', xmin::text FROM pg_proc WHERE proname LIKE 'nefertari%%'"
        )
    else:
        query = "SELECT tbl_name, name, rootpage, sql FROM sqlite_master WHERE type = 'trigger'"
    with engine.connect() as connection:
        return {tuple(row) for row in connection.execute(query)}


def test_every_table_that_a_document_shows_has_triggers(app):
    states = triggers.status(*database(app))

    # nefertari's models are the process's: another module's application may have brought its own.
    assert {each.table for each in states if each.table.startswith("zoo_")} == TABLES
    assert {each.state for each in states} == {triggers.INSTALLED}


def test_installing_again_changes_nothing(app, engine):
    before = definitions(engine)
    triggers.install(*database(app))

    assert before and definitions(engine) == before


def test_removing_drops_ours_and_nothing_else(app, engine, outside):
    if ON_POSTGRESQL:
        outside(
            "CREATE OR REPLACE FUNCTION other() RETURNS trigger LANGUAGE plpgsql AS "
            "'BEGIN RETURN NEW; END'",
            "CREATE TRIGGER other BEFORE INSERT ON zoo_plain "
            "FOR EACH ROW EXECUTE PROCEDURE other()",
        )
    else:
        outside("CREATE TRIGGER other AFTER INSERT ON zoo_plain BEGIN SELECT 1; END")
    try:
        states = triggers.remove(*database(app))

        assert {each.state for each in states} == {triggers.MISSING}
        remaining = definitions(engine)
        assert {name for _, name, *_ in remaining} <= {"other"}
        outside(
            "INSERT INTO zoo_plain (id, name) VALUES (1, 'x')", "UPDATE zoo_items SET name = 'x'"
        )
        assert search_of(app).outbox.pending_count() == 0
        triggers.remove(*database(app))
    finally:
        outside("DROP TRIGGER other" + (" ON zoo_plain" if ON_POSTGRESQL else ""))


def test_triggers_that_are_not_what_the_models_need_are_outdated(app, outside):
    if ON_POSTGRESQL:
        outside("ALTER TABLE zoo_items DISABLE TRIGGER nefertari_search_delete")
        outside("DROP TRIGGER nefertari_search_truncate ON zoo_tags")
    else:
        outside("DROP TRIGGER nefertari_search_delete_zoo_tags")
        outside("DROP TRIGGER nefertari_search_update_zoo_items")
        outside(
            "CREATE TRIGGER nefertari_search_update_zoo_items AFTER UPDATE ON zoo_items "
            "BEGIN SELECT 1; END"
        )
    states = {each.table: each.state for each in triggers.status(*database(app))}

    assert states.pop("zoo_items") == states.pop("zoo_tags") == triggers.OUTDATED
    assert set(states.values()) == {triggers.INSTALLED}
    triggers.install(*database(app))
    assert not_installed(app) == set()
    outside("DELETE FROM zoo_tags WHERE id = 3", "UPDATE zoo_items SET name = 'x'")
    captured(app)


def test_triggers_that_no_mirror_needs_are_left_over(app, outside):
    if ON_POSTGRESQL:
        outside(
            "CREATE OR REPLACE FUNCTION nefertari_search_zoo_plain() RETURNS trigger "
            "LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
            "CREATE TRIGGER nefertari_search_insert AFTER INSERT ON zoo_plain "
            "FOR EACH STATEMENT EXECUTE PROCEDURE nefertari_search_zoo_plain()",
        )
    else:
        outside(
            "CREATE TRIGGER nefertari_search_insert_zoo_plain AFTER INSERT ON zoo_plain "
            "BEGIN SELECT 1; END"
        )
    states = {each.table: each.state for each in triggers.status(*database(app))}
    assert states["zoo_plain"] == triggers.OBSOLETE

    triggers.install(*database(app))
    assert "zoo_plain" not in {each.table for each in triggers.status(*database(app))}


def test_an_install_that_fails_changes_nothing(app, engine, outside):
    triggers.remove(*database(app))
    outside("ALTER TABLE zoo_visits RENAME TO zoo_away")
    try:
        with pytest.raises(ConfigurationError, match="zoo_visits"):
            triggers.install(*database(app))
        assert definitions(engine) == set()
    finally:
        outside("ALTER TABLE zoo_away RENAME TO zoo_visits")


@postgresql
def test_an_install_does_not_wait_for_ever_for_a_table_in_use(app, engine):
    triggers.remove(*database(app))
    with engine.begin() as connection:
        connection.execute("UPDATE zoo_items SET name = 'x'")
        with pytest.raises(ConfigurationError, match="lock timeout"):
            triggers.install(*database(app))
    assert definitions(engine) == set()


@postgresql
def test_a_user_who_may_not_write_to_the_outbox_is_captured_too(app, engine):
    with engine.begin() as connection:
        connection.execute("DROP ROLE IF EXISTS guest")
        connection.execute("CREATE ROLE guest")
        connection.execute("GRANT UPDATE, SELECT ON zoo_marked TO guest")
        connection.execute("SET LOCAL ROLE guest")
        connection.execute("UPDATE zoo_marked SET name = 'Two'")
    assert captured(app)["marked"][0]["name"] == "Two"
    with engine.begin() as connection:
        connection.execute("REVOKE ALL ON zoo_marked FROM guest")
        connection.execute("DROP ROLE guest")
