"""Workers: several at once, killed, stopped, woken, cut off from their servers.

Every worker and every web process is a process of its own. The Elasticsearch is this module's:
it is killed and frozen here.
"""

from __future__ import annotations

import contextlib
import json
import select
import signal
import threading
import time
import urllib.request
import uuid

import psycopg2
import pytest

from tests.faults.test_faults import bring_back, fetch
from tests.servers.base import free_port, wait_until
from tests.support.processes import LEASE, PROGRAM, SOON, Place

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(own_elasticsearch):
    return own_elasticsearch


@pytest.fixture(autouse=True)
def _well(server):
    bring_back(server)


@pytest.fixture
def sqlite(tmp_path, server):
    return Place(tmp_path, f"sqlite:///{tmp_path / 'zoo.sqlite'}", server.url)


@pytest.fixture
def postgres(tmp_path, server, postgres_server):
    name = f"test_{uuid.uuid4().hex[:12]}"
    yield Place(tmp_path, postgres_server.create_database(name), server.url)
    postgres_server.drop_database(name)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.long)])
def deployment(request):
    return request.getfixturevalue(request.param)


@contextlib.contextmanager
def frozen(server):
    server.kill(signal.SIGSTOP)
    try:
        yield
    finally:
        server.kill(signal.SIGCONT)


def settled(deployment, seconds=SOON):
    return wait_until(lambda: deployment.waiting() == 0, seconds)


# Side by side


@pytest.mark.thorough
def test_two_workers_share_what_waits(deployment):
    with (
        deployment.worker("--poll-interval", "0.1") as one,
        deployment.worker("--poll-interval", "0.1") as other,
    ):
        deployment.add_keepers(5000)
        assert settled(deployment, 60)
        for worker in (one, other):
            worker.kill(signal.SIGTERM)
            assert worker.ended(SOON) == 0
        shares = [one.settled, other.settled]

    assert sum(shares) == 5000
    assert min(shares) >= 100
    # The documents are what the database has, as a reader sees them.
    with deployment.web() as web:
        url = f"{web.url}/keepers?_limit=6000&_sort=code"
        assert wait_until(lambda: fetch(url)[1] == "mirror", SOON)
        mirror = json.loads(fetch(url)[2])
        assert len(mirror["data"]) == 5000
        assert mirror == json.loads(fetch(f"{url}&_search=false")[2])


@pytest.mark.thorough
def test_models_take_turns(sqlite):
    """A model with much to do does not hold up one with little."""
    backlog = None
    with sqlite.worker("--poll-interval", "0.1") as worker:
        sqlite.add_keepers(3000)
        sqlite.sql("INSERT INTO zoo_tags (id, name) VALUES (1, 'late')")
        sqlite.record("Tag", 1)

        def tag_is_there():
            nonlocal backlog
            backlog = sqlite.waiting()
            return sqlite.document("tag", 1) is not None

        assert wait_until(tag_is_there, SOON, pause=0.01)
        assert worker.process.poll() is None
    assert backlog > 500


# Killed


def test_a_killed_workers_claim_is_taken_over_when_its_lease_is_over(deployment, server):
    deployment.add_keepers(50)
    with frozen(server), deployment.worker() as worker:
        # It hangs in the bulk, with its claim in hand.
        assert wait_until(lambda: deployment.claimed() == 50, SOON)
        killed = time.monotonic()
        worker.kill()
        worker.ended(SOON)
    assert deployment.claimed() == 50
    assert deployment.documents("keeper") == {}

    with deployment.worker():
        assert settled(deployment)
        assert time.monotonic() - killed > LEASE / 2
    assert len(deployment.documents("keeper")) == 50


@pytest.mark.thorough
def test_what_a_killed_web_process_left_is_taken_over_by_another(deployment, server):
    """Inline: killed between commit and indexing. Nobody asks the other one for anything then."""
    with deployment.web(sync="inline") as other, deployment.web(sync="inline") as victim:
        assert fetch(f"{other.url}/keepers")[0] == 200
        with frozen(server):
            write = threading.Thread(
                target=fetch, args=(f"{victim.url}/keepers", {"code": "k", "name": "Ann"})
            )
            write.start()
            assert wait_until(lambda: deployment.claimed() == 1, SOON, pause=0.01)
            # Committed, and in the bulk: the write has not been answered.
            assert write.is_alive()
            victim_process(victim).kill()
            victim_process(victim).wait()
            write.join(SOON)
        assert deployment.document("keeper", "k") is None
        assert deployment.sql("SELECT name FROM zoo_keepers") == [("Ann",)]

        assert wait_until(lambda: deployment.document("keeper", "k") is not None, SOON)
        assert settled(deployment)
        assert fetch(f"{other.url}/keepers")[1] == "mirror"


def victim_process(web):
    return web._process


# Stopped


def test_a_worker_that_is_asked_to_stop_finishes_its_claim(deployment):
    with deployment.worker("--poll-interval", "0.1") as worker:
        deployment.add_keepers(5000)
        assert wait_until(lambda: deployment.claimed() > 0, SOON, pause=0.01)
        worker.kill(signal.SIGTERM)
        assert worker.ended(SOON) == 0
        done = worker.settled
    assert deployment.claimed() == 0
    assert 0 < done < 5000
    assert deployment.waiting() == 5000 - done
    assert len(deployment.documents("keeper")) == done


@pytest.mark.thorough
def test_a_worker_in_the_middle_of_a_bulk_stops_within_its_lease(sqlite, server):
    sqlite.add_keepers(50)
    with frozen(server), sqlite.worker() as worker:
        assert wait_until(lambda: sqlite.claimed() == 50, SOON)
        worker.kill(signal.SIGTERM)
        assert worker.ended(LEASE + SOON) == 0
        # Given back, not left to the lease.
        assert (sqlite.waiting(), sqlite.claimed()) == (50, 0)
    assert sqlite.run("drain").returncode == 0
    assert len(sqlite.documents("keeper")) == 50


@pytest.mark.thorough
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_worker_stops_at_once(deployment, number):
    with deployment.worker("--poll-interval", "600", "--report-interval", "600") as worker:
        time.sleep(1)
        worker.kill(number)
        assert worker.ended(SOON) == 0
        assert worker.log == ""


# Without a server


@pytest.mark.thorough
def test_a_worker_goes_on_when_the_search_server_is_back(sqlite, server):
    with sqlite.worker() as worker:
        server.kill()
        sqlite.add_keepers(150)
        assert wait_until(lambda: worker.lines[-1]["errors"] >= 3, SOON)
        assert sqlite.waiting() == 150
        assert wait_until(lambda: sqlite.claimed() == 0, SOON)

        server.start()
        assert settled(sqlite)
        assert worker.lines[-1]["errors"] < 30
        assert len(worker.warnings) == 2, worker.warnings
        first, last = worker.warnings
    assert "pending changes will be retried" in first
    assert "works again" in last
    assert len(sqlite.documents("keeper")) == 150


@pytest.mark.thorough
def test_a_worker_stops_at_once_while_it_waits_for_the_server(sqlite, server):
    with sqlite.worker("--report-interval", "0.2") as worker:
        server.kill()
        sqlite.add_keepers(1)
        # By then it waits for up to 10 s.
        assert wait_until(lambda: worker.lines[-1]["errors"] >= 5, 60)
        worker.kill(signal.SIGTERM)
        begun = time.monotonic()
        assert worker.ended(SOON) == 0
        assert time.monotonic() - begun < 4


@pytest.mark.thorough
def test_a_worker_goes_on_when_its_database_connections_were_cut(postgres):
    with postgres.worker("--poll-interval", "60") as worker, postgres.web() as web:
        assert fetch(f"{web.url}/keepers", {"code": "a", "name": "Ann"})[0] == 201
        assert settled(postgres)
        cut = postgres.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        assert len(cut) >= 2
        # It listens again, or it would look in a minute only.
        assert wait_until(lambda: listeners(postgres) == 1, SOON)
        wait_until(lambda: fetch(f"{web.url}/keepers", {"code": "b"})[0] == 201, SOON)
        assert settled(postgres, 20)
        assert worker.process.poll() is None
    assert set(postgres.documents("keeper")) == {"a", "b"}


@pytest.mark.thorough
def test_a_worker_goes_on_when_the_database_is_back(tmp_path, server):
    from tests.servers import PostgresServer

    with PostgresServer() as database:
        deployment = Place(tmp_path, database.create_database("zoo"), server.url)
        with deployment.worker() as worker:
            database.restart()
            deployment.add_keepers(10)
            assert settled(deployment)
            database.kill(signal.SIGKILL)
            assert wait_until(lambda: worker.lines[-1]["pending"] is None, SOON)
            assert wait_until(lambda: worker.lines[-1]["errors"] >= 3, SOON)
            database.start()
            deployment.add_keepers(10, first=10)
            assert settled(deployment)
            assert worker.process.poll() is None
            assert "Traceback" not in worker.log
        assert len(deployment.documents("keeper")) == 20


# Woken


def listeners(deployment):
    return deployment.sql(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND query LIKE 'LISTEN%%'"
    )[0][0]


def test_a_commit_wakes_an_idle_worker(postgres):
    with postgres.worker("--poll-interval", "600") as worker, postgres.web() as web:
        assert wait_until(lambda: listeners(postgres) == 1, SOON)
        assert fetch(f"{web.url}/keepers", {"code": "k", "name": "Ann"})[0] == 201
        assert wait_until(lambda: postgres.document("keeper", "k") is not None, 20)

        # It was the commit that woke it: rows that nobody tells of wait.
        postgres.sql("UPDATE zoo_keepers SET name = 'Bob'")
        postgres.record("Keeper", "k")
        time.sleep(3)
        assert postgres.waiting() == 1
        postgres.sql("NOTIFY nefertari_search")
        assert wait_until(lambda: postgres.document("keeper", "k")["name"] == "Bob", 20)
        assert worker.process.poll() is None


@pytest.mark.thorough
def test_a_transaction_tells_once_and_only_workers(postgres):
    ears = psycopg2.connect(postgres.variables["database"])
    ears.autocommit = True
    ears.cursor().execute("LISTEN nefertari_search")

    def notification_count():
        while select.select([ears], [], [], 1)[0]:
            ears.poll()
        count, ears.notifies[:] = len(ears.notifies), []
        return count

    with contextlib.closing(ears):
        with postgres.web() as web:
            for code in "ab":
                assert fetch(f"{web.url}/keepers", {"code": code})[0] == 201
            assert notification_count() == 2
            # Rolled back: the key is there already.
            assert fetch(f"{web.url}/keepers", {"code": "a"})[0] == 409
            assert notification_count() == 0
            assert fetch(f"{web.url}/keepers?q=*", method="GET")[0] in (200, 503)
            assert notification_count() == 0
        with postgres.web(sync="inline") as web:
            assert fetch(f"{web.url}/keepers", {"code": "c"})[0] == 201
            assert notification_count() == 0


# Reading one's writes


def test_reads_are_the_databases_until_the_worker_has_caught_up(deployment):
    with deployment.web() as web:
        assert fetch(f"{web.url}/keepers")[1] == "mirror"
        assert fetch(f"{web.url}/keepers", {"code": "k", "name": "Ann"})[0] == 201
        for _ in range(3):
            status, engine, body = fetch(f"{web.url}/keepers")
            assert (status, engine) == (200, "primary; reason=stale")
            assert [each["name"] for each in json.loads(body)["data"]] == ["Ann"]
        assert fetch(f"{web.url}/tags")[1] == "mirror"
        assert fetch(f"{web.url}/keepers?q=ann")[0] == 503
        # No web process does the work, however long it waits.
        time.sleep(LEASE + 1)
        assert deployment.waiting() == 1

        with deployment.worker():
            assert wait_until(lambda: fetch(f"{web.url}/keepers")[1] == "mirror", SOON)
        for path in ("keepers", "keepers?q=ann"):
            status, engine, body = fetch(f"{web.url}/{path}")
            assert (status, engine) == (200, "mirror")
            assert [each["name"] for each in json.loads(body)["data"]] == ["Ann"]


# Once


def test_sync_drains_and_ends(deployment):
    deployment.add_keepers(250)
    done = deployment.run("drain", "--json")

    assert json.loads(done.stdout) == {"indexed": 250, "remaining": {}, "dead_letters": {}}
    assert (done.returncode, deployment.waiting()) == (0, 0)
    assert len(deployment.documents("keeper")) == 250
    assert deployment.run("drain").stdout == "0 documents indexed\n"


def test_sync_waits_for_what_a_dead_process_has_claimed(sqlite):
    sqlite.add_keepers(3)
    late = int((time.time() + 2) * 1000)
    sqlite.sql(
        f"UPDATE nefertari_search_outbox SET claim_token = 'dead', lease_expires_at = {late}"
    )

    assert sqlite.run("drain").returncode == 0
    assert len(sqlite.documents("keeper")) == 3


def test_sync_tells_of_rows_that_it_can_not_settle(sqlite):
    sqlite.record("Gone", "1")
    done = sqlite.run("drain")

    assert done.returncode == 1
    assert "Gone: 1 rows still pending" in done.stdout.splitlines()


@pytest.mark.parametrize("what", ["elasticsearch_hosts", "database"])
def test_sync_ends_with_one_line_when_a_server_does_not_answer(sqlite, what):
    sqlite.add_keepers(1)
    nowhere = f"127.0.0.1:{free_port()}"
    value = f"postgresql://postgres@{nowhere}/zoo" if what == "database" else nowhere
    done = sqlite.run("drain", **{what: value})

    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("Error: ")
    assert sqlite.claimed() == 0


# Told


def scraped(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))


def test_metrics_are_served(sqlite, server):
    port = free_port()
    with sqlite.worker("--metrics-port", str(port)) as worker:
        sqlite.add_keepers(250)
        assert settled(sqlite)
        assert wait_until(lambda: worker.settled == 250, SOON)
        metrics = scraped(port)
        assert float(metrics['nefertari_search_documents_indexed_total{model="Keeper"}']) == 250
        assert float(metrics['nefertari_search_documents_indexed_total{model="Tag"}']) == 0
        assert float(metrics['nefertari_search_outbox_pending{model="Keeper"}']) == 0
        assert float(metrics['nefertari_search_dead_letters{model="Keeper"}']) == 0
        assert float(metrics["nefertari_search_claims_total"]) == worker.lines[-1]["claims"] >= 3
        assert float(metrics["nefertari_search_errors_total"]) == 0

        server.kill()
        sqlite.add_keepers(7, first=1000)
        sqlite.sql("UPDATE nefertari_search_outbox SET recorded_at = recorded_at - 90000")
        assert wait_until(lambda: float(scraped(port)["nefertari_search_errors_total"]) > 0, SOON)
        metrics = scraped(port)
        assert float(metrics['nefertari_search_outbox_pending{model="Keeper"}']) == 7
        assert 90 < float(metrics['nefertari_search_outbox_lag_seconds{model="Keeper"}']) < 300


@pytest.mark.thorough
def test_metrics_on_a_port_that_is_taken(sqlite, server):
    done = sqlite.run("worker", "--metrics-port", str(server.port))

    assert done.returncode == 2
    assert str(server.port) in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


@pytest.mark.thorough
def test_metrics_without_their_package(sqlite):
    code = (
        "import sys; sys.modules['prometheus_client'] = None\n"
        "from nefertari_search_tween.scripts.main import main; main()"
    )
    program = ["-W", "ignore", "-c", code]
    done = sqlite.run("worker", "--metrics-port", str(free_port()), program=program)

    assert done.returncode == 2
    assert "pip install 'nefertari-search-tween[metrics]'" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


@pytest.mark.thorough
def test_status_tells_what_waits(sqlite):
    sqlite.add_keepers(3)
    row = json.loads(sqlite.run("status", "--json", "--models", "Keeper").stdout)["Keeper"]
    assert (row["pending"], row["dead_letters"], row["documents"]) == (3, 0, 0)
    assert 0 <= row["lag_seconds"] < 60
    assert sqlite.run("drain").returncode == 0

    # Something waits, and is not late: all is well.
    sqlite.record("Keeper", "k00001")
    assert sqlite.run("status").returncode == 0
    sqlite.sql("UPDATE nefertari_search_outbox SET recorded_at = recorded_at - 61000")
    late = sqlite.run("status", "--json")
    assert late.returncode == 1
    assert json.loads(late.stdout)["Keeper"]["lag_seconds"] > 60
    assert json.loads(late.stdout)["Keeper"]["state"] == "ready"


@pytest.mark.thorough
def test_a_worker_tells_in_plain_lines_too(sqlite):
    import subprocess
    import sys

    process = subprocess.Popen(
        [sys.executable, *PROGRAM, *sqlite.words("worker")],
        stdout=subprocess.PIPE,
        text=True,
        env=sqlite.environment,
    )
    try:
        line = process.stdout.readline()
        assert line.startswith("0 rows pending, lag 0.0 s; 0 documents indexed")
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(SOON) == 0
        process.stdout.close()
