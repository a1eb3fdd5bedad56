"""The thread of a web process that takes over what a killed process left: when it runs, when not.

That it does its work is shown with real processes in test_worker.py.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
import uuid

import pytest
import transaction

from nefertari_search_tween.interfaces.primary import Key
from tests.servers.base import wait_until
from tests.support.apps import TOP, search_of, zoo
from tests.write.test_sync import mirrored_ids

THREAD = "nefertari-search-indexer"
SOON = 20


@pytest.fixture
def make(tmp_path, backend_url):
    """Makes applications on one database and one name of indices."""
    apps = []
    prefix = f"test-{uuid.uuid4().hex[:12]}"

    def make_one(**settings):
        settings = {f"nefertari_search.{name}": value for name, value in settings.items()}
        app = zoo(f"sqlite:///{tmp_path / 'zoo.sqlite'}", backend_url, prefix, **settings)
        apps.append(app)
        return app

    yield make_one
    transaction.abort()
    for app in apps:
        search_of(app).indexer.recovery.stop()
    search = search_of(apps[-1])
    for mirror in search.mirrors:
        for index in search.mirrors.indices_of(mirror):
            search.backend.delete_index(index)


def threads():
    return [each for each in threading.enumerate() if each.name == THREAD]


@pytest.fixture(autouse=True)
def _none_before():
    """Applications of other modules may have theirs."""
    from nefertari_search_tween.compat.current import CURRENT
    from nefertari_search_tween.runtime import SearchRuntime

    if isinstance(CURRENT.runtime, SearchRuntime):
        CURRENT.runtime.indexer.recovery.stop()
    assert wait_until(lambda: threads() == [], SOON)


@pytest.mark.slow
def test_the_first_request_starts_it_and_further_ones_do_not(make):
    app = make()
    assert threads() == []
    app.get("/items")
    (first,) = threads()
    app.get("/items/1", status=404)
    app.post_json("/items", {"name": "Lion"})
    assert threads() == [first]
    assert first.daemon


@pytest.mark.thorough
def test_it_takes_free_rows_without_a_request(make):
    from pyramid_sqlalchemy import Session

    from tests.apps.every_field.models import Keeper

    app = make()
    app.get("/keepers")
    search = search_of(app)
    with transaction.manager:
        Session.add(Keeper(code="k", name="Ann"))
        # Nobody's, as if the process had died that wrote them.
        search.outbox.inline = False
    search.outbox.inline = True
    search.outbox.enqueue([Key("Keeper", "k")])
    assert search.outbox.pending_count() == 2
    assert wait_until(lambda: search.outbox.pending_count() == 0, SOON)
    assert mirrored_ids(app, "Keeper") == ["k"]


@pytest.mark.thorough
@pytest.mark.slow
def test_a_script_has_none(make):
    from pyramid_sqlalchemy import Session

    from tests.apps.every_field.models import Keeper

    app = make()
    with transaction.manager:
        Session.add(Keeper(code="k", name="Ann"))
    assert mirrored_ids(app, "Keeper") == ["k"]
    assert threads() == []


@pytest.mark.thorough
def test_with_workers_there_is_none(make):
    app = make(sync="worker")
    app.post_json("/keepers", {"code": "k", "name": "Ann"})
    app.get("/keepers")
    assert threads() == []
    assert search_of(app).outbox.pending_count() == 1


@pytest.mark.thorough
def test_the_drop_in_leaves_the_work_to_workers(make):
    from nefertari.elasticsearch import ES

    from tests.apps.every_field.models import Keeper

    app = make(sync="worker")
    app.post_json("/keepers", {"code": "k", "name": "Ann"})
    search = search_of(app)
    ES("Keeper").index([{"_pk": "k", "_type": "Keeper"}])
    ES.index_relations(Keeper.get_item(code="k"))
    assert search.outbox.pending_count() == 2
    assert mirrored_ids(app, "Keeper") == []

    search.indexer.drain()
    assert mirrored_ids(app, "Keeper") == ["k"]


@pytest.mark.thorough
def test_the_application_made_last_has_it(make):
    old = make()
    old.get("/items")
    (before,) = threads()
    new = make()
    assert not before.is_alive()
    new.get("/items")
    (after,) = threads()
    # A request to the old one does not bring it back.
    old.get("/items?_search=false")
    assert threads() == [after]


@pytest.mark.thorough
@pytest.mark.slow
def test_a_process_that_ends_is_not_held_up(tmp_path, backend_url):
    """Nor does it leave with an error: the thread sleeps, or is in the middle of its work."""
    program = f"""
import logging
logging.basicConfig()
from tests.support.apps import search_of, zoo
from nefertari_search_tween.interfaces.primary import Key
app = zoo("sqlite:///{tmp_path}/zoo.sqlite", "embedded:{tmp_path}/search", "zoo")
app.get("/keepers")
search_of(app).outbox.enqueue([Key("Keeper", str(number)) for number in range(2000)])
search_of(app).indexer.recovery.schedule_retry()
import time
time.sleep(0.6)
print("done")
"""
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=TOP,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")
    assert time.monotonic() - begun < 30
