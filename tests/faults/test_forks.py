"""Applications that are made first and forked then, under load: every answer is its own.

A process makes the application, reads (so that sockets and files are in use), keeps threads reading
while it forks its workers, and each worker asks for objects of its own. With shared sockets one
worker reads what another one asked for.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import transaction

from nefertari_search_tween.concurrency import forks
from nefertari_search_tween.interfaces.process_counts import (
    CACHE_HIT,
    CACHE_MISS,
    READ_PREFIX,
)
from tests.conftest import indices_of
from tests.servers.base import free_port, wait_until
from tests.support.apps import backend_and_hosts, search_of, zoo
from tests.support.paths import TOP
from tests.support.processes import INI
from tests.support.tiers import primary_kind

pytestmark = pytest.mark.slow

WORKERS = 4
BY_MIRROR = f"{READ_PREFIX}mirror"
REQUESTS = 200
KEEPERS = WORKERS * REQUESTS


def name_of(number: int) -> str:
    return f"Ann number{number}"


@pytest.fixture(
    params=["embedded", pytest.param("elasticsearch"), pytest.param("opensearch")], scope="module"
)
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    if request.param == "embedded":
        return f"embedded:{tmp_path_factory.mktemp('forks')}/search"
    address = str(request.getfixturevalue(f"{request.param}_url"))
    return address if request.param == "elasticsearch" else f"opensearch+{address}"


@pytest.fixture
def prefix(url: str) -> Iterator[str]:
    prefix = f"test-{uuid.uuid4().hex[:12]}"
    yield prefix
    if not url.startswith("embedded"):
        address = url.removeprefix("opensearch+")
        for index in indices_of(address, prefix):
            request = urllib.request.Request(f"{address}/{index}", method="DELETE")
            urllib.request.urlopen(request, timeout=30).close()


def add_keepers() -> None:
    from tests.apps.every_field.models import Keeper

    for number in range(KEEPERS):
        Keeper(code=f"k{number:05}", name=name_of(number)).save()
    transaction.commit()


def paths_of(worker: int) -> Iterator[tuple[str, str]]:
    """Requests of one worker, and the name that each answer has: filters, and searches."""
    for number in range(worker * REQUESTS, (worker + 1) * REQUESTS):
        if number % 2:
            yield f"/keepers?code=k{number:05}", name_of(number)
        else:
            yield f"/keepers?q=number{number}", name_of(number)


def check(body: Any, expected: str, path: str, answered: str) -> None:
    names = [each["name"] for each in body["data"]]
    assert names == [expected], (path, names)
    assert answered == "mirror", (path, answered)


def in_children(work: Callable[[int], None]) -> list[int]:
    """Run *work* in forked workers at the same time; their exit codes."""
    children = []
    for worker in range(WORKERS):
        child = os.fork()
        if child == 0:
            # What hangs is a failure, not a test without an end.
            signal.alarm(120)
            try:
                work(worker)
            except BaseException:  # noqa: BLE001 - told, and the child ends here
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        children.append(child)
    return [os.waitpid(child, 0)[1] for child in children]


@pytest.mark.parametrize("cache", [pytest.param("", marks=pytest.mark.thorough), "memory"])
def test_workers_that_are_forked_under_load_answer_their_own(
    url: str, prefix: str, tmp_path: Path, cache: str
) -> None:
    settings = {"nefertari_search.cache": cache}
    app = zoo(f"sqlite:///{tmp_path}/zoo.sqlite", url, prefix, **settings)
    add_keepers()

    def get(worker: int) -> None:
        for path, expected in paths_of(worker):
            response = app.get(path)
            check(response.json, expected, path, response.headers["X-Search-Engine"])

    get(0)
    ended = threading.Event()

    def read_on() -> int:
        # Below the views: the application's sessions are the affair of its server.
        searcher, mirror = search_of(app).searcher, search_of(app).mirrors.get("Keeper")
        failures = 0
        while not ended.is_set():
            try:
                with searcher.consistency.translate_errors({mirror: None}):
                    searcher.backend.search(mirror.alias, {"size": 5})
            except Exception:  # noqa: BLE001 - counted: a fork may interrupt what takes long
                failures += 1
        return failures

    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(read_on) for _ in range(4)]
        try:
            statuses = in_children(get)
        finally:
            ended.set()
        assert statuses == [0] * WORKERS
        assert [reader.result() for reader in readers] == [0] * 4
    get(1)


def test_a_lock_that_another_thread_holds_stops_no_child(
    url: str, prefix: str, tmp_path: Path
) -> None:
    settings = {"nefertari_search.cache": "memory"}
    app = zoo(f"sqlite:///{tmp_path}/zoo.sqlite", url, prefix, **settings)
    add_keepers()
    search = search_of(app)
    backend, mirror = search.backend, search.mirrors.get("Keeper")
    locks = [mirror._lock, search.indexer.recovery._lock, search.counts._lock]
    locks += [search.cache.region.region.backend._cache._lock]
    locks += [each._lock for each in (search.counts._thread, search.indexer.recovery._thread)]
    locks += [each.mutex for each in _queues(backend)]
    mirror.invalidate()
    locked, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        for lock in locks:
            lock.acquire()
        locked.set()
        go_on.wait()
        for lock in locks:
            lock.release()

    thread = threading.Thread(target=hold)
    thread.start()
    locked.wait()

    def get(worker: int) -> None:
        for path, expected in list(paths_of(worker))[:4]:
            response = app.get(path)
            check(response.json, expected, path, response.headers["X-Search-Engine"])
        search.counts.add("Keeper", BY_MIRROR)
        search.stop()

    try:
        assert in_children(get) == [0] * WORKERS
    finally:
        go_on.set()
        thread.join()


def _queues(backend: Any) -> list[Any]:
    return [pool.pool for pool in backend._pools()] if hasattr(backend, "_pools") else []


def test_what_is_counted_and_cached_is_the_childs_own(
    url: str, prefix: str, tmp_path: Path
) -> None:
    app = zoo(
        f"sqlite:///{tmp_path}/zoo.sqlite", url, prefix, **{"nefertari_search.cache": "memory"}
    )
    add_keepers()
    for _ in range(2):
        app.get("/keepers?code=k00001")
    counts = search_of(app).counts
    numbers = {
        ("Keeper", CACHE_HIT): 1,
        ("Keeper", CACHE_MISS): 1,
        ("Keeper", BY_MIRROR): 2,
    }
    assert counts.numbers() == numbers

    def get(worker: int) -> None:
        assert counts.numbers() == {}
        app.get("/keepers?code=k00001")
        assert counts.numbers() == {
            ("Keeper", CACHE_HIT): 0,
            ("Keeper", CACHE_MISS): 1,
            ("Keeper", BY_MIRROR): 1,
        }

    assert in_children(get) == [0] * WORKERS
    assert counts.numbers() == numbers


def test_the_clients_of_parent_and_child_use_sockets_of_their_own(
    url: str, prefix: str, tmp_path: Path
) -> None:
    if url.startswith("embedded"):
        pytest.skip("no sockets")
    app = zoo(f"sqlite:///{tmp_path}/zoo.sqlite", url, prefix)
    add_keepers()
    app.get("/keepers?code=k00001")
    backend = search_of(app).backend
    api = backend.client

    def ports() -> set[int]:
        connections = [each for queue in _queues(backend) for each in queue.queue if each]
        return {each.sock.getsockname()[1] for each in connections if each.sock is not None}

    before = ports()
    assert before

    def get(worker: int) -> None:
        assert ports() == set()
        app.get("/keepers?code=k00001")
        assert ports()
        assert ports().isdisjoint(before)
        # What the application has of it.
        assert backend.client is api
        assert api.cluster.health()

    assert in_children(get) == [0] * WORKERS
    app.get("/keepers?code=k00001")
    assert ports() & before


@pytest.mark.every_primary
@pytest.mark.skipif(primary_kind() != "postgresql", reason="SQLite has no sessions")
def test_a_child_has_its_own_connections_to_the_database(primary_url: str, tmp_path: Path) -> None:
    """Of what start-up and the application have left in pools."""
    app = zoo(primary_url, f"embedded:{tmp_path}/search", "forks")
    add_keepers()
    app.get("/keepers?code=k00001")
    app.get("/keepers?code=k00001&_search=false")
    engines = {id(each): each for each in search_of(app).primary._engines}.values()
    query = "SELECT pg_backend_pid()"
    before = {engine.execute(query).scalar() for engine in engines}
    assert sum(engine.pool.checkedout() for engine in engines) == 0

    def get(worker: int) -> None:
        assert not before & {engine.execute(query).scalar() for engine in engines}
        for path, expected in list(paths_of(worker))[:20]:
            response = app.get(path)
            check(response.json, expected, path, response.headers["X-Search-Engine"])
            response = app.get(f"/keepers?name={expected}&_search=false")
            check(response.json, expected, path, "mirror")

    assert in_children(get) == [0] * WORKERS
    assert {engine.execute(query).scalar() for engine in engines} == before


# A fork that Python is not told of


def test_a_fork_without_a_word_is_noticed_at_the_next_request(monkeypatch: Any) -> None:
    class Watched(forks.PerProcess):
        renewed = 0

        def after_fork_in_child(self) -> None:
            self.renewed += 1

    watched = Watched()
    watched.watch_forks()
    forks.renew_if_forked()
    assert watched.renewed == 0
    monkeypatch.setattr(forks._fork, "pid", forks._fork.pid - 1)
    forks.renew_if_forked()
    forks.renew_if_forked()
    assert watched.renewed == 1


def test_after_start_up_no_file_of_ours_is_open(tmp_path: Path) -> None:
    folder = tmp_path / "search"
    app = zoo(f"sqlite:///{tmp_path}/zoo.sqlite", f"embedded:{folder}", "test")
    opened = {os.path.realpath(each) for each in Path("/proc/self/fd").iterdir()}
    assert not [each for each in opened if each.startswith(str(tmp_path))]
    app.get("/keepers")


# Servers


WSGI = """
import os
from pyramid.paster import get_app
options = dict(each.split("=", 1) for each in os.environ["OPTIONS"].split())
application = get_app(os.environ["INI"], options=options)
from webtest import TestApp
TestApp(application).get("/keepers?code=k00001")
"""


def gunicorn(folder: Path, port: int) -> list[str]:
    pytest.importorskip("gunicorn")
    words = [sys.executable, "-W", "ignore", "-m", "gunicorn", "--preload", "--workers", "4"]
    return [*words, "--bind", f"127.0.0.1:{port}", "preloaded:application"]


def uwsgi(folder: Path, port: int, *more: str) -> list[str]:
    program = shutil.which("uwsgi")
    if program is None:
        pytest.skip("uwsgi is not installed")
    words = [program, "--http-socket", f"127.0.0.1:{port}", "--master", "--processes", "4"]
    return [*words, "--die-on-term", "--module", "preloaded:application", *more]


SERVERS = {
    "gunicorn --preload": gunicorn,
    "uwsgi": uwsgi,
    "uwsgi with threads": lambda folder, port: uwsgi(folder, port, "--enable-threads"),
}


@pytest.mark.thorough
@pytest.mark.parametrize("server", list(SERVERS))
def test_servers_that_fork_answer_each_request_with_its_own(
    url: str, prefix: str, tmp_path: Path, server: str
) -> None:
    port = free_port()
    command = SERVERS[server](tmp_path, port)
    database = f"sqlite:///{tmp_path}/zoo.sqlite"
    zoo(database, url, prefix)
    add_keepers()
    backend, hosts = backend_and_hosts(url)
    (tmp_path / "preloaded.py").write_text(WSGI)
    ini = tmp_path / "zoo.ini"
    ini.write_text(
        INI.replace("cache =\n", "cache =\nbackend =\n", 1).replace(
            "get sqlalchemy.url", "get nefertari_search.backend = backend\nget sqlalchemy.url", 1
        )
    )
    options = {
        "database": database,
        "backend": backend,
        "elasticsearch_hosts": hosts,
        "index_name": prefix,
        "sync": "inline",
    }
    environment = {
        **os.environ,
        "INI": str(ini),
        "OPTIONS": " ".join(f"{key}={value}" for key, value in options.items()),
        "PYTHONPATH": os.pathsep.join([str(TOP), str(tmp_path), *sys.path]),
    }
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdout=output, stderr=output
        )
    try:
        assert wait_until(lambda: process.poll() is not None or _answers(port), 60), log.read_text()
        with ThreadPoolExecutor(WORKERS) as pool:
            for each in [pool.submit(_get_all, port, worker) for worker in range(WORKERS)]:
                each.result()
    except Exception as error:
        raise AssertionError(log.read_text()[-4000:]) from error
    finally:
        process.terminate()
        process.wait(30)


def _get_all(port: int, worker: int) -> None:
    for path, expected in paths_of(worker):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as response:
            check(json.load(response), expected, path, response.headers["X-Search-Engine"])


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1):
            return True
    except OSError:
        time.sleep(0.1)
        return False
