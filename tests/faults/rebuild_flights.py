"""Rebuilding the flights while they are changed and read, killed at half time.

``python -m tests.faults.rebuild_flights [--rows N] [--elasticsearch URL] [--postgresql]``

Exits with 1 when an update was lost, a read failed, or memory grew beyond its limit.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from itertools import islice
from pathlib import Path
from typing import Any

from tests.apps.large.load import INI, TOTAL, flights
from tests.servers import ElasticsearchServer, PostgresServer, Pserve
from tests.servers.base import wait_until
from tests.support.paths import TOP

# Changes a second, of all writers.
RATE = 50
WRITERS = 2
READ_PAUSE_SECONDS = 0.05
MEMORY_MB = 200
COMMAND = [sys.executable, "-m", "nefertari_search_tween.scripts.main"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(TOP), "PYTHONWARNINGS": "ignore"}


class Campaign:
    """One run, in a folder of its own.

    :param tell: is given each line of the report.
    """

    def __init__(self, folder: Path, rows: int, elasticsearch: str, database: str, tell) -> None:
        self.rows = rows
        self.tell = tell
        self.elasticsearch = elasticsearch
        self.database = database
        self.ini = folder / "flights.ini"
        self.ini.write_text(INI)
        self.variables = {
            "database": database,
            "elasticsearch_hosts": elasticsearch.partition("://")[2],
            "index_name": f"test-flights-{os.getpid()}",
            # With so many changes the work is a worker's, while a rebuild has the machine.
            "sync": "worker",
        }
        self.assignments = [f"{key}={value}" for key, value in self.variables.items()]

    # The application, in this process

    def prepare(self) -> Any:
        from pyramid.paster import bootstrap

        from tests.apps.large.load import load

        search = bootstrap(str(self.ini), options=self.variables)["registry"].nefertari_search
        load(self.database, self.rows)
        return search

    def clean_up(self, search: Any) -> None:
        for mirror in search.mirrors:
            for index in search.mirrors.indices_of(mirror):
                search.backend.delete_index(index)

    def rebuild_alone(self, search: Any) -> float:
        """Documents per second of a rebuild that nothing disturbs, without its pauses."""
        from nefertari_search_tween.indexing.rebuild.rebuild import rebuild

        moments = []

        def progress(mirror):
            return lambda count: moments.append(time.monotonic())

        mirror = search.mirrors.get("Flight")
        size = search.settings.chunk_size
        rebuild(search.mirrors, search.rebuild_locks, search.outbox, [mirror], size, progress)
        return self.rows / (moments[-1] - moments[0])

    def floor(self, search: Any) -> float:
        """Documents per second of rows as dicts, given to the client's own parallel_bulk."""
        from elasticsearch.helpers import parallel_bulk

        name = f"{self.variables['index_name']}-floor"
        mapping = search.mirrors.get("Flight").mapping
        search.backend.create_index(name, mapping, {"index.refresh_interval": "-1"}, [])
        rows = self.rows_of_sqlite()

        def actions():
            for row in rows.execute("SELECT * FROM flights"):
                yield {"_index": name, "_id": str(row["id"]), "_source": dict(row)}

        client = search.backend.client.options(request_timeout=60)
        began = time.monotonic()
        count = sum(1 for _ in parallel_bulk(client, actions(), chunk_size=1000))
        took = time.monotonic() - began
        search.backend.delete_index(name)
        return count / took

    def rows_of_sqlite(self) -> sqlite3.Connection:
        """The flights in SQLite, whatever database the application has them in."""
        if self.database.startswith("sqlite"):
            path = self.database.partition(":///")[2].partition("?")[0]
            rows = sqlite3.connect(path, check_same_thread=False)
        else:
            rows = sqlite3.connect(":memory:", check_same_thread=False)
            numbered = enumerate(islice(flights(), self.rows), 1)
            copies = ({"id": number, **row} for number, row in numbered)
            first = next(copies)
            rows.execute(f"CREATE TABLE flights ({', '.join(first)})")
            marks = ", ".join(f":{name}" for name in first)
            rows.executemany(f"INSERT INTO flights VALUES ({marks})", [first, *copies])
        rows.row_factory = sqlite3.Row
        return rows

    # The application, in others

    def begin(self, command: str, *arguments: str) -> subprocess.Popen:
        return subprocess.Popen(
            [*COMMAND, command, str(self.ini), *self.assignments, "--json", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
            cwd=TOP,
        )

    def done(self, search: Any) -> tuple[str, int]:
        """How far the rebuild is: its position, and how many documents that is."""
        from nefertari_search_tween.primary.sqla.outbox.tables import REBUILDS

        with search.rebuild_locks.engine.connect() as connection:
            row = connection.execute(REBUILDS.select()).fetchone()
        return (row.checkpoint, row.documents) if row is not None else ("", 0)

    def run(self) -> list[str]:
        """Gives what went wrong, a line each."""
        search = self.prepare()
        try:
            # The better of two, taken in turns: others may use the machine, too.
            measured = [(self.rebuild_alone(search), self.floor(search)) for _ in range(2)]
            alone, floor = map(max, zip(*measured))
            self.tell(
                f"{self.rows} flights, rebuilt at {alone:.0f} documents/s, "
                f"{alone / floor:.2f} of the floor ({floor:.0f})"
            )
            return self.disturbed(search)
        finally:
            self.clean_up(search)

    def writer(self, number: int) -> Any:
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.apps.large.write", self.ini, str(RATE / WRITERS)),
                *(*self.assignments, "--number", str(number)),
            ],
            stdout=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
            cwd=TOP,
        )

    def disturbed(self, search: Any) -> list[str]:
        problems = []
        writers = [self.writer(number) for number in range(WRITERS)]
        worker = self.begin("worker")
        try:
            for each in writers:
                each.stdout.readline()
            with (
                Pserve(self.ini, variables=self.variables, env=ENVIRONMENT) as application,
                Reader(application.url) as reader,
            ):
                first = self.begin("rebuild", "--models", "Flight")
                wait_until(lambda: self.done(search)[1] >= self.rows / 2, 600)
                first.send_signal(signal.SIGKILL)
                first.communicate()
                position, done = self.done(search)
                self.tell(f"killed at key {position}, {done} documents")
                refused = self.begin("rebuild", "--models", "Flight")
                _, errors = refused.communicate()
                self.tell(f"at once: exit code {refused.returncode}, {errors.strip()}")
                if refused.returncode != 2:
                    problems.append("a second rebuild was not refused")
                time.sleep(16)
                second = self.begin("rebuild", "--models", "Flight")
                memory = watched(second)
                output, errors = second.communicate()
                if second.returncode != 0:
                    return [f"the second rebuild failed: {errors}"]
                built = json.loads(output)["Flight"]
                self.tell(
                    f"resumed behind {built['resumed']} documents, indexed {built['indexed']}, "
                    f"peak memory {memory:.0f} MB"
                )
                if not 0 < built["resumed"] == done or built["indexed"] >= self.rows:
                    problems.append("it did not resume")
                if memory > MEMORY_MB:
                    problems.append(f"{memory:.0f} MB of memory")
            self.tell(f"{reader.answers} reads by the mirror, {len(reader.failed)} failed")
            problems += [f"a read failed: {each}" for each in reader.failed[:5]]
        finally:
            for each in writers:
                each.terminate()
            counts = [json.loads(each.communicate()[0].splitlines()[-1]) for each in writers]
            worker.terminate()
            worker.communicate()
        total = {name: sum(each[name] for each in counts) for name in counts[0]}
        seconds = total.pop("seconds") / WRITERS
        rate = (sum(total.values()) - total["locked"]) / seconds
        self.tell(f"changes meanwhile: {total} in {seconds:.0f} s, {rate:.0f} a second")
        rest, _ = self.begin("drain").communicate()
        self.tell(f"indexed afterwards: {rest.strip()}")
        verify = self.begin("verify", "--models", "Flight")
        comparison = json.loads(verify.communicate()[0])["Flight"]
        kinds = ("missing", "stale", "orphaned", "rejected", "pending")
        result = ", ".join(f"{len(comparison[kind])} {kind}" for kind in kinds)
        self.tell(f"verify: {comparison['compared']} compared, {result}")
        if verify.returncode != 0:
            problems.append(f"verify: {result}")
        return problems


class Reader:
    """Asks the mirror over and over."""

    def __init__(self, url: str) -> None:
        self.urls = [
            f"{url}/flights?_search=true&carrier=UA&_limit=3",
            f"{url}/flights?_search=true&_limit=1&_sort=-distance",
        ]
        self.answers = 0
        self.failed: list[str] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._go_on)

    def __enter__(self) -> Reader:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _go_on(self) -> None:
        while not self._ended.is_set():
            for url in self.urls:
                self._ended.wait(READ_PAUSE_SECONDS)
                try:
                    with urllib.request.urlopen(url, timeout=30) as answer:
                        engine = answer.headers["X-Search-Engine"]
                        body = json.load(answer)
                except (OSError, urllib.error.HTTPError) as error:
                    self.failed.append(f"{error}")
                    continue
                if engine == "mirror" and body["count"] > 0:
                    self.answers += 1
                else:
                    self.failed.append(f"{engine}: {body['count']} of {body['total']}")


def watched(process: subprocess.Popen) -> float:
    """Wait for the end of *process*; gives the most memory that it had, in MB."""
    peak = 0
    status = Path(f"/proc/{process.pid}/status")
    while process.poll() is None:
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                peak = max(peak, int(line.split()[1]))
        time.sleep(0.05)
    return peak / 1024


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=TOTAL)
    parser.add_argument("--elasticsearch", default="")
    parser.add_argument("--postgresql", action="store_true")
    options = parser.parse_args()
    servers: list[Any] = []
    try:
        url = options.elasticsearch
        if not url:
            servers.append(ElasticsearchServer())
            servers[-1].start()
            url = servers[-1].url
        with tempfile.TemporaryDirectory() as folder:
            database = f"sqlite:///{folder}/flights.sqlite?timeout=60"
            if options.postgresql:
                servers.append(PostgresServer())
                servers[-1].start()
                database = servers[-1].create_database("flights")
            campaign = Campaign(Path(folder), options.rows, url, database, print)
            problems = campaign.run()
    finally:
        for server in servers:
            server.stop()
    for problem in problems:
        print(f"FAILED: {problem}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
