"""A rebuild that is killed goes on where it was, and two of them do not meet.

The flights are rebuilt by the command line in processes of its own, killed with SIGKILL.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import re
import shlex
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
from contextlib import closing
from pathlib import Path

import pytest
import transaction
from sqlalchemy import create_engine

from nefertari_search_tween.backends.base import BulkAction
from nefertari_search_tween.concurrency.processes import ProcessFailed
from nefertari_search_tween.exceptions import BackendError, ConfigurationError
from nefertari_search_tween.indexing import indexer as indexing
from nefertari_search_tween.indexing.rebuild import backfill
from nefertari_search_tween.indexing.rebuild import rebuild as rebuilding
from nefertari_search_tween.indexing.rebuild.missing import index_missing
from nefertari_search_tween.indexing.verify.verify import Differences, verify
from nefertari_search_tween.interfaces.rebuild_lock import RebuildInProgress, RebuildLost
from nefertari_search_tween.mirror.mirror import write_alias
from tests.apps.large.load import INI
from tests.commands.test_commands import ENVIRONMENT, TOP, one_line
from tests.servers import PostgresServer
from tests.servers.base import free_port, wait_until
from tests.support.apps import backend_and_hosts, search_of, zoo
from tests.support.disturbed_reader import DisturbedReader
from tests.support.tiers import examples
from tests.write.test_sync import delete_indices, empty_tables, mirrored_ids

pytestmark = [pytest.mark.every_backend, pytest.mark.slow]

#: flights of the campaign; `make faults` takes them all
ROWS = int(os.environ.get("NEFERTARI_SEARCH_TEST_FLIGHTS", examples(20_000)))
COMMAND = [sys.executable, "-m", "nefertari_search_tween.scripts.main"]
OPERATIONS = TOP / "docs" / "operations.rst"


class Flights:
    """The flights in a database of their own, and the commands on them."""

    def __init__(self, folder: Path, database: str, url: str, rows: int, chunk: int = 200) -> None:
        self.ini = folder / "flights.ini"
        self.ini.write_text(INI)
        backend, hosts = backend_and_hosts(url)
        self.url = url
        self.prefix = f"test-{uuid.uuid4().hex[:12]}"
        self.variables = {
            "database": database,
            "backend": backend,
            "elasticsearch_hosts": hosts,
            "index_name": self.prefix,
            "chunk_size": str(chunk),
        }
        self.engine = create_engine(database)
        loaded = self.python("-m", "tests.apps.large.load", str(self.ini), str(rows))
        assert loaded.wait() == 0, loaded.communicate()[1]

    def python(self, *arguments, **variables):
        assigned = [f"{key}={value}" for key, value in {**self.variables, **variables}.items()]
        return subprocess.Popen(
            [sys.executable, *arguments, *assigned],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
            cwd=TOP,
        )

    def begin(self, command, *arguments, **variables):
        return self.python(*COMMAND[1:], command, str(self.ini), *arguments, **variables)

    def run(self, command, *arguments, **variables):
        process = self.begin(command, *arguments, **variables)
        output, errors = process.communicate(timeout=300)
        return subprocess.CompletedProcess(command, process.returncode, output, errors)

    def rebuilt(self, *arguments, **variables):
        done = self.run("rebuild", "--models", "Flight", "--json", *arguments, **variables)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["Flight"]

    def row(self):
        with self.engine.begin() as connection:
            return connection.execute("SELECT * FROM nefertari_search_rebuilds").fetchone()

    def is_locked(self):
        """True while nobody can write to the database, or only to other rows."""
        if self.engine.dialect.name != "sqlite":
            return False
        with closing(sqlite3.connect(self.engine.url.database, timeout=0)) as connection:
            try:
                connection.execute("BEGIN EXCLUSIVE")
            except sqlite3.OperationalError:
                return True
        return False

    def killed(self, reached=1):
        """A rebuild that was killed when *reached* documents were in the new index."""
        process = self.begin("rebuild", "--models", "Flight")
        assert wait_until(lambda: (row := self.row()) and row.documents >= reached, 60)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        return self.row()

    def grow_old(self):
        """As if the time had passed after which a rebuild counts as dead."""
        with self.engine.begin() as connection:
            connection.execute(
                "UPDATE nefertari_search_rebuilds SET heartbeat_at = heartbeat_at - 60000"
            )

    def verified(self):
        done = self.run("verify", "--models", "Flight", "--json")
        report = json.loads(done.stdout)["Flight"]
        assert (done.returncode == 0) == (report == {**CLEAN, "compared": report["compared"]})
        return report

    def indices(self):
        """Names of the indices of the flights (of a server)."""
        return sorted(self.ask("GET", f"{self.prefix}-flight-*/_alias"))

    def ask(self, method, path):
        request = urllib.request.Request(f"{self.url}/{path}", method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)


CLEAN = {
    **{kind: [] for kind in ("missing", "stale", "orphaned", "rejected", "pending", "changing")},
    "problem": None,
}


@pytest.fixture(scope="module")
def flights(tmp_path_factory, elasticsearch_url):
    folder = tmp_path_factory.mktemp("flights")
    flights = Flights(
        folder, f"sqlite:///{folder}/flights.sqlite?timeout=60", elasticsearch_url, ROWS
    )
    yield flights
    for index in flights.ask("GET", f"{flights.prefix}-*/_alias"):
        flights.ask("DELETE", index)


@pytest.fixture(autouse=True)
def _no_rebuild(request):
    yield
    if "flights" in request.fixturenames:
        request.getfixturevalue("flights").grow_old()


# Killed


@pytest.mark.thorough
def test_it_goes_on_behind_the_last_key_that_was_written_down(flights):
    progress = flights.killed(reached=ROWS // 4)
    assert int(progress.checkpoint) == progress.documents >= ROWS // 4
    flights.grow_old()

    built = flights.rebuilt()
    assert built == {
        "indexed": ROWS - progress.documents,
        "rejected": 0,
        "resumed": progress.documents,
    }
    assert flights.indices() == [progress.index_name]
    assert flights.row() is None
    assert flights.verified()["compared"] == ROWS
    interval = flights.ask("GET", f"{progress.index_name}/_settings")[progress.index_name]
    assert "refresh_interval" not in interval["settings"]["index"]


@pytest.mark.thorough
def test_it_says_what_was_there(flights):
    progress = flights.killed()
    flights.grow_old()
    done = flights.run("rebuild", "--models", "Flight")
    there = progress.documents
    line = f"Flight: {ROWS - there} documents indexed after {there} already there"
    assert done.stdout.splitlines() == [line]


@pytest.mark.thorough
def test_restart_begins_anew(flights):
    progress = flights.killed()
    flights.grow_old()
    assert flights.rebuilt("--restart") == {"indexed": ROWS, "rejected": 0, "resumed": 0}
    assert progress.index_name not in flights.indices()


@pytest.mark.thorough
def test_an_index_that_was_deleted_meanwhile_is_begun_anew_under_another_name(flights):
    progress = flights.killed()
    flights.ask("DELETE", progress.index_name)
    flights.grow_old()
    assert flights.rebuilt()["resumed"] == 0
    (name,) = flights.indices()
    assert name > progress.index_name


@pytest.mark.thorough
def test_an_index_with_other_settings_is_begun_anew(flights, tmp_path):
    progress = flights.killed()
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps({"index": {"refresh_interval": "17s"}}))
    flights.grow_old()
    assert flights.rebuilt(settings_file=str(settings))["resumed"] == 0
    (name,) = flights.indices()
    assert name > progress.index_name
    # What the build has set aside is back.
    index_settings = flights.ask("GET", f"{name}/_settings")[name]["settings"]["index"]
    assert index_settings["refresh_interval"] == "17s"


def test_one_that_lives_keeps_others_out(flights):
    first = flights.begin("rebuild", "--models", "Flight", "--json")
    assert wait_until(lambda: (row := flights.row()) and row.documents > 0, 60)
    # It is not to be done before the second one has looked; nor to be taken for dead.
    first.send_signal(signal.SIGSTOP)
    while flights.is_locked():
        # It was stopped while it read: SQLite lets nobody write then.
        first.send_signal(signal.SIGCONT)
        time.sleep(0.01)
        first.send_signal(signal.SIGSTOP)
    try:
        second = flights.run("rebuild")
    finally:
        first.send_signal(signal.SIGCONT)
    one_line(second, "Flight is being rebuilt by", socket.gethostname(), f"process {first.pid}")
    assert re.search(r"since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d", second.stderr)
    output, _ = first.communicate()
    assert first.returncode == 0
    assert json.loads(output)["Flight"]["indexed"] == ROWS
    assert flights.row() is None


@pytest.mark.parametrize("where", ["elasticsearch and postgresql", "embedded and sqlite"])
def test_killed_at_any_moment_it_loses_nothing(request, tmp_path, where):
    """Killed again and again while flights are changed, it comes to an end, and to the truth."""
    if "postgresql" in where:
        server: PostgresServer = request.getfixturevalue("postgres_server")
        database = server.create_database(f"test_{uuid.uuid4().hex[:12]}")
        url, rows = request.getfixturevalue("elasticsearch_url"), ROWS // 2
    else:
        database = f"sqlite:///{tmp_path}/flights.sqlite?timeout=60"
        url, rows = f"embedded:{tmp_path}/search", ROWS // 10
    flights = Flights(tmp_path, database, url, rows, chunk=50)
    draw = random.Random()
    writer = flights.python("-m", "tests.apps.large.write", str(flights.ini), "50")
    try:
        writer.stdout.readline()
        done = []
        for _ in range(4):
            process = flights.begin("rebuild", "--models", "Flight", "--json")
            assert wait_until(lambda: flights.row() is not None, 60)
            time.sleep(draw.uniform(0, 6))
            process.send_signal(signal.SIGKILL)
            process.communicate()
            row = flights.row()
            done.append(row.documents if row is not None else -1)
            flights.grow_old()
        built = flights.rebuilt()
    finally:
        writer.send_signal(signal.SIGTERM)
        written = json.loads(writer.communicate(timeout=60)[0].splitlines()[-1])
    print(done, built, written)
    assert written["updated"] > 100
    assert flights.row() is None
    report = flights.verified()
    assert report == {**CLEAN, "compared": rows + written["created"] - written["deleted"]}
    if url.startswith("http"):
        for index in flights.ask("GET", f"{flights.prefix}-*/_alias"):
            flights.ask("DELETE", index)


@pytest.mark.long
def test_the_campaign_in_short(elasticsearch_url):
    """`make faults` runs it with all flights."""
    program = [sys.executable, "-m", "tests.faults.rebuild_flights"]
    program += ["--rows", str(ROWS), "--elasticsearch", elasticsearch_url]
    done = subprocess.run(
        program, capture_output=True, text=True, timeout=600, env=ENVIRONMENT, cwd=TOP
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 missing, 0 stale, 0 orphaned, 0 rejected, 0 pending" in done.stdout


# In one process


@pytest.fixture(scope="module")
def app(tmp_path_factory, backend_url, module_prefix):
    from pyramid_sqlalchemy import Session

    app = zoo(
        f"sqlite:///{tmp_path_factory.mktemp('rebuild')}/zoo.sqlite",
        backend_url,
        module_prefix,
        **{"elasticsearch.chunk_size": "10"},
    )
    yield app
    transaction.abort()
    Session.remove()
    delete_indices(app)


@pytest.fixture
def search(app, monkeypatch):
    monkeypatch.setattr(rebuilding, "SETTLE_SECONDS", 0.0)
    transaction.abort()
    empty_tables()
    search = search_of(app)
    # The chunks of these tests are those of every backend.
    monkeypatch.setattr(search.backend, "backfill_chunks", 1)
    return search


@pytest.fixture
def tags(search):
    from pyramid_sqlalchemy import Session

    from tests.apps.every_field.models import Tag

    with transaction.manager:
        Session.add_all(Tag(id=number, name=f"tag {number}") for number in range(1, 101))
    return search.mirrors.get("Tag")


def interrupted(search, mirror, monkeypatch):
    """A rebuild in tens that failed after fifty documents."""
    monkeypatch.setattr(rebuilding, "CHECKPOINT_SECONDS", 0.0)
    counts = []

    def failing(mirror):
        def tell(count):
            counts.append(count)
            if sum(counts) >= 50:
                raise KeyboardInterrupt

        return tell

    with pytest.raises(KeyboardInterrupt):
        rebuilding.rebuild(
            search.mirrors, search.rebuild_locks, search.outbox, [mirror], 10, failing
        )


def rebuilt(search, mirror, **options):
    """Rebuild in tens; returns what is told of its progress, and what comes of it."""
    counts = []
    built = rebuilding.rebuild(
        search.mirrors,
        search.rebuild_locks,
        search.outbox,
        [mirror],
        10,
        lambda mirror: counts.append,
        **options,
    )
    return counts, built[mirror.name]


@pytest.mark.thorough
def test_one_that_fails_lets_the_next_go_on_at_once(search, tags, monkeypatch):
    interrupted(search, tags, monkeypatch)
    counts, built = rebuilt(search, tags)
    # The bar begins where the first one was.
    assert counts == [40, *[10] * 6]
    assert (built.indexed, built.resumed) == (60, 40)
    assert len(search.mirrors.indices_of(tags)) == 1


def test_one_that_starts_over_leaves_nothing_of_what_was_begun(search, app, tags, monkeypatch):
    interrupted(search, tags, monkeypatch)
    (begun,) = (
        index
        for index, aliases in search.mirrors.indices_of(tags).items()
        if tags.alias not in aliases
    )
    # The collection is read as before meanwhile.
    assert len(mirrored_ids(app, "Tag")) == 100
    counts, built = rebuilt(search, tags, restart=True)
    assert counts == [0, *[10] * 10]
    assert (built.indexed, built.resumed) == (100, 0)
    (index,) = search.mirrors.indices_of(tags)
    assert index != begun
    assert len(mirrored_ids(app, "Tag")) == 100
    # Nobody goes on to say that the rebuild lives.
    assert "nefertari-search-rebuild" not in {each.name for each in threading.enumerate()}


def test_an_index_that_is_not_there_is_built_from_all_that_is(search, app, tags):
    for index in search.mirrors.indices_of(tags):
        search.backend.delete_index(index)
    counts = []
    arguments = (search.mirrors, tags, 10, search.outbox, search.rebuild_locks)
    with pytest.raises(BackendError, match="index all of them first"):
        index_missing(*arguments, only=[1, 2])
    built = index_missing(*arguments, lambda mirror: counts.append)
    assert counts == [0, *[10] * 10]
    assert built.indexed == 100
    assert len(mirrored_ids(app, "Tag")) == 100

    # Of one that is there, what is missing; of some objects, no others.
    (index,) = search.mirrors.indices_of(tags)
    version = search.outbox.next_version("Tag")
    deletes = [BulkAction(write_alias(index), str(pk), version, None) for pk in (1, 2, 3)]
    assert all(each.indexed for each in search.backend.bulk(deletes, 10))
    counts.clear()
    assert index_missing(*arguments, lambda mirror: counts.append, only=[2, 3, 4]).indexed == 2
    assert counts == [3]
    assert "1" not in mirrored_ids(app, "Tag")
    assert index_missing(*arguments).indexed == 1
    assert len(mirrored_ids(app, "Tag")) == 100


@pytest.fixture
def settling(search, monkeypatch):
    """A time in which lists of indices grow old that the test can tell from others."""
    monkeypatch.setattr(indexing, "TARGETS_SECONDS", 2.0)
    monkeypatch.setattr(rebuilding, "SETTLE_SECONDS", 2.2)
    return rebuilding.SETTLE_SECONDS


def test_where_nothing_else_runs_the_scan_begins_at_once(search, tags, settling):
    began = time.monotonic()
    reported = []

    def progress(mirror):
        return lambda count: reported.append((count, time.monotonic() - began))

    rebuilding.rebuild(search.mirrors, search.rebuild_locks, search.outbox, [tags], 10, progress)
    ended = time.monotonic() - began
    assert [count for count, _ in reported] == [0, *[10] * 10]
    # The whole of it is there before any list has grown old; and then nothing is waited for.
    assert reported[-1][1] < settling
    assert ended < 2 * settling


@pytest.mark.parametrize("deleted", [False, True])
def test_a_change_by_one_that_does_not_know_the_index_is_not_lost(
    search, app, tags, settling, deleted
):
    from pyramid_sqlalchemy import Session

    from tests.apps.every_field.models import Tag

    def change(work):
        with transaction.manager:
            work(Session.query(Tag).get(5))

    counts = []

    def disturb():
        """The list of indices is that of the first change: without the new one."""
        change(Session.delete if deleted else lambda tag: setattr(tag, "name", "newer"))
        assert search.outbox.pending_count() == 0

    search.indexer._targets.clear()
    change(lambda tag: setattr(tag, "name", "new"))
    tags.reader, reader = DisturbedReader(tags.reader, disturb), tags.reader
    try:
        rebuilding.rebuild(
            search.mirrors,
            search.rebuild_locks,
            search.outbox,
            [tags],
            10,
            lambda mirror: counts.append,
        )
    finally:
        tags.reader = reader
    names = {str(each["id"]): each["name"] for each in app.get("/tags?_limit=200").json["data"]}
    assert names.get("5") == (None if deleted else "newer")
    assert sum(counts) == len(names) == 100 - deleted
    assert min(counts) < 0  # it began again
    assert verify(search.mirrors, search.outbox, tags, 10).clean


def test_an_index_goes_when_the_searches_of_it_have_ended(search, tags, monkeypatch):
    monkeypatch.setattr(rebuilding, "MAX_SEARCH_SECONDS", 60.0)
    (old,) = search.mirrors.indices_of(tags)
    if search.backend.search_activity(old) is None:
        pytest.skip("its deletion does not disturb them")
    scan = search.backend.scan(tags.alias, {"sort": [{"id": {"order": "asc"}}]}, 5)
    hits = list(next(scan))
    building = threading.Thread(target=rebuilt, args=(search, tags))
    building.start()
    assert wait_until(lambda: tags.alias not in search.mirrors.indices_of(tags)[old], 30)
    building.join(1.0)
    assert building.is_alive()
    hits.extend(hit for chunk in scan for hit in chunk)
    assert len(hits) == 100
    building.join(30)
    assert not building.is_alive()
    assert old not in search.mirrors.indices_of(tags)


def test_several_processes_build_an_index(search, app, tags, monkeypatch):
    monkeypatch.setattr(backfill, "CHUNKS_PER_RANGE", 2)
    counts, built = rebuilt(search, tags, processes=3)
    assert counts == [0, *[20] * 5]
    assert (built.indexed, built.resumed) == (100, 0)
    assert len(mirrored_ids(app, "Tag")) == 100
    clean = verify(search.mirrors, search.outbox, tags, 10, processes=3)
    assert clean == Differences(compared=100)
    assert multiprocessing.active_children() == []


def test_several_processes_go_on_with_what_one_has_left(search, tags, monkeypatch):
    monkeypatch.setattr(backfill, "CHUNKS_PER_RANGE", 2)
    interrupted(search, tags, monkeypatch)
    counts, built = rebuilt(search, tags, processes=2)
    assert counts == [40, 20, 20, 20]
    assert (built.indexed, built.resumed) == (60, 40)
    assert verify(search.mirrors, search.outbox, tags, 10).clean


def test_a_process_that_is_killed_ends_the_rebuild_which_resumes(search, tags, monkeypatch):
    monkeypatch.setattr(backfill, "CHUNKS_PER_RANGE", 1)
    monkeypatch.setattr(rebuilding, "CHECKPOINT_SECONDS", 0.0)
    parent, reader = os.getpid(), tags.reader

    class Dying(DisturbedReader):
        def scan(self, chunk, keys):
            if keys.after == 60 and os.getpid() != parent:
                time.sleep(0.5)  # what was before it is acknowledged
                os.kill(os.getpid(), signal.SIGKILL)
            return self._reader.scan(chunk, keys)

    tags.reader = Dying(reader)
    try:
        with pytest.raises(ProcessFailed, match="killed"):
            rebuilt(search, tags, processes=2)
    finally:
        tags.reader = reader
    counts, built = rebuilt(search, tags, processes=2)
    assert (built.indexed, built.resumed) == (100 - counts[0], counts[0])
    assert 0 < counts[0] <= 60
    assert verify(search.mirrors, search.outbox, tags, 10).clean


def test_a_build_has_one_owner(search):
    first = search.rebuild_locks.acquire("Node")
    search.rebuild_locks.start(first, "nodes-000001")
    with pytest.raises(RebuildInProgress, match=f"process {os.getpid()}"):
        search.rebuild_locks.acquire("Node")
    search.rebuild_locks.checkpoint(first, 17, 4)
    search.rebuild_locks.release(first)

    second = search.rebuild_locks.acquire("Node")
    assert (second.index, second.checkpoint, second.documents) == ("nodes-000001", 17, 4)
    for late in (
        lambda: search.rebuild_locks.checkpoint(first, 20, 5),
        lambda: search.rebuild_locks.heartbeat(first),
        lambda: search.rebuild_locks.start(first, "nodes-000002"),
    ):
        with pytest.raises(RebuildLost):
            late()
    search.rebuild_locks.release(first)  # not its own any more
    search.rebuild_locks.finish(first)
    with pytest.raises(RebuildInProgress):
        search.rebuild_locks.acquire("Node")
    search.rebuild_locks.finish(second)
    third = search.rebuild_locks.acquire("Node")
    assert (third.index, third.checkpoint, third.documents) == ("", None, 0)
    search.rebuild_locks.finish(third)


def test_text_keys_are_positions_too(search):
    build = search.rebuild_locks.acquire("Keeper")
    search.rebuild_locks.start(build, "keepers-000001")
    search.rebuild_locks.checkpoint(build, "017", 1)
    search.rebuild_locks.release(build)
    build = search.rebuild_locks.acquire("Keeper")
    assert build.checkpoint == "017"
    search.rebuild_locks.finish(build)


def test_what_was_read_long_ago_is_read_again(search, tags):
    """A delete that the server has forgotten by then must not be undone."""
    name = search.mirrors.next_name(tags)
    search.mirrors.create(tags, name)
    (rows,) = tags.reader.scan(100)
    from pyramid_sqlalchemy import metadata

    with metadata.bind.begin() as connection:
        connection.execute("DELETE FROM zoo_tags WHERE id <= 10")
    long_ago = time.monotonic() - backfill.FRESH_SECONDS - 1
    fill = backfill.Backfill(tags, write_alias(name), 0, 100)
    fill._send(backfill.Chunk(long_ago, rows))
    documents = search.backend.multi_get(name, [str(number) for number in range(1, 101)])
    assert [each for each, document in documents.items() if document is None] == [
        str(number) for number in range(1, 11)
    ]
    search.backend.delete_index(name)


# At start


def start(app, **settings):
    """Another start of the application of the fixture."""
    inherited = search_of(app).registry.settings
    names = ("sqlalchemy.url", "nefertari_search.backend", "elasticsearch.hosts")
    database, backend, hosts = (inherited[name] for name in names)
    url = backend if backend.startswith("embedded") else f"http://{hosts}"
    prefix = inherited["elasticsearch.index_name"]
    return zoo(database, url, settings.pop("prefix", prefix), **settings)


def test_schema_validate_stops_the_application_that_lacks_an_index(app, search, tags):
    prefix = f"test-{uuid.uuid4().hex[:12]}"
    with pytest.raises(ConfigurationError) as raised:
        start(app, prefix=prefix, **{"nefertari_search.schema": "validate"})
    message = str(raised.value)
    assert "\n" not in message
    assert "nefertari_search.schema = validate" in message
    assert "the search index of Tag is not built" in message
    assert "nefertari-search rebuild" in message
    # Nothing was made, of empty tables neither.
    assert search.backend.indices(f"{prefix}*") == {}


def test_schema_validate_stops_the_application_that_has_another_schema(app, search, tags):
    meta = {**tags.mapping["_meta"], "fingerprint": "of another release"}
    search.backend.put_mapping(tags.alias, {"properties": {}, "_meta": meta})
    try:
        with pytest.raises(ConfigurationError, match="index of Tag is of another schema"):
            start(app, **{"nefertari_search.schema": "validate"})
    finally:
        search.backend.put_mapping(tags.alias, {"properties": {}, "_meta": tags.mapping["_meta"]})
    again = search_of(start(app, **{"nefertari_search.schema": "validate"}))
    assert again.mirrors.get("Tag").check()


def test_schema_none_does_not_look(app, caplog):
    prefix = f"test-{uuid.uuid4().hex[:12]}"
    search = search_of(start(app, prefix=prefix, **{"nefertari_search.schema": "none"}))
    assert search.backend.indices(f"{prefix}*") == {}
    assert "nefertari-search rebuild" not in caplog.text


@pytest.mark.parametrize("schema", ["validate", "none"])
def test_a_server_that_is_down_stops_no_application(app, caplog, schema):
    """Without a check of the schema, too, it can't be asked whose the indices are."""
    settings = {
        "nefertari_search.backend": "elasticsearch",
        "elasticsearch.hosts": f"127.0.0.1:{free_port()}",
        "nefertari_search.schema": schema,
    }
    start(app, **settings)
    assert "the indices could not be checked" in caplog.text


@pytest.mark.thorough
def test_commands_build_what_an_application_waits_for(tmp_path):
    database = f"sqlite:///{tmp_path}/flights.sqlite"
    flights = Flights(tmp_path, database, f"embedded:{tmp_path}/search", 50)
    flights.variables["schema"] = "validate"
    assert flights.run("status").returncode == 1
    assert flights.run("rebuild").returncode == 0
    assert flights.run("verify").returncode == 0


# The documentation


def documented():
    """The console sessions of docs/operations.rst: (command, lines of output)."""
    sessions: list[tuple[str, list[str]]] = []
    for block in re.findall(r"code-block:: console\n\n((?:   .*\n|\n)+)", OPERATIONS.read_text()):
        for line in block.splitlines():
            if line.startswith("   $ "):
                sessions.append((line[5:], []))
            elif line.strip():
                sessions[-1][1].append(line[3:])
    return sessions


@pytest.mark.thorough
def test_the_documented_commands_print_what_is_documented(tmp_path):
    path = tmp_path / "flights.sqlite"
    flights = Flights(tmp_path, f"sqlite:///{path}", f"embedded:{tmp_path}/search", 100)
    commands = set()
    for command, expected in documented():
        program, *arguments = shlex.split(command)
        if program == "sqlite3":
            with sqlite3.connect(path) as connection:
                connection.execute(arguments[1])
            continue
        assert program == "nefertari-search"
        if arguments[0] in ("adopt", "new-identity") or arguments[1] == "staging.ini":
            # Copies of databases, with identities of their own: test_identity.py.
            continue
        assert arguments[1] == "production.ini"
        done = flights.run(arguments[0], *arguments[2:])
        # An example may leave out what a command prints.
        assert not expected or done.stdout.splitlines() == expected, command
        commands.add(arguments[0])
    assert commands == {"explain", "rebuild", "verify", "repair"}
