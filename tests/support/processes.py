"""The zoo application as its users run it: web processes and workers, each a process of its own.

Tests look at the database and at the search server without the package.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path

from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from tests.apps.wsgi import LOGGING
from tests.servers import Pserve
from tests.servers.base import wait_until
from tests.support.forked import run_python
from tests.support.paths import TOP

# Of a claim, in the processes of these tests.
LEASE = 4.0
# What anything may take that happens soon, on a machine that is busy.
SOON = 30
PROGRAM = ["-W", "ignore", "-m", "nefertari_search_tween.scripts.main"]

INI = """
[DEFAULT]
http_port = 6543
database = unset
elasticsearch_hosts = unset
index_name = unset
sync = worker
settings_file =
cache =

[app:main]
use = call:tests.support.processes:main
pyramid.includes = nefertari_search_tween
nefertari.engine = nefertari_sqla
auth = false
get sqlalchemy.url = database
get elasticsearch.hosts = elasticsearch_hosts
get elasticsearch.index_name = index_name
get elasticsearch.index.settings_file = settings_file
elasticsearch.chunk_size = 100
get nefertari_search.sync = sync
get nefertari_search.cache = cache
nefertari_search.trusted_hooks = tests.apps.zoo_models.Custom.to_dict

[server:main]
use = egg:waitress#main
host = 127.0.0.1
get port = http_port
"""
INI += LOGGING


def main(global_config, **settings):
    """The zoo, with claims that end sooner."""
    from nefertari_search_tween.primary import outbox_base
    from tests.apps import every_field

    outbox_base.LEASE_SECONDS = LEASE
    return every_field.main(global_config, **settings)


class Place:
    """One database and one name of indices; makes the processes that work on them.

    :param server: URL of the Elasticsearch.
    """

    def __init__(self, folder, database, server, **variables):
        self.ini = folder / "zoo.ini"
        self.ini.write_text(INI)
        self.server = server
        self.prefix = f"test-{uuid.uuid4().hex[:12]}"
        self.variables = {
            "database": database,
            "elasticsearch_hosts": server.partition("://")[2],
            "index_name": self.prefix,
            **variables,
        }
        self.engine = create_engine(database, poolclass=NullPool)
        self.environment = {**os.environ, "PYTHONPATH": str(TOP), "PYTHONWARNINGS": "ignore"}
        # Makes the tables, and the indices of empty ones.
        assert self.run("status").returncode == 0

    def words(self, command, *arguments, **more):
        variables = [f"{key}={value}" for key, value in {**self.variables, **more}.items()]
        return [*command.split(), str(self.ini), *variables, *arguments]

    def run(self, command, *arguments, program=PROGRAM, **more):
        """Run a command to its end."""
        words = self.words(command, *arguments, **more)
        return run_python(*program, *words, env=self.environment)

    def worker(self, *arguments, **more):
        return Worker(self, arguments, more)

    def web(self, **more):
        return Pserve(self.ini, variables={**self.variables, **more}, env=self.environment)

    # The database

    def sql(self, statement, *values):
        """Run a statement; rows of a query."""
        with self.engine.begin() as connection:
            done = connection.execute(statement, *values)
            return done.fetchall() if done.returns_rows else []

    def waiting(self):
        return self.sql("SELECT count(*) FROM nefertari_search_outbox")[0][0]

    def claimed(self):
        query = "SELECT count(*) FROM nefertari_search_outbox WHERE claim_token IS NOT NULL"
        return self.sql(query)[0][0]

    def add_keepers(self, count, first=0):
        """What a process leaves that is killed after its commit: objects, and their rows."""
        mark = "%s" if self.engine.dialect.name == "postgresql" else "?"
        with self.engine.begin() as connection:
            names = [(f"k{number:05}", f"Ann {number}") for number in range(first, first + count)]
            connection.execute(
                f"INSERT INTO zoo_keepers (code, name) VALUES ({mark}, {mark})", names
            )
            self.record_in(connection, "Keeper", [code for code, _ in names])

    def record(self, model, *keys):
        """Rows of the outbox without a word to anybody."""
        with self.engine.begin() as connection:
            self.record_in(connection, model, keys)

    def record_in(self, connection, model, keys):
        """The same, in a transaction of the caller."""
        mark = "%s" if self.engine.dialect.name == "postgresql" else "?"
        now = int(time.time() * 1000)
        connection.execute(
            "INSERT INTO nefertari_search_outbox (model, pk, fan_out, recorded_at) "
            f"VALUES ({mark}, {mark}, 0, {mark})",
            [(model, str(key), now) for key in keys],
        )

    # The search server

    def ask(self, method, path, body=None):
        """The JSON that the search server answers; None: not there."""
        request = urllib.request.Request(
            f"{self.server}/{self.prefix}-{path}",
            data=None if body is None else json.dumps(body).encode(),
            method=method,
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise

    def document(self, model, key):
        """The source of a document, None when there is none."""
        response = self.ask("GET", f"{model}/_doc/{key}")
        return response["_source"] if response is not None else None

    def documents(self, model):
        """All sources by key."""
        self.ask("POST", f"{model}/_refresh")
        response = self.ask("POST", f"{model}/_search", {"size": 10_000})
        return {hit["_source"]["_pk"]: hit["_source"] for hit in response["hits"]["hits"]}


class Worker:
    """``nefertari-search worker``, from when it works."""

    def __init__(self, deployment, arguments, more):
        self._out = Path(tempfile.mkstemp(prefix="worker-", suffix=".out")[1])
        self._err = self._out.with_suffix(".err")
        words = ["--json", "--report-interval", "0.2", *arguments]
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, *PROGRAM, *deployment.words("worker", *words, **more)],
                stdout=out,
                stderr=err,
                env=deployment.environment,
                start_new_session=True,
            )

    def __enter__(self):
        following = wait_until(lambda: self.lines or self.process.poll() is not None, 60, 0.05)
        if not (following and self.lines):
            message = self.log
            self.__exit__()
            raise AssertionError(f"the worker did not follow: {message}")
        return self

    def __exit__(self, *_exc):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.process.wait()
        self._out.unlink()
        self._err.unlink()

    def kill(self, number=signal.SIGKILL):
        self.process.send_signal(number)

    def ended(self, seconds):
        """The exit code."""
        return self.process.wait(seconds)

    @property
    def lines(self):
        """What it has told so far."""
        return [json.loads(line) for line in self._out.read_text().splitlines(True) if "\n" in line]

    @property
    def settled(self):
        return self.lines[-1]["indexed"]

    @property
    def log(self):
        return self._err.read_text()

    @property
    def warnings(self):
        return [line for line in self.log.splitlines() if line.startswith(("WARNING", "ERROR"))]
