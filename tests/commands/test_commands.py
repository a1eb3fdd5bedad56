"""``nefertari-search`` on the example application, as a user runs it: in a process of its own.

The catalogue is loaded once; every test has index names of its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.faults.test_faults import Client, fetch
from tests.servers import Pserve
from tests.servers.base import free_port, wait_until
from tests.support.apps import INI, TOP, film_options
from tests.support.forked import run_python

pytestmark = pytest.mark.slow

MODELS = {"Country", "Film", "Genre", "Person"}
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": f"{TOP}{os.pathsep}{TOP / 'examples' / 'films'}",
    "PYTHONWARNINGS": "ignore",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the films in its database."""
    folder = tmp_path_factory.mktemp("commands")
    variables = film_options(folder, "http://127.0.0.1:1", "unused")
    done = python("-m", "films.load", str(INI), *assignments(variables))
    assert done.returncode == 0, done.stderr
    # As if another program had loaded them: nothing waits for an index.
    with contextlib.closing(sqlite3.connect(folder / "films.sqlite")) as connection, connection:
        connection.execute("DELETE FROM nefertari_search_outbox")
    return folder


def python(*arguments):
    return run_python(*arguments, env=ENVIRONMENT, timeout=300)


def assignments(variables):
    return [f"{key}={value}" for key, value in variables.items()]


class Commands:
    """Runs the command line with the variables of one test."""

    def __init__(self, variables):
        self.variables = variables

    def __call__(self, command, *arguments, **more):
        return python(*self._line(command, arguments, more))

    def begin(self, command, *arguments):
        """Start it, and go on."""
        return subprocess.Popen(
            [sys.executable, *self._line(command, arguments, {})],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=ENVIRONMENT,
            cwd=TOP,
        )

    def _line(self, command, arguments, more):
        variables = assignments({**self.variables, **more})
        program = ["-m", "nefertari_search_tween.scripts.main"]
        return [*program, command, str(INI), *variables, *arguments]


@pytest.fixture
def run(folder, elasticsearch_url, index_prefix):
    return Commands(film_options(folder, elasticsearch_url, index_prefix))


@pytest.fixture
def server(elasticsearch_url):
    """Asks the search server without the package: path, body -> JSON."""

    def ask(method, path, body=None):
        request = urllib.request.Request(
            f"{elasticsearch_url}/{path}",
            data=None if body is None else json.dumps(body).encode(),
            method=method,
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    return ask


def one_line(done, *parts):
    """The program failed, and said why in its last line."""
    assert done.returncode == 2
    assert "Traceback" not in done.stdout + done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("Error: ")
    for part in parts:
        assert part in last


# status


def test_status_tells_that_nothing_is_built(run):
    done = run("status", "--json")
    rows = json.loads(done.stdout)

    assert done.returncode == 1
    assert set(rows) == MODELS
    assert {row["state"] for row in rows.values()} == {"no-index"}
    assert {row["index"] for row in rows.values()} == {None}
    assert rows["Film"]["rows"] > 17000


def test_status_shows_each_mirror_in_a_table(run, index_prefix):
    run("rebuild", "--models", "Genre")
    done = run("status")
    lines = {line.split()[0]: line.split() for line in done.stdout.splitlines() if line.split()}

    assert done.returncode == 1
    assert " ".join(lines["model"]) == (
        "model index documents rows rejected pending lag s dead state"
    )
    _, index, documents, rows, rejected, pending, lag, dead, state = lines["Genre"]
    assert index == f"{index_prefix}-genre-000001"
    assert int(documents) == int(rows) > 10
    assert (rejected, state) == ("0", "ready")
    assert (pending, lag, dead) == ("0", "0.0", "0")
    assert lines["Film"][-1] == "no-index"
    assert run("status", "--models", "Genre").returncode == 0


def test_status_says_where_mirrors_live(run, elasticsearch_url):
    hosts = elasticsearch_url.partition("://")[2]
    assert run("status").stdout.startswith(f"search index: elasticsearch {hosts}\n")
    rows = json.loads(run("status", "--json").stdout)
    assert {row["backend"] for row in rows.values()} == {f"elasticsearch {hosts}"}


@pytest.mark.long
def test_moving_between_backends_is_a_setting_and_a_rebuild(
    folder, tmp_path, elasticsearch_url, opensearch_url, index_prefix
):
    """Same application, same database; only the variable `backend` (and the hosts) differ."""
    question = "films?q=godfather&_sort=year,id&_fields=id,title,year"
    answers = []
    for url in (
        f"embedded:{tmp_path}/search",
        elasticsearch_url,
        f"opensearch+{opensearch_url}",
        f"embedded:{tmp_path}/again",
    ):
        variables = film_options(folder, url, index_prefix)
        run = Commands(variables)
        before = json.loads(run("status", "--json").stdout)
        assert {row["state"] for row in before.values()} == {"no-index"}
        assert run("rebuild").returncode == 0
        status = run("status", "--json")
        assert status.returncode == 0
        for row in json.loads(status.stdout).values():
            assert row["state"] == "ready"
            assert row["backend"].startswith(variables["backend"].partition(":")[0])
        with Pserve(INI, variables=variables, env=ENVIRONMENT) as application:
            status, engine, body = fetch(f"{application.url}/{question}")
            assert (status, engine) == (200, "mirror")
            answers.append(json.loads(body))
            del answers[-1]["took"]
    assert len(answers[0]["data"]) == 5
    assert answers[0] == answers[1] == answers[2] == answers[3]


# rebuild and index


def test_rebuild_builds_what_is_named(run):
    done = run("rebuild", "--models", "Genre, Country")

    assert done.returncode == 0
    counts = {line.split(":")[0]: line for line in done.stdout.splitlines()}
    assert set(counts) == {"Genre", "Country"}
    assert counts["Genre"].endswith("documents indexed")
    rows = json.loads(run("status", "--json").stdout)
    assert {name for name, row in rows.items() if row["state"] == "ready"} == {"Genre", "Country"}


def test_rebuild_prints_one_json_object_for_machines(run):
    done = run("rebuild", "--models", "Genre", "--json")
    rows = json.loads(run("status", "--json", "--models", "Genre").stdout)

    assert done.returncode == 0
    indexed = rows["Genre"]["rows"]
    assert json.loads(done.stdout) == {"Genre": {"indexed": indexed, "rejected": 0, "resumed": 0}}


@pytest.mark.thorough
def test_a_second_rebuild_replaces_the_first(run, server, index_prefix):
    run("rebuild", "--models", "Genre")
    assert run("rebuild", "--models", "Genre").returncode == 0

    assert list(server("GET", f"{index_prefix}-*")) == [f"{index_prefix}-genre-000002"]


@pytest.mark.thorough
def test_index_builds_what_is_not_there_and_adds_what_is_missing(run, server, index_prefix):
    built = json.loads(run("index", "--models", "Genre", "--json").stdout)["Genre"]["indexed"]
    assert built > 10
    again = run("index", "--models", "Genre", "--json")
    assert (again.returncode, json.loads(again.stdout)) == (
        0,
        {"Genre": {"indexed": 0, "rejected": 0}},
    )

    server("DELETE", f"{index_prefix}-genre/_doc/5?refresh=true")
    status = run("status", "--models", "Genre", "--json")
    assert (status.returncode, json.loads(status.stdout)["Genre"]["state"]) == (1, "incomplete")

    done = run("index", "--models", "Genre", "--json")
    assert json.loads(done.stdout) == {"Genre": {"indexed": 1, "rejected": 0}}
    assert run("status", "--models", "Genre").returncode == 0
    assert server("GET", f"{index_prefix}-genre/_doc/5")["found"]


@pytest.mark.thorough
def test_what_a_broken_build_left_is_removed(run, server, index_prefix):
    run("rebuild", "--models", "Genre")
    server("PUT", f"{index_prefix}-genre-000007")
    server("PUT", f"{index_prefix}-genre-000007/_alias/{index_prefix}-genre-000007-WRITE")
    # Of others: not ours to remove.
    server("PUT", f"{index_prefix}-genre-old")

    assert run("rebuild", "--models", "Genre").returncode == 0

    remaining = set(server("GET", f"{index_prefix}-*"))
    assert f"{index_prefix}-genre-old" in remaining
    assert f"{index_prefix}-genre-000007" not in remaining
    assert len(remaining) == 2
    assert run("status", "--models", "Genre").returncode == 0


@pytest.fixture
def process(run):
    with Pserve(INI, variables=run.variables, env=ENVIRONMENT) as started:
        yield started


@pytest.mark.long
def test_searches_go_on_while_the_index_is_rebuilt(run, process, server, index_prefix):
    assert run("rebuild", "--models", "Film").returncode == 0
    assert wait_until(lambda: fetch(f"{process.url}/films")[1] == "mirror", 30)
    total = json.loads(fetch(f"{process.url}/films?_search=true&_limit=1")[2])["total"]
    urls = {
        "all": f"{process.url}/films?_search=true&_limit=1",
        "some": f"{process.url}/films?q=love&_limit=1",
        "transparent": f"{process.url}/films?_limit=1&_sort=id",
    }
    with (
        Client(urls["all"]) as all_client,
        Client(urls["some"]) as some,
        Client(urls["transparent"]) as transparent,
    ):
        assert run("rebuild", "--models", "Film").returncode == 0
        done = len(all_client.answers)
        assert wait_until(lambda: len(all_client.answers) > done + 20, 30)

    assert list(server("GET", f"{index_prefix}-film-*")) == [f"{index_prefix}-film-000002"]
    for client in (all_client, some, transparent):
        assert len(client.answers) > 20
        assert {status for status, _, _ in client.answers} == {200}
        totals = {json.loads(body)["total"] for _, _, body in client.answers}
        assert len(totals) == 1
    assert all_client.engines() == some.engines() == {"mirror"}
    assert json.loads(all_client.answers[0][2])["total"] == total > 17000


@pytest.mark.thorough
def test_what_is_written_while_the_index_is_rebuilt_is_in_the_new_one(run, process):
    assert run("rebuild", "--models", "Genre").returncode == 0
    assert wait_until(lambda: fetch(f"{process.url}/genres")[1] == "mirror", 30)
    rebuild = run.begin("rebuild", "--models", "Genre", "--json")
    written = []
    try:
        while rebuild.poll() is None:
            name = f"Written meanwhile {len(written)}"
            status, _, body = fetch(f"{process.url}/genres", {"name": name})
            if status == 201:
                written.append(json.loads(body))
            if len(written) % 3 == 2:
                deleted = written[-2]
                assert fetch(deleted["_self"], method="DELETE")[0] == 200
                deleted["deleted"] = True
        assert rebuild.returncode == 0
        assert len(written) > 3

        expected = {each["id"] for each in written if "deleted" not in each}
        url = f"{process.url}/genres?q=meanwhile&_limit=1000"
        ids = {each["id"] for each in json.loads(fetch(url)[2])["data"]}
        assert ids == expected
        assert run("status", "--models", "Genre").returncode == 0
    finally:
        rebuild.wait(60)
        for each in written:
            if "deleted" not in each:
                fetch(each["_self"], method="DELETE")


# mapping


def test_mapping_shows_what_the_models_give(run):
    done = run("mapping", "--models", "Genre", "--json")
    mapping = json.loads(done.stdout)["Genre"]

    assert done.returncode == 1
    assert mapping["difference"] == ["not built"]
    assert mapping["mapping"]["properties"]["name"]["type"] == "text"


def test_mapping_tells_where_an_index_differs(run, server, index_prefix):
    run("rebuild", "--models", "Genre")
    agreed = run("mapping", "--models", "Genre")
    assert agreed.returncode == 0
    assert "Genre: the index agrees" in agreed.stdout.splitlines()

    more = {"properties": {"extra": {"type": "keyword"}}}
    server("PUT", f"{index_prefix}-genre-000001/_mapping", more)
    differs = run("mapping", "--models", "Genre")
    assert differs.returncode == 1
    assert "Genre: - extra: keyword" in differs.stdout.splitlines()


# An index of another schema


def test_an_index_of_another_schema_is_not_read_until_it_is_rebuilt(
    run, server, index_prefix, process
):
    assert run("rebuild", "--models", "Genre").returncode == 0
    index = f"{index_prefix}-genre-000001"
    meta = {"_meta": {"model": "Genre", "format": 1, "fingerprint": "of another release"}}
    server("PUT", f"{index}/_mapping", meta)

    status = run("status", "--models", "Genre", "--json")
    assert (status.returncode, json.loads(status.stdout)["Genre"]["state"]) == (
        1,
        "schema-mismatch",
    )
    one_line(run("index", "--models", "Genre"), "schema", "rebuild")
    with Pserve(INI, variables=run.variables, env=ENVIRONMENT) as late:
        assert fetch(f"{late.url}/genres")[:2] == (200, "primary; reason=schema-mismatch")
        assert fetch(f"{late.url}/genres?q=drama")[0] == 503
        assert "of another schema" in late.log

        assert run("rebuild", "--models", "Genre").returncode == 0
        assert wait_until(lambda: fetch(f"{late.url}/genres")[1] == "mirror", 30)
    assert run("status", "--models", "Genre").returncode == 0


# Wrong usage, and faults


@pytest.mark.parametrize("command", ["index", "rebuild", "status", "mapping", "verify", "repair"])
def test_an_unknown_model_is_refused_with_the_known_ones(run, command):
    done = run(command, "--models", "Genre,Nobody")

    one_line(done, "Nobody", *MODELS)


@pytest.mark.parametrize("command", ["index", "rebuild", "status", "mapping", "verify", "repair"])
def test_a_server_that_does_not_answer_ends_the_program_with_one_line(run, command):
    done = run(command, elasticsearch_hosts=f"127.0.0.1:{free_port()}")

    one_line(done)
    assert done.stdout == ""
    assert "refused" in done.stderr.splitlines()[-1]


def test_a_word_that_is_no_variable_is_refused(run):
    done = run("status", "nonsense")

    one_line(done, "nonsense", "key=value")


def test_an_ini_file_that_is_not_there_is_refused(tmp_path):
    path = tmp_path / "none.ini"
    done = python("-m", "nefertari_search_tween.scripts.main", "status", str(path))

    one_line(done, str(path))


def test_an_ini_file_without_the_package_is_refused(tmp_path, run):
    text = INI.read_text().replace("pyramid.includes = nefertari_search_tween", "")
    path = tmp_path / "plain.ini"
    path.write_text(text)
    done = python(
        "-m",
        "nefertari_search_tween.scripts.main",
        "status",
        str(path),
        *assignments(run.variables),
    )

    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "pyramid.includes = nefertari_search_tween" in done.stderr.splitlines()[-1]


def test_a_bad_setting_is_refused(run):
    done = run("status", elasticsearch_hosts="nowhere")

    one_line(done, "elasticsearch.hosts", "nowhere")


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_names_the_commands(option):
    done = python("-m", "nefertari_search_tween.scripts.main", option)

    assert done.returncode == 0
    commands = (
        "index",
        "rebuild",
        "status",
        "mapping",
        "drain",
        "worker",
        "dead-letters",
        "verify",
        "repair",
    )
    for command in commands:
        assert f"\n  {command} " in done.stdout


def test_the_console_script_is_the_same_program():
    program = Path(sys.executable).parent / "nefertari-search"
    if not program.exists():
        pytest.skip("the package is not installed in this environment")
    done = subprocess.run([program, "--help"], capture_output=True, text=True, timeout=60)

    assert done.returncode == 0
    assert "rebuild" in done.stdout
