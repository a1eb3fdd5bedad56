"""``verify`` finds what differs, exactly that, and nothing that is on its way; ``repair`` mends it.

Differences are made behind the package's back: by SQL that no session sees, and by writes to the
index that no claim made.
"""

from __future__ import annotations

import json
import threading
import time

import pytest
import transaction
from sqlalchemy import text

from nefertari_search_tween.backends.base import BulkAction
from nefertari_search_tween.indexing import bulk_writer
from nefertari_search_tween.indexing.verify import verify as verifying
from nefertari_search_tween.indexing.verify.comparison import same_json
from nefertari_search_tween.indexing.verify.repair import VersionTooHigh, repair
from nefertari_search_tween.indexing.verify.verify import Differences, verify, verify_keys
from nefertari_search_tween.interfaces.primary import Key
from nefertari_search_tween.mirror.index_lifecycle import prepare_indices
from nefertari_search_tween.mirror.mirror import write_alias
from nefertari_search_tween.mirror.serializer import document_id
from tests.support.apps import search_of, zoo
from tests.support.disturbed_reader import DisturbedReader
from tests.write.test_sync import delete_indices, empty_tables

pytestmark = pytest.mark.every_backend

CHUNK = 20
MIRRORED = ("Custom", "Item", "Keeper", "Marked", "Node", "Tag", "Visit")


@pytest.fixture(scope="module")
def search(primary_url, backend_url, module_prefix):
    """The search of a zoo application."""
    from pyramid_sqlalchemy import Session

    app = zoo(primary_url, backend_url, module_prefix, **{"elasticsearch.chunk_size": str(CHUNK)})
    yield search_of(app)
    transaction.abort()
    Session.remove()
    delete_indices(app)


@pytest.fixture(autouse=True)
def _empty(search):
    transaction.abort()
    empty_tables()
    for name in MIRRORED:
        mirror = search.mirrors.get(name)
        remaining = verified(search, name)
        if not remaining.clean:
            repair(search.indexer, mirror, remaining)


@pytest.fixture
def models(search):
    from tests.apps.every_field import models

    return models


@pytest.fixture
def sql(search):
    """Runs a statement whose text says nothing to any hook."""
    from pyramid_sqlalchemy import metadata

    def run(statement, *parameters):
        with metadata.bind.begin() as connection:
            connection.execute(statement, *parameters)

    return run


def add(*objects):
    from pyramid_sqlalchemy import Session

    with transaction.manager:
        for each in objects:
            Session.add(each)


def verified(search, name):
    return verify(search.mirrors, search.outbox, search.mirrors.get(name), CHUNK)


def write(search, name, identity, document, version=None):
    """Write (None: delete) a document behind the package's back."""
    mirror = search.mirrors.get(name)
    ((index, _),) = search.mirrors.indices_of(mirror).items()
    body = None if document is None else json.dumps(document).encode()
    number = search.outbox.next_version(name) if version is None else version
    (outcome,) = mirror.backend.bulk([BulkAction(write_alias(index), identity, number, body)], 1)
    assert outcome.error is None
    mirror.backend.refresh(mirror.alias)


def source(search, name, pk):
    mirror = search.mirrors.get(name)
    return mirror.backend.multi_get(mirror.alias, [document_id(pk)])[document_id(pk)]


def repaired(search, name):
    mirror = search.mirrors.get(name)
    return repair(search.indexer, mirror, verified(search, name))


# What is the same


@pytest.mark.thorough
def test_what_sessions_wrote_is_clean(search, models):
    keeper = models.Keeper(code="k", name="Kim")
    tags = [models.Tag(id=number, name=f"tag {number}") for number in range(3)]
    items = [
        models.Item(id=number, name=f"item {number}", ratio=number / 3, keeper=keeper, tags=tags)
        for number in range(1, 3 * CHUNK)
    ]
    add(keeper, *tags, *items, models.Custom(id=1, first="a", last="b"), models.Label(item_id=1))
    counts = {"Keeper": 1, "Tag": 3, "Item": 3 * CHUNK - 1, "Custom": 1, "Visit": 0}
    for name, count in counts.items():
        assert verified(search, name) == Differences(compared=count)


@pytest.mark.parametrize(
    ("body", "document", "same"),
    [
        ('{"a": 1}', {"a": 1.0}, True),
        ('{"a": 1e2}', {"a": 100}, True),
        ('{"a": 0.1}', {"a": 0.1}, True),
        ('{"a": true}', {"a": 1}, False),
        ('{"a": [0]}', {"a": [False]}, False),
        ('{"a": "1"}', {"a": 1}, False),
        ('{"a": null}', {}, False),
        ('{"a": 1, "b": [{"c": "é"}]}', {"b": [{"c": "é"}], "a": 1}, True),
        ('{"a": [1, 2]}', {"a": [2, 1]}, False),
        ('{"a": 9007199254740993}', {"a": 9007199254740992}, False),
    ],
)
def test_documents_are_compared_as_json_values(body, document, same):
    assert same_json(body.encode(), document) is same


# What differs


def test_sql_behind_the_back_is_found_exactly(search, models, sql):
    add(*(models.Tag(id=number, name="as it was") for number in range(1, 101)))
    sql("UPDATE zoo_tags SET name = 'changed' WHERE id IN (7, 50, 93)")
    sql("DELETE FROM zoo_tags WHERE id IN (1, 21, 100)")
    sql("INSERT INTO zoo_tags (id, name) VALUES (200, 'new'), (0, 'new'), (-5, 'new')")

    differences = verified(search, "Tag")

    assert differences == Differences(
        compared=100, missing=[-5, 0, 200], stale=[7, 50, 93], orphaned=differences.orphaned
    )
    # In the order of the index, where keys are words.
    assert sorted(differences.orphaned) == [1, 21, 100]


def test_sql_behind_the_back_of_documents_that_embed_is_found(search, models, sql):
    add(models.Keeper(code="k", name="Kim"), models.Keeper(code="l", name="Lou"))
    add(*(models.Item(id=number, keeper_code="kl"[number % 2]) for number in range(1, 9)))
    sql("UPDATE zoo_keepers SET name = 'Kai' WHERE code = 'k'")

    assert verified(search, "Keeper") == Differences(compared=2, stale=["k"])
    assert verified(search, "Item") == Differences(compared=8, stale=[2, 4, 6, 8])


def test_writes_to_the_index_are_found_exactly(search, models):
    add(*(models.Item(id=number, flag=True, count=1) for number in range(1, 51)))
    document = source(search, "Item", 3)
    write(search, "Item", "3", {**document, "count": 2})
    write(search, "Item", "4", {**source(search, "Item", 4), "count": 1.0})  # the same
    write(search, "Item", "30", {**document, "id": 30, "_pk": "30", "extra": None})
    write(search, "Item", "31", None)
    write(search, "Item", "999", {**document, "id": 999, "_pk": "999"})

    assert verified(search, "Item") == Differences(
        compared=50, missing=[31], stale=[3, 30], orphaned=[999]
    )


@pytest.mark.parametrize("identity", ["word", "01", "+7", "٣", "9223372036854775808", "1.0"])
def test_a_document_that_no_object_can_have_is_an_orphan(search, models, identity):
    add(models.Tag(id=7, name="seven"))
    write(search, "Tag", identity, {**source(search, "Tag", 7)})

    assert verified(search, "Tag") == Differences(compared=1, foreign=[identity])
    assert repaired(search, "Tag").clean
    assert verified(search, "Tag") == Differences(compared=1)


def test_keys_too_long_for_an_id_are_told_in_full(search, models, sql):
    long = ["é" * 300, "z" * 600]
    add(*(models.Keeper(code=code, name="x") for code in [*long, "short"]))
    assert verified(search, "Keeper") == Differences(compared=3)
    sql("UPDATE zoo_keepers SET name = 'y' WHERE code LIKE 'z%%'")
    sql("DELETE FROM zoo_keepers WHERE code LIKE 'é%%'")

    assert verified(search, "Keeper") == Differences(
        compared=2, stale=[long[1]], orphaned=[long[0]]
    )
    assert repaired(search, "Keeper").clean


def test_what_was_refused_is_told_apart(search, models):
    add(models.Item(id=1, ratio=float("inf")), models.Item(id=2, ratio=0.5))
    # JSON has no infinity: a stub stands for it.
    assert verified(search, "Item") == Differences(compared=2, rejected=[1])
    remaining = repaired(search, "Item")
    assert (remaining.rejected, remaining.clean) == ([1], False)


def test_a_refused_document_of_a_long_key_is_not_taken_for_an_orphan(search, models):
    long = "z" * 600
    add(models.Keeper(code=long, name="x"))
    mirror = search.mirrors.get("Keeper")
    ((index, _),) = search.mirrors.indices_of(mirror).items()
    body = json.dumps({"_pk": long, "name": {"a text": "is no object"}}).encode()
    number = search.outbox.next_version("Keeper")
    refused = bulk_writer.write(
        mirror, [BulkAction(write_alias(index), document_id(long), number, body)], 1
    )
    assert refused.rejected == 1

    assert verified(search, "Keeper") == Differences(compared=1, rejected=[long])
    assert repaired(search, "Keeper") == Differences()


def test_a_document_of_an_object_that_can_not_be_rendered_any_more_is_stale(search, models, sql):
    add(models.Item(id=1, ratio=0.5))
    if search.outbox.engine.dialect.name == "sqlite":
        sql("UPDATE zoo_items SET ratio = 9e999 WHERE id = 1")
    else:
        sql("UPDATE zoo_items SET ratio = 'Infinity' WHERE id = 1")
    assert verified(search, "Item") == Differences(compared=1, stale=[1])
    assert repaired(search, "Item").rejected == [1]


def test_many_differences_are_all_found(search, models, sql):
    count = verifying.BATCH + 30
    rows = [{"id": number} for number in range(1, count + 1)]
    sql(text("INSERT INTO zoo_tags (id) VALUES (:id)"), rows)
    assert verified(search, "Tag").missing == list(range(1, count + 1))
    assert repaired(search, "Tag").clean
    sql("DELETE FROM zoo_tags")
    assert sorted(verified(search, "Tag").orphaned) == list(range(1, count + 1))


def test_an_index_that_holds_no_more_is_not_scanned(search, models, monkeypatch):
    add(*(models.Tag(id=number, name="as it was") for number in range(1, 11)))
    scans = []

    def note(*arguments):
        scans.append(arguments)

    monkeypatch.setattr(verifying, "_find_orphans", note)
    assert verified(search, "Tag") == Differences(compared=10)
    assert scans == []

    # As many documents as were found, but not of the same objects: something was written.
    read_objects = DisturbedReader(search.mirrors.get("Tag").reader, lambda: rename(models))
    monkeypatch.setattr(search.mirrors.get("Tag"), "reader", read_objects)
    assert verified(search, "Tag").compared == 10
    assert len(scans) == 1


def rename(models):
    from pyramid_sqlalchemy import Session

    with transaction.manager:
        Session.query(models.Tag).get(3).name = "renamed"


def test_several_processes_find_the_same(search, models, sql):
    add(*(models.Tag(id=number, name="as it was") for number in range(1, 1001)))
    sql("UPDATE zoo_tags SET name = 'changed' WHERE id IN (7, 500, 993)")
    sql("DELETE FROM zoo_tags WHERE id IN (1, 210, 1000)")
    sql("INSERT INTO zoo_tags (id, name) VALUES (2000, 'new'), (0, 'new'), (-5, 'new')")
    one = verified(search, "Tag")
    mirror = search.mirrors.get("Tag")
    assert verify(search.mirrors, search.outbox, mirror, CHUNK, processes=3) == one
    assert (one.missing, one.stale) == ([-5, 0, 2000], [7, 500, 993])
    assert sorted(one.orphaned) == [1, 210, 1000]


# What is on its way


@pytest.mark.slow
def test_what_is_written_meanwhile_is_no_difference(search, models, monkeypatch):
    from pyramid_sqlalchemy import Session

    seen_again = []
    suspect = verifying._Examiner.add

    def note(self, keys):
        keys = list(keys)
        seen_again.extend(keys)
        suspect(self, keys)

    monkeypatch.setattr(verifying._Examiner, "add", note)

    add(*(models.Tag(id=number, name="0") for number in range(1, 101)))
    ended = threading.Event()
    written = []

    def go_on():
        number = 0
        while not ended.is_set():
            number += 1
            with transaction.manager:
                tag = Session.query(models.Tag).get(number % 100 + 1)
                if tag is None:
                    Session.add(models.Tag(id=number % 100 + 1, name="back"))
                elif number % 7 == 0:
                    Session.delete(tag)
                else:
                    tag.name = str(number)
            written.append(number)
        Session.remove()

    writer = threading.Thread(target=go_on)
    writer.start()
    try:
        while len(written) < 100 or not seen_again:
            differences = verified(search, "Tag")
            assert (differences.keys, differences.foreign, differences.pending) == ([], [], [])
    finally:
        ended.set()
        writer.join()
    assert verified(search, "Tag").clean


def test_a_difference_is_found_while_others_are_written(search, models, sql):
    from pyramid_sqlalchemy import Session

    add(*(models.Tag(id=number, name="0") for number in range(1, 51)))
    sql("UPDATE zoo_tags SET name = 'changed' WHERE id = 50")
    ended = threading.Event()

    def go_on():
        number = 0
        while not ended.is_set():
            number += 1
            with transaction.manager:
                Session.query(models.Tag).get(number % 40 + 1).name = str(number)
        Session.remove()

    writer = threading.Thread(target=go_on)
    writer.start()
    try:
        for _ in range(3):
            differences = verified(search, "Tag")
            assert differences.keys == differences.stale == [50]
    finally:
        ended.set()
        writer.join()


def test_what_waits_is_not_called_stale(search, models, sql, monkeypatch):
    monkeypatch.setattr(verifying, "PATIENCE_SECONDS", 0.2)
    add(models.Tag(id=1, name="as it was"))
    sql("UPDATE zoo_tags SET name = 'changed' WHERE id = 1")
    search.outbox.enqueue([Key("Tag", 1)])

    differences = verified(search, "Tag")
    assert differences == Differences(compared=1, pending=[1])
    assert not differences.clean

    search.indexer.drain()
    assert verified(search, "Tag") == Differences(compared=1)


def test_what_waits_may_take_its_time(search, models, sql):
    add(models.Tag(id=1, name="as it was"))
    sql("UPDATE zoo_tags SET name = 'changed' WHERE id = 1")
    search.outbox.enqueue([Key("Tag", 1)])
    later = threading.Timer(1.0, search.indexer.drain)
    later.start()
    assert verified(search, "Tag") == Differences(compared=1)
    later.join()


def test_new_rows_do_not_hold_up_those_that_were_there(search):
    """SQLite gives the numbers of rows again."""
    search.outbox.enqueue([Key("Tag", 1)])
    mark = search.outbox.watermark()
    assert not search.outbox.has_passed(mark)
    search.indexer.drain()
    time.sleep(0.01)
    search.outbox.enqueue([Key("Tag", 2)])
    assert search.outbox.has_passed(mark)
    search.indexer.drain()


def test_an_index_that_is_not_there_is_a_problem(search):
    mirror = search.mirrors.get("Visit")
    for index in search.mirrors.indices_of(mirror):
        search.backend.delete_index(index)
    assert verified(search, "Visit") == Differences(problem="no-index")
    assert not verified(search, "Visit").clean
    prepare_indices(search.mirrors)
    assert verified(search, "Visit").clean


# Repair


def test_repair_mends_every_kind(search, models, sql):
    add(*(models.Tag(id=number, name="as it was") for number in range(1, 31)))
    sql("UPDATE zoo_tags SET name = 'changed' WHERE id < 5")
    sql("DELETE FROM zoo_tags WHERE id = 10")
    sql("INSERT INTO zoo_tags (id, name) VALUES (99, 'new')")
    write(search, "Tag", "20", None)
    write(search, "Tag", "nobody", {"_pk": "nobody"})

    assert repaired(search, "Tag") == Differences()
    assert verified(search, "Tag") == Differences(compared=30)
    assert source(search, "Tag", 1)["name"] == "changed"
    assert search.outbox.pending_count() == 0


@pytest.mark.parametrize("deleted", [False, True])
def test_repair_wins_over_versions_above_the_counter(search, models, deleted):
    add(models.Tag(id=1, name="true"), models.Tag(id=2, name="true"))
    above = search.outbox.next_version("Tag") + 10**15
    write(search, "Tag", "1", None if deleted else {"_pk": "1", "name": "false"}, above)
    write(search, "Tag", "nobody", {"_pk": "nobody"}, above + 5)
    differences = verified(search, "Tag")
    assert differences.keys == [1] and differences.foreign == ["nobody"]

    assert repair(search.indexer, search.mirrors.get("Tag"), differences) == Differences()
    assert verified(search, "Tag") == Differences(compared=2)
    # And so do all claims after it.
    with transaction.manager:
        from pyramid_sqlalchemy import Session

        Session.query(models.Tag).get(1).name = "newer"
    assert source(search, "Tag", 1)["name"] == "newer"


def test_repair_says_which_versions_nothing_can_be_above(search, models):
    add(models.Node(id=1, name="true"))
    write(search, "Node", "1", {"_pk": "1"}, 2**63 - 1)
    with pytest.raises(VersionTooHigh, match=str(2**63 - 1)):
        repaired(search, "Node")
    # As it says: only another index helps.
    delete_all(search, "Node")
    mirror = search.mirrors.get("Node")
    search.mirrors.create(mirror, search.mirrors.next_name(mirror), live=True)
    assert repaired(search, "Node") == Differences()


def delete_all(search, name):
    for index in search.mirrors.indices_of(search.mirrors.get(name)):
        search.backend.delete_index(index)


def test_keys_can_be_looked_at_alone(search, models, sql):
    add(models.Tag(id=1, name="a"), models.Tag(id=2, name="b"), models.Tag(id=3, name="c"))
    sql("UPDATE zoo_tags SET name = 'changed'")
    differences = verify_keys(search.outbox, search.mirrors.get("Tag"), [1, 3, 4])
    assert differences == Differences(stale=[1, 3])
