"""A search server that is killed, frozen or absent, an index that is gone, a document that is
refused: the application goes on, says who answered, and catches up by itself.

The server is this module's own: it is stopped, killed and frozen here.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid

import pytest
import transaction

from nefertari_search_tween.compat.elasticsearch import ES
from nefertari_search_tween.mirror.index_lifecycle import prepare_indices
from tests.apps.every_field import INI
from tests.servers import Pserve
from tests.servers.base import wait_until
from tests.support.apps import search_of, zoo
from tests.support.compare_answers import engine_of
from tests.support.faulty_server import slowing
from tests.support.paths import TOP
from tests.write.test_sync import empty_tables, hit_keys, same

pytestmark = pytest.mark.slow

TIMEOUT = 1.0
# What a request may take beside the search itself, on a machine that is busy.
MARGIN = 2.0
RECOVERY = 30
NESTED_LIMIT = 2


@pytest.fixture(scope="module")
def server(own_elasticsearch):
    return own_elasticsearch


@pytest.fixture(scope="module")
def deployment(tmp_path_factory, server):
    """Where the application of this module lives: variables of the ini file, and its path."""
    folder = tmp_path_factory.mktemp("faults")
    (folder / "zoo.ini").write_text(INI)
    limits = {"index.mapping.nested_objects.limit": NESTED_LIMIT}
    (folder / "index.json").write_text(json.dumps(limits))
    return {
        "folder": folder,
        "variables": {
            "database": f"sqlite:///{folder / 'zoo.sqlite'}",
            "elasticsearch_hosts": server.url.partition("://")[2],
            "index_name": f"test-{uuid.uuid4().hex[:12]}",
        },
    }


@pytest.fixture(scope="module")
def app(deployment, server):
    from pyramid_sqlalchemy import Session

    Session.remove()
    app = zoo(
        deployment["variables"]["database"],
        server.url,
        deployment["variables"]["index_name"],
        **{
            "nefertari_search.search_timeout": str(TIMEOUT),
            "elasticsearch.index.settings_file": str(deployment["folder"] / "index.json"),
        },
    )
    yield app
    transaction.abort()
    Session.remove()


@pytest.fixture(autouse=True)
def _well(request, server):
    """Every test begins with a server that answers, empty tables, and mirrors that serve."""
    bring_back(server)
    if "app" in request.fixturenames:
        app = request.getfixturevalue("app")
        transaction.abort()
        empty_tables()
        make_indices_anew(app)
        serves_again(app)
        assert same(app, "/items")["data"] == []


def bring_back(server):
    if server.running:
        server.kill(signal.SIGCONT)
    else:
        server.start()


def make_indices_anew(app):
    """What a test has deleted, or left where none should be. The tables are empty."""
    search = search_of(app)
    own_indices = {
        index for mirror in search.mirrors for index in search.mirrors.indices_of(mirror)
    }
    for index in search.backend.indices(f"{search.settings.index_name}*"):
        if index not in own_indices:
            search.backend.delete_index(index)
    prepare_indices(search.mirrors)


def serves_again(app, path="/items"):
    assert wait_until(lambda: engine_of(app.get(path)) == "mirror", RECOVERY)
    assert wait_until(lambda: not search_of(app).outbox.pending_count(), RECOVERY)


def names(response):
    return [each["name"] for each in response.json["data"]]


def status_of(deployment, *arguments, command="status"):
    """Run a command on the application of this module in a process of its own."""
    variables = [f"{key}={value}" for key, value in deployment["variables"].items()]
    ini = str(deployment["folder"] / "zoo.ini")
    return subprocess.run(
        [
            sys.executable,
            "-W",
            "ignore",
            "-m",
            "nefertari_search_tween.scripts.main",
            command,
            ini,
            *variables,
            *arguments,
        ],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(TOP)},
    )


# The server is killed


def test_transparent_reads_are_answered_by_the_primary_while_the_server_is_down(app, server):
    app.post_json("/items", {"name": "Lion"})
    before = app.get("/items?_sort=id")
    assert engine_of(before) == "mirror"

    server.kill()

    for path in ("/items?_sort=id", "/items?_sort=id&_limit=5", "/items?name=Lion&_sort=id"):
        response = app.get(path, status=200)
        assert engine_of(response) == "primary; reason=unavailable"
        assert response.body == app.get(f"{path}&_search=false").body
    assert app.get("/items?_sort=id").body == before.body
    assert engine_of(app.get("/items?_count")) == "primary; reason=unavailable"
    assert app.get("/items?_count").json == app.get("/items?_count&_search=false").json


@pytest.mark.thorough
def test_search_reads_are_refused_clearly_while_the_server_is_down(app, server):
    server.kill()

    for path in ("/items?_search=true", "/items?q=lion", "/founds?name=lion"):
        response = app.get(path, status=503)
        assert int(response.headers["Retry-After"]) > 0
        assert response.content_type == "application/json"
        assert response.json["status_code"] == 503
        assert "search server" in response.json["message"] + str(response.json["explanation"])
        assert engine_of(response) == "none; reason=unavailable"


def test_writes_succeed_while_the_server_is_down_and_are_mirrored_afterwards(app, server):
    for number in range(3):
        app.post_json("/items", {"id": number + 1, "name": f"Old {number}"})
    server.kill()

    app.post_json("/items", {"id": 9, "name": "New"}, status=201)
    app.patch_json("/items/1", {"name": "Changed"}, status=200)
    app.delete("/items/2", status=200)
    response = app.get("/items?_sort=id")
    assert engine_of(response).startswith("primary")
    assert names(response) == ["Changed", "Old 2", "New"]

    # The same application, not restarted.
    server.start()
    serves_again(app)
    assert [each["name"] for each in same(app, "/items")["data"]] == ["Changed", "Old 2", "New"]
    assert hit_keys(app, "items", name="new") == [9]
    assert hit_keys(app, "items", name="old") == [3]


@pytest.mark.long
def test_a_restart_of_the_server_between_two_reads_is_not_noticed(app, server):
    app.post_json("/items", {"name": "Lion"})
    server.kill()
    server.start()

    response = app.get("/items")
    assert response.status_int == 200
    assert names(response) == ["Lion"]
    serves_again(app)


# The server is frozen


def timed(call, *arguments, **options):
    begun = time.monotonic()
    response = call(*arguments, **options)
    return response, time.monotonic() - begun


def test_reads_do_not_wait_for_a_frozen_server_longer_than_the_setting(app, server):
    app.post_json("/items", {"name": "Lion"})
    app.get("/items")
    server.kill(signal.SIGSTOP)

    for _ in range(6):
        response, seconds = timed(app.get, "/items?_sort=id", status=200)
        assert engine_of(response) in ("primary; reason=timeout", "primary; reason=unavailable")
        assert names(response) == ["Lion"]
        assert seconds < TIMEOUT + MARGIN
    for _ in range(3):
        response, seconds = timed(app.get, "/items?q=lion", expect_errors=True)
        assert response.status_int in (503, 504)
        assert int(response.headers["Retry-After"]) > 0
        assert seconds < TIMEOUT + MARGIN

    server.kill(signal.SIGCONT)
    serves_again(app)
    same(app, "/items")


def test_a_write_does_not_wait_for_a_frozen_server(app, server):
    app.post_json("/items", {"name": "Lion"})
    server.kill(signal.SIGSTOP)

    _, seconds = timed(app.post_json, "/items", {"name": "Tiger"}, status=201)
    assert seconds < TIMEOUT * 2 + MARGIN
    assert names(app.get("/items?_sort=id")) == ["Lion", "Tiger"]

    server.kill(signal.SIGCONT)
    serves_again(app)
    assert [each["name"] for each in same(app, "/items")["data"]] == ["Lion", "Tiger"]


# What Python code and views that search (`get_collection_es`) see of it


def calls(es):
    """Reads of Python code, each with what it gives for one item named Lion."""
    return {
        "get_collection": lambda: [each.name for each in es.get_collection(name="lion")],
        "count": lambda: es.get_collection(name="lion", _count=True),
        "do_count": lambda: es.do_count(es.build_search_params({"name": "lion"})),
        "all": lambda: [each.name for each in es.get_collection()],
        "get_item": lambda: es.get_item(id=1).name,
        "get_by_ids": lambda: [each.name for each in es.get_by_ids([{"_type": "Item", "_id": 1}])],
    }


#: those that the primary answers if the server does not
BY_KEY = ("get_item", "get_by_ids")
RIGHT = {
    "get_collection": ["Lion"],
    "count": 1,
    "do_count": 1,
    "all": ["Lion"],
    "get_item": "Lion",
    "get_by_ids": ["Lion"],
}


@pytest.mark.long
def test_calls_of_python_code_while_the_server_is_down_and_when_it_is_back(app, server):
    from nefertari.json_httpexceptions import JHTTPServiceUnavailable

    app.post_json("/items", {"id": 1, "name": "Lion"})
    reads = calls(ES("Item"))
    assert {name: read() for name, read in reads.items()} == RIGHT

    server.kill()
    for name, read in reads.items():
        if name in BY_KEY:
            assert read() == RIGHT[name]
            continue
        with pytest.raises(JHTTPServiceUnavailable) as caught:
            read()
        assert (name, caught.value.reason) == (name, "unavailable")
    # Indexing calls never fail for it: what they name waits.
    ES("Item").index({"_pk": "1"})
    ES("Item").index_missing_documents([{"_pk": "1"}])
    ES("Item").delete(7)
    ES.create_index()
    ES.setup_mappings()
    with pytest.raises(JHTTPServiceUnavailable):
        ES.delete_index()

    server.start()
    serves_again(app)
    assert {name: read() for name, read in reads.items()} == RIGHT


def test_calls_of_python_code_do_not_wait_for_a_frozen_server(app, server):
    from nefertari.json_httpexceptions import JHTTPGatewayTimeout, JHTTPServiceUnavailable

    app.post_json("/items", {"id": 1, "name": "Lion"})
    reads = calls(ES("Item"))
    server.kill(signal.SIGSTOP)
    raised = set()
    for name, read in reads.items():
        begun = time.monotonic()
        if name in BY_KEY:
            assert read() == RIGHT[name]
        else:
            with pytest.raises((JHTTPGatewayTimeout, JHTTPServiceUnavailable)) as caught:
                read()
            raised.add(caught.value.status_int)
        assert time.monotonic() - begun < TIMEOUT + MARGIN
    assert 504 in raised

    server.kill(signal.SIGCONT)
    serves_again(app)
    assert {name: read() for name, read in reads.items()} == RIGHT


@pytest.mark.parametrize(
    "sign",
    [
        pytest.param(signal.SIGKILL, id="down", marks=pytest.mark.long),
        pytest.param(signal.SIGSTOP, id="frozen"),
    ],
)
def test_a_view_that_searches_is_refused_and_comes_back(app, server, sign):
    app.post_json("/items", {"id": 1, "name": "Lion"})
    assert names(app.get("/founds?name=lion")) == ["Lion"]

    server.kill(sign)
    for path in ("/founds?name=lion", "/founds", "/founds?_count"):
        response, seconds = timed(app.get, path, expect_errors=True)
        assert response.status_int in ((503,) if sign == signal.SIGKILL else (503, 504))
        assert int(response.headers["Retry-After"]) > 0
        assert engine_of(response) in ("none; reason=unavailable", "none; reason=timeout")
        assert response.json["status_code"] == response.status_int
        assert seconds < TIMEOUT + MARGIN
    # Its collection can still be had.
    assert names(app.get("/founds?name=Lion&_search=false")) == ["Lion"]

    bring_back(server)
    serves_again(app)
    assert names(app.get("/founds?name=lion")) == ["Lion"]


@pytest.mark.long
def test_update_many_and_delete_many_change_nothing_while_the_server_is_down(app, server):
    for number in range(3):
        app.post_json("/items", {"id": number + 1, "name": "Lion", "count": number})
    server.kill()
    before = app.get("/items?_search=false&_sort=id").json["data"]

    assert app.patch_json("/items?name=lion", {"count": 9}, status=503).headers["Retry-After"]
    assert app.delete("/items?name=lion", status=503).headers["Retry-After"]
    assert app.get("/items?_search=false&_sort=id").json["data"] == before

    server.start()
    serves_again(app)
    app.patch_json("/items?name=lion", {"count": 9})
    assert {each["count"] for each in same(app, "/items")["data"]} == {9}


@pytest.mark.thorough
def test_a_server_that_is_slower_than_the_setting(elsewhere, server):
    """Statuses as designed, the application up, and nothing to be done when it is fast again."""
    with slowing(server.port) as slow:
        hosts = slow.url.partition("://")[2]
        with elsewhere(elasticsearch_hosts=hosts) as process:
            assert fetch(f"{process.url}/items", {"name": "Lion"})[0] == 201
            assert fetch(f"{process.url}/founds?name=lion")[:2] == (200, "mirror")

            slow.seconds = TIMEOUT * 1.5
            for path in ("founds?name=lion", "items?q=lion", "items?_search=true&name=lion"):
                begun = time.monotonic()
                status, engine, body = fetch(f"{process.url}/{path}")
                assert status in (503, 504), body
                assert engine in ("none; reason=timeout", "none; reason=unavailable")
                assert time.monotonic() - begun < TIMEOUT + MARGIN
            status, engine, body = fetch(f"{process.url}/items")
            assert (status, json.loads(body)["total"]) == (200, 1)
            assert engine in ("primary; reason=timeout", "primary; reason=unavailable")
            assert fetch(f"{process.url}/items", {"name": "Tiger"})[0] == 201

            slow.seconds = 0.0
            assert wait_until(
                lambda: fetch(f"{process.url}/founds?name=tiger")[:2] == (200, "mirror"), RECOVERY
            )
            assert wait_until(lambda: fetch(f"{process.url}/items")[1] == "mirror", RECOVERY)
            assert json.loads(fetch(f"{process.url}/items")[2])["total"] == 2
            assert "Traceback" not in process.log


# The index is gone


def delete_index(app, name):
    search = search_of(app)
    mirror = search.mirrors.get(name)
    for index in search.mirrors.indices_of(mirror):
        search.backend.delete_index(index)


@pytest.mark.thorough
def test_an_index_that_is_deleted_under_the_application_is_missed_and_rebuilt(app, deployment):
    app.post_json("/items", {"id": 1, "name": "Lion"})
    assert engine_of(app.get("/items")) == "mirror"
    delete_index(app, "Item")

    response = app.get("/items", status=200)
    assert engine_of(response) == "primary; reason=no-index"
    assert names(response) == ["Lion"]
    assert app.get("/items?q=lion", status=503).headers["Retry-After"]

    app.post_json("/items", {"id": 2, "name": "Tiger"}, status=201)
    assert names(app.get("/items?_sort=id")) == ["Lion", "Tiger"]

    done = status_of(deployment, "--models", "Item", command="rebuild")
    assert done.returncode == 0, done.stderr
    serves_again(app)
    assert [each["name"] for each in same(app, "/items")["data"]] == ["Lion", "Tiger"]
    app.patch_json("/items/1", {"name": "Puma"})
    assert hit_keys(app, "items", name="puma") == [1]


@pytest.mark.thorough
def test_writes_to_a_deleted_index_do_not_stand_in_the_way_of_the_next_one(app, deployment):
    app.post_json("/items", {"id": 1, "name": "Lion"})
    app.post_json("/items", {"id": 2, "name": "Tiger"})
    delete_index(app, "Item")

    app.delete("/items/1")
    app.patch_json("/items/2", {"name": "Puma"})

    search = search_of(app)
    mirror = search.mirrors.get("Item")
    assert search.backend.indices(f"{mirror.alias}*") == {}
    assert names(app.get("/items", status=200)) == ["Puma"]

    done = status_of(deployment, "--models", "Item", command="rebuild")
    assert done.returncode == 0, done.stderr
    serves_again(app)
    assert [each["name"] for each in same(app, "/items")["data"]] == ["Puma"]
    assert list(search.backend.indices(f"{mirror.alias}*")) == list(
        search.mirrors.indices_of(mirror)
    )


# Documents that can't be indexed


def state_of(deployment, model):
    done = status_of(deployment, "--json")
    return done.returncode, json.loads(done.stdout)[model]


def test_a_document_that_the_server_refuses_is_known_to_be_missing(app, deployment):
    from pyramid_sqlalchemy import Session

    from tests.apps.every_field.models import Label

    app.post_json("/keepers", {"code": "k", "name": "Ann"})
    for number in (1, 2):
        app.post_json("/items", {"id": number, "name": f"Lion {number}", "keeper_code": "k"})
    with transaction.manager:
        Session.add(Label(id=1, text="roars", item_id=1))
    # An item with its keeper and its label: one nested object more than the index allows.
    app.post_json("/visits", {"id": 1, "guest": "Refused", "item_id": 1})
    app.post_json("/visits", {"id": 2, "guest": "Fine", "item_id": 2})

    assert hit_keys(app, "visits") == [2]
    assert hit_keys(app, "visits", guest="refused") == []
    response = app.get("/visits?_sort=id")
    assert engine_of(response) == "primary; reason=inexact-values"
    assert response.body == app.get("/visits?_sort=id&_search=false").body
    assert [each["guest"] for each in response.json["data"]] == ["Refused", "Fine"]
    assert app.get("/visits?_count").json == 2 or app.get("/visits?_count").json["data"] == 2
    same(app, "/items")
    same(app, "/keepers")
    code, row = state_of(deployment, "Visit")
    assert code == 1
    assert (row["state"], row["rejected"], row["documents"], row["rows"]) == ("rejected", 1, 1, 2)

    with transaction.manager:
        Session.query(Label).delete(synchronize_session=False)

    assert hit_keys(app, "visits", guest="refused") == [1]
    assert [each["id"] for each in same(app, "/visits")["data"]] == [1, 2]
    code, row = state_of(deployment, "Visit")
    assert (code, row["state"], row["rejected"]) == (0, "ready", 0)


@pytest.mark.thorough
def test_a_value_that_json_does_not_have_is_known_to_be_missing(app, deployment):
    from pyramid_sqlalchemy import Session

    from tests.apps.every_field.models import Item

    with transaction.manager:
        Session.add(Item(id=1, name="Nan", thing=float("nan")))
        Session.add(Item(id=2, name="Fine", thing=1.5))

    assert hit_keys(app, "items") == [2]
    response = app.get("/items?_sort=id")
    assert engine_of(response) == "primary; reason=inexact-values"
    assert response.body == app.get("/items?_sort=id&_search=false").body
    code, row = state_of(deployment, "Item")
    assert (code, row["state"], row["rejected"]) == (1, "rejected", 1)

    with transaction.manager:
        Session.query(Item).get(1).thing = 2.5

    assert hit_keys(app, "items") == [1, 2]
    same(app, "/items")
    assert state_of(deployment, "Item")[0] == 0


@pytest.mark.thorough
def test_a_refused_document_that_is_deleted_leaves_no_trace(app, deployment):
    from pyramid_sqlalchemy import Session

    from tests.apps.every_field.models import Item

    with transaction.manager:
        Session.add(Item(id=1, name="Nan", thing=float("nan")))
    assert engine_of(app.get("/items")) == "primary; reason=inexact-values"

    app.delete("/items/1")

    assert same(app, "/items")["data"] == []
    assert state_of(deployment, "Item")[0] == 0


def test_refused_documents_among_many_do_not_hold_up_the_others(app):
    from pyramid_sqlalchemy import Session

    from tests.apps.every_field.models import Item

    with transaction.manager:
        for number in range(60):
            thing = float("inf") if number % 3 == 0 else number
            Session.add(Item(id=number + 1, name="Bird", thing=thing))

    assert len(hit_keys(app, "items", name="bird")) == 40
    assert search_of(app).outbox.pending_count() == 0


# A process of its own, as a user starts it


class Client:
    """Sends requests to one URL in a thread, without a pause, until it is stopped."""

    def __init__(self, url):
        self.url = url
        self.answers = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_exc):
        self._stop.set()
        self._thread.join(60)

    def _run(self):
        while not self._stop.is_set():
            self.answers.append(fetch(self.url))

    def engines(self):
        return {engine for _, engine, _ in self.answers}

    def wait_for(self, engine, seconds=RECOVERY):
        """Until the last answer came from *engine*."""
        return wait_until(
            lambda: bool(self.answers) and self.answers[-1][1].startswith(engine), seconds
        )


def fetch(url, data=None, method=None):
    """Status, who answered, and the body."""
    body = None if data is None else json.dumps(data).encode()
    request = urllib.request.Request(url, data=body, method=method)
    request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.headers.get("X-Search-Engine", ""), answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers.get("X-Search-Engine", ""), error.read()
    except OSError as error:
        return 599, repr(error), b""


@pytest.fixture
def elsewhere(tmp_path, server):
    """Makes pserve processes on one database of their own."""
    ini = tmp_path / "zoo.ini"
    ini.write_text(INI)
    variables = {
        "database": f"sqlite:///{tmp_path / 'zoo.sqlite'}",
        "elasticsearch_hosts": server.url.partition("://")[2],
        "index_name": f"test-{uuid.uuid4().hex[:12]}",
    }

    def make(**more):
        return Pserve(
            ini,
            variables={**variables, **more},
            env={"PYTHONPATH": str(TOP), "PYTHONWARNINGS": "ignore"},
        )

    make.deployment = {"folder": tmp_path, "variables": variables}
    return make


@pytest.mark.long
def test_no_client_sees_an_error_while_the_server_is_killed_and_comes_back(elsewhere, server):
    with elsewhere() as process:
        for number in range(5):
            assert fetch(f"{process.url}/items", {"name": f"Lion {number}"})[0] == 201
        with (
            Client(f"{process.url}/items?_sort=id") as reader,
            Client(f"{process.url}/items?name=Lion%201&_count") as counter,
        ):
            assert reader.wait_for("mirror")
            server.kill()
            assert reader.wait_for("primary; reason=unavailable")
            assert counter.wait_for("primary; reason=unavailable")
            # From here on the answers to a count of all would differ, to this one they don't.
            written = fetch(f"{process.url}/items", {"name": "Meanwhile"})
            assert written[0] == 201
            server.start()
            assert reader.wait_for("mirror")
            assert counter.wait_for("mirror")
        log = process.log
        last = json.loads(reader.answers[-1][2])

    for client in (reader, counter):
        assert {status for status, _, _ in client.answers} == {200}
    counts = [body for _, _, body in counter.answers]
    assert len(set(counts)) == 1
    assert [each["name"] for each in last["data"]][-1] == "Meanwhile"
    # Told in a few lines, not by a stack for every attempt.
    log_entries = [line for line in log.splitlines() if line.startswith(("WARNING", "ERROR"))]
    assert 1 <= len(log_entries) < 10, log_entries
    assert "Traceback" not in log, log_entries


@pytest.mark.long
def test_an_application_starts_without_the_server_and_finds_it_later(elsewhere, server):
    server.kill()
    with elsewhere() as process:
        assert "WARNING" in process.log
        assert "search server does not answer" in process.log
        assert fetch(f"{process.url}/items", {"name": "Early"})[0] == 201
        status, engine, body = fetch(f"{process.url}/items")
        # The change waits, too: either is a true answer.
        assert status == 200
        assert engine in ("primary; reason=unavailable", "primary; reason=stale")
        assert json.loads(body)["total"] == 1
        assert fetch(f"{process.url}/items?q=early")[0] == 503
        assert fetch(f"{process.url}/founds?name=early")[0] == 503

        server.start()
        assert wait_until(
            lambda: fetch(f"{process.url}/items")[1] == "primary; reason=no-index", RECOVERY
        )
        done = status_of(elsewhere.deployment, command="rebuild")
        assert done.returncode == 0, done.stderr
        assert wait_until(lambda: fetch(f"{process.url}/items")[1] == "mirror", RECOVERY)
        assert json.loads(fetch(f"{process.url}/items?q=early")[2])["total"] == 1
        assert json.loads(fetch(f"{process.url}/founds?name=early")[2])["total"] == 1


@pytest.mark.long
def test_without_fallback_a_read_is_refused_instead(elsewhere, server):
    with elsewhere(fallback="false") as process:
        assert fetch(f"{process.url}/items", {"name": "Lion"})[0] == 201
        assert fetch(f"{process.url}/items")[:2] == (200, "mirror")
        server.kill()

        assert wait_until(lambda: fetch(f"{process.url}/items")[0] == 503, 10)
        status, engine, body = fetch(f"{process.url}/items")
        assert (status, engine) == (503, "none; reason=unavailable")
        assert json.loads(body)["status_code"] == 503
        # What was sent to the primary on purpose is not refused.
        assert fetch(f"{process.url}/items?_search=false")[0] == 200
        assert fetch(f"{process.url}/items/1")[0] == 200
        assert fetch(f"{process.url}/items", {"name": "Tiger"})[0] == 201
