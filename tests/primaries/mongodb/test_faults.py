"""MongoDB has no transactions here: processes that die around a write, one that is held up, a
search server and a database that are down. The mirror always catches up."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import Any

import pytest
from pymongo import monitoring
from webtest import TestApp

from tests.conftest import started
from tests.primaries.mongodb.test_sync import mirrored, names, same
from tests.servers import ElasticsearchServer, FerretdbServer
from tests.servers.base import wait_until
from tests.support import mongodb as on_mongodb
from tests.support.apps import search_of
from tests.support.paths import TOP
from tests.support.tiers import mostly_long

pytestmark = pytest.mark.mongodb

RECOVERY_SECONDS = 60
WRITES = [
    "create",
    "update",
    "delete",
    "bulk-update",
    "bulk-delete",
    "upsert",
    "modify",
    "insert",
]


@pytest.fixture
def app(mongodb: dict[str, str], backend_url: str, module_prefix: str) -> TestApp:
    app = on_mongodb.zoo(mongodb, backend_url, module_prefix)
    search_of(app).indexer.recovery.stop()
    from tests.apps.every_field_mongo.models import Item, Keeper, Visit

    for model in (Visit, Item, Keeper):
        model.objects.delete()
    keeper = Keeper(code="a", name="Ann").save()
    Keeper(code="b", name="Bob").save()
    Visit(guest="g", item=Item(name="Lion", keeper=keeper).save()).save()
    same(app)
    return app


def expire(app: TestApp) -> None:
    """Let the time pass that a dead process's claims have."""
    search_of(app).outbox.rows.update_many(
        {"claim_token": {"$ne": None}}, {"$set": {"lease_expires_at": 1}}
    )


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("write", mostly_long(WRITES, 3, pytest.mark.thorough))
def test_a_process_that_is_killed_around_a_write(
    app: TestApp,
    mongodb: dict[str, str],
    backend_url: str,
    module_prefix: str,
    write: str,
    moment: str,
) -> None:
    settings = on_mongodb.settings(mongodb, backend_url, module_prefix)
    before = app.get("/keepers", {"_search": "false", "_sort": "code"}).json
    arguments = json.dumps({"settings": settings, "write": write, "moment": moment})
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.support.killed_writer", arguments],
        cwd=TOP,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr
    # The write was made, or not; the intent is there, and its writer has told nobody.
    after = app.get("/keepers", {"_search": "false", "_sort": "code"}).json
    assert (after != before) == (moment == "after")
    search = search_of(app)
    assert search.outbox.pending_count("Keeper") > 0
    assert mirrored(app, "/keepers", _sort="code")["data"] == before["data"]
    # Its claim is respected until it runs out, and taken over then.
    assert search.indexer.drain() == 0
    expire(app)
    assert "Keeper" in search.outbox.claimable_models()
    search.indexer.drain()
    assert mirrored(app, "/keepers", _sort="code") == after
    same(app)


class Overtaking(monitoring.CommandListener):
    """Just before a write, lets another one find its intent too old, and process it."""

    def __init__(self) -> None:
        self.overtake: Any = None

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if self.overtake is not None and event.command.get("update") == "zoo_keepers":
            overtake, self.overtake = self.overtake, None
            overtake()

    def succeeded(self, event: Any) -> None:
        """Nothing to see."""

    def failed(self, event: Any) -> None:
        """Nothing to see."""


OVERTAKING = Overtaking()
monitoring.register(OVERTAKING)


@pytest.mark.parametrize("sync", ["inline", "worker"])
def test_a_writer_that_is_held_up_between_its_intent_and_the_write(
    app: TestApp, mongodb: dict[str, str], backend_url: str, module_prefix: str, sync: str
) -> None:
    second_app = on_mongodb.zoo(
        mongodb, backend_url, module_prefix, **{"nefertari_search.sync": sync}
    )
    search = search_of(second_app)
    from tests.apps.every_field_mongo.models import Keeper

    processed = []

    def overtake() -> None:
        expire(second_app)
        processed.append(search.indexer.drain())
        assert search.outbox.pending_count() == 0

    OVERTAKING.overtake = overtake
    Keeper.get_item(code="a").update({"name": "Anna"})
    assert processed and processed[0] > 0
    search.indexer.drain()
    assert names(second_app, "/keepers") == ["Anna", "Bob"]
    assert mirrored(second_app, "/visits")["data"][0]["item"]["keeper"]["name"] == "Anna"
    same(second_app)


def test_workers_do_what_others_recorded(
    app: TestApp, mongodb: dict[str, str], backend_url: str, module_prefix: str
) -> None:
    app = on_mongodb.zoo(mongodb, backend_url, module_prefix, **{"nefertari_search.sync": "worker"})
    search = search_of(app)
    from tests.apps.every_field_mongo.models import Keeper, Label

    Keeper.get_item(code="a").update({"name": "Anna"})
    label = Label(text="one").save()
    from tests.apps.every_field_mongo.models import Item

    Item(name="Tiger", label=label).save()
    Label.objects.update(set__text="two")
    assert search.outbox.pending_count() > 0
    assert app.get("/keepers").headers["X-Search-Engine"] == "primary; reason=stale"
    search.indexer.drain()
    assert mirrored(app, "/visits")["data"][0]["item"]["keeper"]["name"] == "Anna"
    assert mirrored(app, "/items", name="Tiger")["data"][0]["label"]["text"] == "two"
    same(app)


@pytest.mark.thorough
def test_the_search_server_is_down_for_a_while(
    mongodb: dict[str, str], app: TestApp, module_prefix: str
) -> None:
    for server in started(ElasticsearchServer()):
        settings = {"nefertari_search.search_timeout": "1"}
        app = on_mongodb.zoo(mongodb, server.url, module_prefix, **settings)
        search = search_of(app)
        from tests.apps.every_field_mongo.models import Keeper

        for mirror in search.mirrors:
            search.mirrors.create(mirror, search.mirrors.next_name(mirror), live=True)
            search.outbox.enqueue_model(mirror.name)
        search.indexer.drain()
        same(app)
        server.kill()
        app.patch_json("/keepers/a", {"name": "Anna"})
        Keeper(code="c", name="Cid").save()
        Keeper.objects(code="b").delete()
        down = app.get("/keepers", {"_sort": "code"})
        assert down.headers["X-Search-Engine"].startswith("primary; reason=")
        assert [each["name"] for each in down.json["data"]] == ["Anna", "Cid"]
        assert search.outbox.pending_count() > 0
        server.start()
        # The thread that tries again has been started by the first write that failed.
        waiting = search.outbox.pending_count
        assert wait_until(lambda waiting=waiting: waiting() == 0, RECOVERY_SECONDS)
        assert names(app, "/keepers") == ["Anna", "Cid"]
        same(app)
        search.indexer.recovery.stop()


def test_the_database_is_down_for_a_while(
    backend_url: str, module_prefix: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    for server in started(FerretdbServer()):
        settings = server.settings("down")
        settings["mongodb.host"] = "mongodb://127.0.0.1/?serverSelectionTimeoutMS=500"
        url = f"embedded:{tmp_path_factory.mktemp('down')}"
        app = on_mongodb.zoo(settings, url, module_prefix)
        app.post_json("/tags", {"number": 1, "name": "one"})
        server.kill()
        # Neither can be told: whether the mirror is behind is known by the database.
        assert app.get("/tags", expect_errors=True).status_int >= 400
        refused = app.post_json("/tags", {"number": 2, "name": "two"}, expect_errors=True)
        assert refused.status_int >= 400
        server.start()
        assert names(app, "/tags") == ["one"]
        app.post_json("/tags", {"number": 3, "name": "three"})
        assert names(app, "/tags") == ["one", "three"]
        same(app)
        search_of(app).indexer.recovery.stop()
