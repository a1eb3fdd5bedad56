"""The outbox as collections: all that every outbox promises, and what comes before a write that no
transaction holds together with its rows."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from nefertari_search_tween.exceptions import ConfigurationError
from nefertari_search_tween.interfaces.outbox import LEASE_SECONDS
from nefertari_search_tween.interfaces.primary import Key
from nefertari_search_tween.interfaces.rebuild_lock import RebuildInProgress, RebuildLost
from nefertari_search_tween.primary import startup
from tests.servers import FerretdbServer
from tests.support import mongodb as on_mongodb
from tests.write.outbox_conformance import OutboxConformance, OutboxStore, tags

pytestmark = pytest.mark.mongodb


@pytest.fixture(scope="module", autouse=True)
def _application(mongodb: dict[str, str], tmp_path_factory: Any) -> Iterator[None]:
    """Makes the models; its own hooks are off."""
    from nefertari_search_tween.compat.current import CURRENT

    on_mongodb.zoo(mongodb, f"embedded:{tmp_path_factory.mktemp('outbox')}", "outbox")
    CURRENT.runtime.capture.remove()
    yield
    CURRENT.runtime.capture.install()


@pytest.fixture
def database(ferretdb_server: FerretdbServer) -> Iterator[Any]:
    from pymongo import MongoClient

    with MongoClient(ferretdb_server.url) as client:
        yield client[f"outbox_{uuid.uuid4().hex[:12]}"]


class MongoStore(OutboxStore):
    # FerretDB lets two have the same row.
    claims_once = False

    def __init__(self, database: Any) -> None:
        from nefertari_search_tween.primary.mongo.outbox.tables import Collections

        self.collections = Collections(database)
        self.collections.create_indexes()

    def outbox(self, inline: bool = False) -> Any:
        from nefertari_search_tween.primary.mongo.dependencies import Dependencies
        from nefertari_search_tween.primary.mongo.outbox.outbox import MongoOutbox
        from tests.apps.every_field_mongo import models

        dependencies = Dependencies([models.Tag, models.Keeper, models.Item])
        return MongoOutbox(self.collections, dependencies, inline)

    def begin(self) -> Any:
        from nefertari_search_tween.primary.mongo.outbox.unit_of_work import UnitOfWork

        return UnitOfWork()

    def write(self, outbox: Any, unit: Any, keys: set[Key]) -> None:
        outbox.record_intent(unit, keys)

    def commit(self, unit: Any) -> None:
        """Each write is one of its own."""

    def began_earlier(self, unit: Any, seconds: float) -> None:
        unit.record.began -= seconds

    def end_leases(self, milliseconds: int) -> None:
        lease = {"$set": {"lease_expires_at": milliseconds}}
        self.collections.outbox.update_many({}, lease)

    def grow_old(self, seconds: int) -> None:
        self.collections.outbox.update_many({}, {"$inc": {"recorded_at": -1000 * seconds}})

    def forget_versions(self) -> None:
        self.collections.versions.delete_many({})


class TestMongoOutbox(OutboxConformance):
    @pytest.fixture
    def store(self, database: Any) -> MongoStore:
        return MongoStore(database)

    def test_an_intent_is_seen_before_the_write(self, store: MongoStore, outbox: Any) -> None:
        outbox.record_intent(store.begin(), tags(1))
        assert outbox.sync_state("Tag").pending
        assert outbox.claim("Tag", 10) is None

    def test_a_row_that_represents_others_makes_their_models_wait(
        self, store: MongoStore, outbox: Any
    ) -> None:
        # Items list their tags.
        outbox.record_intent(store.begin(), tags(1), 2)
        assert outbox.sync_state("Item").pending

    def test_object_ids_come_back_as_the_model_has_them(self, outbox: Any) -> None:
        from bson import ObjectId

        object_id = ObjectId()
        outbox.enqueue({Key("Item", object_id)})
        assert {key.pk for key in outbox.claim("Item", 10).keys} == {object_id}

    @pytest.mark.parametrize("inline", [True, False])
    def test_an_intent_that_was_processed_before_the_write_is_written_again(
        self, store: MongoStore, inline: bool
    ) -> None:
        """The writer was held up for longer than the grace period, and the old state was read."""
        outbox, other, unit = store.outbox(inline), store.outbox(), store.begin()
        outbox.record_intent(unit, tags(1))
        store.began_earlier(unit, LEASE_SECONDS + 1)
        store.expire()
        early = other.claim("Tag", 10)
        other.settle(early, {})
        assert other.pending_count() == 0
        # Here the write is made.
        token = outbox.committed(unit)
        if inline:
            claim = outbox.claim_committed(token)
            assert not claim.expired
            assert claim.versions["Tag"] > early.versions["Tag"]
            # Should it die now, the row is there.
            assert other.pending_count("Tag") == 1
        else:
            assert other.claim("Tag", 10).keys == tags(1)

    def test_what_is_written_late_in_a_long_unit_has_a_row_of_its_own(
        self, store: MongoStore
    ) -> None:
        outbox, unit = store.outbox(inline=True), store.begin()
        outbox.record_intent(unit, tags(1))
        store.began_earlier(unit, LEASE_SECONDS + 1)
        store.expire()
        outbox.settle(outbox.claim("Tag", 10), {})
        outbox.record_intent(unit, tags(1))
        assert outbox.pending_count("Tag") == 1

    def test_what_could_not_be_indexed_is_free_and_whole(self, store: MongoStore) -> None:
        outbox, other, unit = store.outbox(inline=True), store.outbox(), store.begin()
        outbox.record_intent(unit, tags(1))
        token = outbox.committed(unit)
        outbox.claim_committed(token)
        store.expire()
        other.settle(other.claim("Tag", 10), {})
        outbox.release(token)
        assert other.claim("Tag", 10).keys == tags(1)

    def test_a_watermark_is_passed_when_all_that_came_of_the_rows_is_gone(
        self, store: MongoStore, outbox: Any
    ) -> None:
        outbox.enqueue(tags(2))
        # A row that was made of another one, when that was claimed.
        (row,) = store.collections.outbox.find({})
        outbox._insert(outbox._rows([Key("Keeper", "a")], None, 0, [row["_id"]]))
        outbox.settle(outbox.claim("Tag", 1), {})
        assert not outbox.has_passed([row["_id"]])


def test_one_build_of_a_model_at_a_time(database: Any) -> None:
    from nefertari_search_tween.primary.mongo.outbox.rebuild_lock import MongoRebuildLocks
    from nefertari_search_tween.primary.mongo.outbox.tables import Collections
    from tests.apps.every_field_mongo.models import Tag

    rebuilds = MongoRebuildLocks(Collections(database), {"Tag": Tag})
    build = rebuilds.acquire("Tag")
    with pytest.raises(RebuildInProgress, match=r"Tag is being rebuilt by .*process"):
        rebuilds.acquire("Tag")
    rebuilds.start(build, "x-tag-000001")
    rebuilds.checkpoint(build, 7, 70)
    # It gives no sign of life, and another one goes on with it.
    rebuilds.rows.update_many({}, {"$set": {"heartbeat_at": 1}})
    second = rebuilds.acquire("Tag")
    assert (second.index, second.checkpoint, second.documents) == ("x-tag-000001", 7, 70)
    with pytest.raises(RebuildLost):
        rebuilds.heartbeat(build)
    rebuilds.release(second)
    third = rebuilds.acquire("Tag")
    assert third.checkpoint == 7
    rebuilds.finish(third)
    assert rebuilds.acquire("Tag").index == ""


def test_a_database_that_does_not_answer_is_told_in_one_line(tmp_path: Any) -> None:
    import mongoengine

    from tests.servers import free_port

    settings = {
        "mongodb.host": "mongodb://127.0.0.1/?serverSelectionTimeoutMS=200",
        "mongodb.port": str(free_port()),
        "mongodb.db": "nowhere",
    }
    from nefertari_search_tween.compat.current import CURRENT

    current = CURRENT.runtime
    try:
        with pytest.raises(ConfigurationError, match=r"mongodb\.rst") as raised:
            on_mongodb.zoo(settings, f"embedded:{tmp_path}", "nowhere")
        assert "\n" not in str(raised.value)
        assert CURRENT.runtime is current
    finally:
        # A process ends here; this one makes another application, which is not this one's.
        startup.stop_recording()
        CURRENT.startup_recorder = None
        mongoengine.disconnect()
