"""The outbox as collections: the same promises as in test_outbox.py, and what comes before a
write that no transaction holds together with its rows."""

from __future__ import annotations

import threading
import time
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

pytestmark = on_mongodb.only_on_mongodb


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


def outbox_of(database: Any, inline: bool = False) -> Any:
    from nefertari_search_tween.primary.mongo.dependencies import Dependencies
    from nefertari_search_tween.primary.mongo.outbox.outbox import MongoOutbox
    from nefertari_search_tween.primary.mongo.outbox.tables import Collections
    from tests.apps.every_field_mongo import models

    stores = Collections(database)
    stores.create_indexes()
    return MongoOutbox(stores, Dependencies([models.Tag, models.Keeper, models.Item]), inline)


@pytest.fixture
def outbox(database: Any) -> Any:
    return outbox_of(database)


def unit() -> Any:
    from nefertari_search_tween.primary.mongo.outbox.unit_of_work import UnitOfWork

    return UnitOfWork()


def tags(*numbers: int) -> set[Key]:
    return {Key("Tag", number) for number in numbers}


def expire(outbox: Any) -> None:
    outbox.rows.update_many({}, {"$set": {"lease_expires_at": 1}})


def test_an_intent_is_seen_before_the_write(outbox: Any) -> None:
    running = unit()
    outbox.record_intent(running, tags(1))
    assert outbox.has_recorded(running)
    assert outbox.sync_state("Tag").pending
    # Items list their tags.
    assert not outbox.sync_state("Keeper").pending
    assert outbox.claim("Tag", 10) is None
    assert outbox.committed(running) is None
    assert outbox.claim("Tag", 10).keys == tags(1)


def test_a_row_that_stands_for_others_makes_their_models_wait(outbox: Any) -> None:
    outbox.record_intent(unit(), tags(1), 2)
    assert outbox.sync_state("Item").pending


def test_a_key_is_recorded_once_in_a_unit(outbox: Any) -> None:
    running = unit()
    outbox.record(running, tags(1, 2))
    outbox.record(running, tags(2, 3))
    assert outbox.pending_count("Tag") == 3


def test_keys_come_back_as_the_model_has_them(outbox: Any) -> None:
    from bson import ObjectId

    awkward = {"7", "it's", 'a "b"', "é \u2028 日本", "a\nb", " x "}
    made = ObjectId()
    outbox.enqueue({Key("Keeper", code) for code in awkward} | tags(7) | {Key("Item", made)})
    assert {key.pk for key in outbox.claim("Keeper", 10).keys} == awkward
    assert {key.pk for key in outbox.claim("Tag", 10).keys} == {7}
    assert {key.pk for key in outbox.claim("Item", 10).keys} == {made}


def test_numbers_only_grow(outbox: Any) -> None:
    outbox.enqueue(tags(1))
    first = outbox.claim("Tag", 10)
    outbox.enqueue(tags(1))
    second = outbox.claim("Tag", 10)
    assert second.versions["Tag"] > first.versions["Tag"]
    assert outbox.next_version("Tag") > second.versions["Tag"]
    # A clock that was set back, or a counter that is ahead of it.
    ahead = 2 * time.time_ns() // 1000
    outbox.raise_version("Tag", ahead)
    assert outbox.next_version("Tag") == ahead + 1
    # A database that was restored from a backup of long ago.
    outbox.collections.versions.delete_many({})
    assert second.versions["Tag"] < outbox.next_version("Tag") < ahead


def test_numbers_that_many_take_at_once_differ_and_grow(database: Any) -> None:
    taken: list[tuple[float, float, int]] = []

    def take() -> None:
        mine = outbox_of(database)
        for _ in range(30):
            before = time.monotonic()
            number = mine.next_version("Tag")
            taken.append((before, time.monotonic(), number))

    threads = [threading.Thread(target=take) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 180
    assert len({number for _, _, number in taken}) == 180
    for _, ended, number in taken:
        assert all(later > number for began, _, later in taken if began > ended)


def test_a_claim_is_of_one_until_its_lease_is_over(outbox: Any) -> None:
    outbox.enqueue(tags(*range(5)))
    claim = outbox.claim("Tag", 3)
    rest = outbox.claim("Tag", 10)
    assert len(claim.keys) == 3
    assert claim.keys | rest.keys == tags(*range(5))
    assert outbox.claim("Tag", 10) is None
    assert outbox.claimable_models() == []
    assert outbox.renew(claim)
    expire(outbox)
    assert outbox.claimable_models() == ["Tag"]
    again = outbox.claim("Tag", 10)
    assert again.keys == tags(*range(5))
    assert again.versions["Tag"] > rest.versions["Tag"]
    # Who had them before settles nothing of it.
    assert not outbox.renew(claim)
    outbox.settle(claim, "Tag", {}, [])
    assert outbox.pending_count("Tag") == 5
    outbox.settle(again, "Tag", {}, [])
    assert outbox.pending_count() == 0


def test_what_is_released_is_free(outbox: Any) -> None:
    outbox.enqueue(tags(1, 2))
    claim = outbox.claim("Tag", 10)
    assert outbox.claim_tokens("Tag") == {claim.token}
    outbox.release(claim.token)
    assert outbox.claim_tokens("Tag") == set()
    assert outbox.claim("Tag", 10).keys == tags(1, 2)


def test_intents_of_inline_sync_stay_their_writers(database: Any) -> None:
    outbox = outbox_of(database, inline=True)
    running = unit()
    outbox.record_intent(running, {*tags(1), Key("Keeper", "a")})
    token = outbox.committed(running)
    assert outbox.claim("Tag", 10) is None
    claim = outbox.claim_committed(token)
    assert claim.keys == {*tags(1), Key("Keeper", "a")}
    assert set(claim.versions) == {"Tag", "Keeper"}
    assert claim.versions["Tag"] == outbox.sync_state("Tag").version
    outbox.settle(claim, "Tag", {}, [1])
    assert outbox.sync_state("Keeper").pending and not outbox.sync_state("Tag").pending
    outbox.settle(claim, "Keeper", {}, ["a"])
    assert outbox.pending_count() == 0 and outbox._claimed == {}


@pytest.mark.parametrize("inline", [True, False])
def test_an_intent_that_was_processed_before_the_write_is_written_again(
    database: Any, inline: bool
) -> None:
    """The writer was held up for longer than the grace period, and somebody read the old state."""
    outbox, other = outbox_of(database, inline), outbox_of(database)
    running = unit()
    outbox.record_intent(running, tags(1))
    running.record.began -= LEASE_SECONDS + 1
    expire(other)
    early = other.claim("Tag", 10)
    other.settle(early, "Tag", {}, [1])
    assert other.pending_count() == 0
    # Here the write is made.
    token = outbox.committed(running)
    if inline:
        claim = outbox.claim_committed(token)
        assert not claim.expired
        assert claim.versions["Tag"] > early.versions["Tag"]
        # Should it die now, the row is there.
        assert other.pending_count("Tag") == 1
    else:
        assert other.claim("Tag", 10).keys == tags(1)


def test_what_is_written_late_in_a_long_unit_has_a_row_of_its_own(database: Any) -> None:
    outbox = outbox_of(database, inline=True)
    running = unit()
    outbox.record_intent(running, tags(1))
    running.record.began -= LEASE_SECONDS + 1
    expire(outbox)
    outbox.settle(outbox.claim("Tag", 10), "Tag", {}, [1])
    outbox.record_intent(running, tags(1))
    assert outbox.pending_count("Tag") == 1


def test_what_could_not_be_indexed_is_free_and_whole(database: Any) -> None:
    outbox, other = outbox_of(database, inline=True), outbox_of(database)
    running = unit()
    outbox.record_intent(running, tags(1))
    token = outbox.committed(running)
    outbox.claim_committed(token)
    expire(other)
    other.settle(other.claim("Tag", 10), "Tag", {}, [1])
    outbox.release(token)
    assert other.claim("Tag", 10).keys == tags(1)


def test_every_row_is_claimed_by_many(database: Any) -> None:
    """At least once: FerretDB lets two have the same row. Each has a number of its own."""
    count, seen, problems = 200, [], []
    outbox_of(database).enqueue(tags(*range(count)))

    def work() -> None:
        mine = outbox_of(database)
        try:
            while (claim := mine.claim("Tag", 7)) is not None:
                seen.append(claim)
                mine.settle(claim, "Tag", {}, [])
        except Exception as error:  # noqa: BLE001 - told below
            problems.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert {key.pk for claim in seen for key in claim.keys} == set(range(count))
    numbers = [claim.versions["Tag"] for claim in seen]
    assert len(set(numbers)) == len(numbers)
    assert outbox_of(database).pending_count() == 0


def test_dead_letters(outbox: Any) -> None:
    outbox.enqueue({*tags(1, 2, 3), Key("Keeper", "a")})
    outbox.settle(outbox.claim("Tag", 10), "Tag", {2: "too long", 3: "é\ud800"}, [1])
    letters = outbox.dead_letters()
    assert [(each.key.pk, each.error) for each in letters] == [(2, "too long"), (3, "é\\ud800")]
    assert abs(letters[0].failed_at - time.time()) < 60
    assert outbox.dead_letters("Keeper") == []
    assert outbox.dead_letter_counts() == {"Tag": 2}

    # Tried again: the letter goes once the document is in the index.
    assert outbox.retry(tags(2)) == 1
    claim = outbox.claim("Tag", 10)
    assert [letter.key.pk for letter in outbox.dead_letters()] == [2, 3]
    outbox.settle(claim, "Tag", {}, [2])
    assert [letter.key.pk for letter in outbox.dead_letters()] == [3]
    # Refused again: one letter, the newer.
    outbox.retry(tags(3))
    outbox.settle(outbox.claim("Tag", 10), "Tag", {3: "still"}, [])
    assert [letter.error for letter in outbox.dead_letters()] == ["still"]
    assert outbox.drop(tags(3)) == 1
    assert outbox.dead_letters() == []


def test_what_waits_and_for_how_long(outbox: Any) -> None:
    outbox.enqueue(tags(1, 2))
    outbox.rows.update_many({}, {"$inc": {"recorded_at": -5000}})
    outbox.enqueue(tags(3))
    lag = outbox.backlog()
    assert set(lag) == {"Tag"}
    assert lag["Tag"].rows == 3
    assert 5 <= lag["Tag"].age_seconds < 60


def test_a_mark_is_passed_when_what_waited_is_gone_with_all_that_came_of_it(outbox: Any) -> None:
    assert outbox.has_passed(outbox.watermark())
    outbox.enqueue(tags(1))
    mark = outbox.watermark()
    outbox.enqueue(tags(2))
    assert not outbox.has_passed(mark)
    outbox.settle(outbox.claim("Tag", 1), "Tag", {}, [1])
    assert outbox.has_passed(mark)
    assert not outbox.has_passed(outbox.watermark())
    # A row that was made of another one, when that was claimed.
    (row,) = outbox.rows.find({})
    outbox._insert(outbox._rows([Key("Keeper", "a")], None, 0, [row["_id"]]))
    mark = [row["_id"]]
    outbox.settle(outbox.claim("Tag", 1), "Tag", {}, [2])
    assert not outbox.has_passed(mark)


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
