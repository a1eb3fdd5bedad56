"""The helper that gives the other tests their servers, against those servers."""

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import psycopg2
import pytest

from tests.servers import ElasticsearchServer, PostgresServer, ServerFailed, ServerMissing
from tests.servers.base import alive
from tests.support.paths import TOP

pytestmark = [pytest.mark.server, pytest.mark.long]


def call(method, url, body=None):
    request = urllib.request.Request(
        url,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


@pytest.fixture(scope="module")
def own_server(tmp_path_factory):
    # The session's server must not be killed under other tests.
    with ElasticsearchServer(tmp_path_factory.mktemp("state")) as server:
        yield server


@pytest.fixture
def server(own_server):
    own_server.start()  # does nothing unless the test before left it dead
    return own_server


def test_kill_and_restart_keep_port_and_data(server):
    call("PUT", f"{server.url}/kept/_doc/1?refresh=true", {"title": "Vertigo"})
    url, killed = server.url, server.pid

    server.kill(signal.SIGKILL)

    assert not server.running
    assert not alive(killed)
    with pytest.raises(urllib.error.URLError, match="refused"):
        call("GET", f"{url}/_cluster/health")

    assert server.restart() == url
    assert server.pid != killed
    assert call("GET", f"{url}/kept/_doc/1")["_source"] == {"title": "Vertigo"}


def test_a_frozen_server_does_not_answer_and_thaws(server):
    server.kill(signal.SIGSTOP)
    try:
        with pytest.raises(OSError):  # noqa: PT011 (a time-out is TimeoutError or URLError)
            urllib.request.urlopen(f"{server.url}/_cluster/health", timeout=0.5)
    finally:
        server.kill(signal.SIGCONT)
    assert call("GET", f"{server.url}/_cluster/health")["status"] in ("green", "yellow")


def test_the_state_directory_names_the_process(server):
    assert (server.state_dir / "elasticsearch.pid").read_text() == f"{server.pid}\n"
    attached = ElasticsearchServer.attach(server.state_dir)
    assert (attached.url, attached.pid) == (server.url, server.pid)


def test_stop_ends_the_process_and_removes_its_files(server):
    # Last of the module: it ends the module's server, which is what fixtures do too.
    work, pid = server.work, server.pid
    server.stop()
    assert not alive(pid)
    assert not work.exists()
    assert list(server.state_dir.iterdir()) == []
    server.stop()
    with pytest.raises(ServerMissing, match="no elasticsearch was started"):
        ElasticsearchServer.attach(server.state_dir)


def test_a_failed_start_says_why_and_leaves_nothing(tmp_path):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        server = ElasticsearchServer(tmp_path, port=listener.getsockname()[1])
        with pytest.raises(ServerFailed, match=r"(?i)address already in use|failed to bind"):
            server.start()
    assert not server.running
    assert list(tmp_path.iterdir()) == []


def test_without_java_the_error_names_it(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.servers.elasticsearch._java_candidates", lambda: iter(()))
    with pytest.raises(ServerMissing, match="needs Java 17 or newer"):
        ElasticsearchServer(tmp_path).start()


def test_postgresql_survives_a_kill(tmp_path):
    with PostgresServer(tmp_path) as server:
        url = server.create_database("films")
        with psycopg2.connect(url) as connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE kept AS SELECT 'Vertigo' AS title")
        connection.close()

        server.kill(signal.SIGKILL)
        assert not server.running
        server.restart()

        with psycopg2.connect(url) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT title FROM kept")
            assert cursor.fetchall() == [("Vertigo",)]
        connection.close()
        work = server.work
    assert not work.exists()


def test_the_command_line_starts_and_stops(tmp_path):
    def run(*arguments):
        command = [sys.executable, "-m", "tests.servers", "postgresql", *arguments]
        return subprocess.run(
            [*command, "--state", str(tmp_path)], cwd=TOP, capture_output=True, text=True
        )

    began = time.monotonic()
    started = run("start")
    assert started.returncode == 0, started.stderr
    assert time.monotonic() - began < PostgresServer.start_seconds
    with psycopg2.connect(started.stdout.strip()) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    connection.close()

    assert run("stop").returncode == 0
    assert list(tmp_path.iterdir()) == []
    again = run("stop")
    assert again.returncode == 1
    assert "no postgresql was started" in again.stderr
