"""Writers, workers, rebuilds and faults at once; afterwards mirror and primary must be equal.

    python -m tests.faults.campaign postgresql|sqlite|mongodb [--seconds 60] [--writers 8]

Some writers index what they commit, others leave it to workers. Meanwhile writers and workers are
killed (SIGKILL) at random and started again, Elasticsearch is frozen (SIGSTOP) or killed for a
while three times, and all indices are rebuilt twice. At the end everything that waits is indexed
and ``nefertari-search verify`` must find nothing missing, stale or orphaned.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any, Optional

from tests.apps import every_field, every_field_mongo
from tests.servers import ElasticsearchServer, FerretdbServer, PostgresServer, Server
from tests.support.paths import TOP

MODULE = "nefertari_search_tween.scripts.main"
WORKERS = 2
OUTAGES = 3
REBUILDS = 2
# What may still be claimed by the dead is taken over after its lease.
DRAIN_SECONDS = 120


class Campaign:
    """One run.

    :param ini: text of the ini file.
    :param variables: of it.
    :param writer: the module that writes.
    """

    def __init__(
        self,
        folder: Path,
        ini: str,
        variables: dict[str, str],
        writer: str,
        server: ElasticsearchServer,
        seed: int,
        short_leases: bool,
    ) -> None:
        self.folder = folder
        self.ini = folder / "zoo.ini"
        # MongoDB's writers have intents, whose time is up with the lease: theirs stays.
        application = (
            "tests.support.processes:main" if short_leases else "tests.apps.every_field:main"
        )
        self.ini.write_text(ini.replace("call:tests.apps.every_field:main", f"call:{application}"))
        self.writer = writer
        self.variables = variables
        self.server = server
        self.dice = random.Random(seed)
        self.counts: Counter[str] = Counter()
        self.processes: dict[str, subprocess.Popen[str]] = {}
        self.over = threading.Event()
        self.log = (folder / "log").open("w")

    # Processes

    def command(self, module: str, *arguments: str, **more: str) -> list[str]:
        settings = [f"{key}={value}" for key, value in {**self.variables, **more}.items()]
        name, *options = arguments
        command = [sys.executable, "-W", "ignore", "-m", module, name, str(self.ini)]
        return [*command, *settings, *options]

    def popen(self, command: list[str], **options: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command,
            cwd=TOP,
            stderr=self.log,
            text=True,
            env={**os.environ, "PYTHONPATH": str(TOP)},
            **options,
        )

    def start_writer(self, name: str, sync: str) -> None:
        settings = [f"{key}={value}" for key, value in {**self.variables, "sync": sync}.items()]
        seed = str(self.dice.randrange(10**9))
        command = [sys.executable, "-W", "ignore", "-m", self.writer, str(self.ini), seed]
        process = self.popen([*command, *settings], stdout=subprocess.PIPE)
        self.processes[name] = process
        threading.Thread(target=self.count, args=(process,), daemon=True).start()

    def count(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.counts[line.strip()] += 1

    def start_worker(self, name: str) -> None:
        self.processes[name] = self.popen(self.command(MODULE, "worker"), stdout=subprocess.DEVNULL)

    def start(self, name: str) -> None:
        if name.startswith("worker"):
            self.start_worker(name)
        else:
            self.start_writer(name, "worker" if name.endswith("queued") else "inline")

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(MODULE, *arguments),
            cwd=TOP,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(TOP)},
        )

    # Faults

    def kill_at_random(self) -> None:
        while not self.over.wait(self.dice.uniform(0.5, 3)):
            name = self.dice.choice(sorted(self.processes))
            process = self.processes[name]
            ended = process.poll()
            if ended is not None:
                self.counts[f"ended by itself: {name} {ended}"] += 1
            process.kill()
            process.wait()
            self.counts["kills"] += 1
            if not self.over.is_set():
                self.start(name)

    def outage(self, seconds: float) -> None:
        if self.counts["outages"] % 2 == 0:
            self.server.kill(signal.SIGSTOP)
            time.sleep(seconds)
            self.server.kill(signal.SIGCONT)
        else:
            self.server.kill()
            time.sleep(seconds)
            self.server.start()
        self.counts["outages"] += 1

    def rebuild(self) -> None:
        done = self.run("rebuild")
        if done.returncode:
            self.log.write(f"rebuild: {done.stderr}\n")
            self.counts["rebuilds that failed"] += 1
        else:
            self.counts["rebuilds"] += 1

    # The whole

    def campaign(self, writers: int, seconds: float) -> bool:
        """Run it; True when the mirrors are equal to the primary in the end."""
        assert self.run("rebuild").returncode == 0
        for number in range(writers):
            self.start(f"writer {number} {'queued' if number % 2 else 'inline'}")
        for number in range(WORKERS):
            self.start(f"worker {number}")
        began = time.monotonic()
        killer = threading.Thread(target=self.kill_at_random, daemon=True)
        killer.start()
        for number in range(OUTAGES):
            self.wait(began + seconds * (number + 0.5) / OUTAGES)
            rebuilding = threading.Thread(target=self.rebuild)
            if number < REBUILDS:
                # Begun before the outage, and in the middle of it.
                rebuilding.start()
                time.sleep(1.5)
            self.outage(seconds / 6)
            if number < REBUILDS:
                rebuilding.join()
        while self.counts["rebuilds"] < REBUILDS:
            self.rebuild()
        self.wait(began + seconds)
        self.over.set()
        killer.join()
        for process in self.processes.values():
            process.kill()
            process.wait()
        return self.converged()

    @staticmethod
    def wait(until: float) -> None:
        time.sleep(max(0.0, until - time.monotonic()))

    def converged(self) -> bool:
        deadline = time.monotonic() + DRAIN_SECONDS
        while (drained := self.run("drain")).returncode:
            if time.monotonic() > deadline:
                print(f"the outbox is not empty: {drained.stdout}{drained.stderr}")
                return False
            time.sleep(1)
        verified = self.run("verify", "--json")
        results = json.loads(verified.stdout)
        counts: Counter[str] = Counter()
        for name, each in results.items():
            counts["compared"] += each["compared"]
            for kind in ("missing", "stale", "orphaned", "rejected", "pending", "changing"):
                counts[kind] += len(each[kind])
                if each[kind]:
                    print(f"{name}: {kind} {each[kind]}")
                    self.show(name, each[kind])
        print(f"verify: exit {verified.returncode}, {dict(counts)}")
        return verified.returncode == 0

    def show(self, name: str, keys: list[Any]) -> None:
        """Print what the server holds of *keys*: where, and in which version."""
        index = f"{self.variables['index_name']}-{name.lower()}"
        for key in keys:
            body = json.dumps({"version": True, "query": {"ids": {"values": [str(key)]}}}).encode()
            request = urllib.request.Request(
                f"{self.server.url}/{index}*/_search",
                data=body,
                headers={"Content-Type": "application/json"},
            )
            with urllib.request.urlopen(request, timeout=30) as answer:
                for hit in json.load(answer)["hits"]["hits"]:
                    print(f"  {hit['_index']} {hit['_id']}: version {hit['_version']}")

    def report(self) -> str:
        labels = {"c": "committed", "r": "rolled back", "x": "refused by the database"}
        counts = {labels.get(key, key): value for key, value in sorted(self.counts.items())}
        counts.pop("ready", None)
        return ", ".join(f"{value} {key}" for key, value in counts.items())


def run(kind: str, writers: int, seconds: float, seed: int, short_leases: bool) -> int:
    folder = Path(tempfile.mkdtemp(prefix="campaign-"))
    database: Optional[Server] = None
    server = ElasticsearchServer()
    try:
        server.start()
        variables = {
            "elasticsearch_hosts": server.url.partition("://")[2],
            "index_name": "campaign",
        }
        ini, writer = every_field.INI, "tests.faults.writer"
        if kind == "postgresql":
            database = postgresql = PostgresServer()
            database.start()
            variables["database"] = postgresql.create_database("campaign")
        elif kind == "mongodb":
            database = FerretdbServer()
            database.start()
            ini, writer = every_field_mongo.INI, "tests.faults.mongo_writer"
            variables.update(mongodb_port=str(database.port), mongodb_db="campaign")
        else:
            variables["database"] = f"sqlite:///{folder}/zoo.sqlite"
        campaign = Campaign(folder, ini, variables, writer, server, seed, short_leases)
        equal = campaign.campaign(writers, seconds)
        print(f"{kind}, {writers} writers, {seconds:g} s: {campaign.report()}")
        if not equal:
            print(f"NOT EQUAL; the processes' log is {folder}/log")
        return 0 if equal else 1
    finally:
        server.stop()
        if database is not None:
            database.stop()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("primary", choices=["postgresql", "sqlite", "mongodb"])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--writers", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--short-leases",
        action="store_true",
        help="what the dead have claimed is taken over after seconds",
    )
    options = parser.parse_args()
    return run(
        options.primary, options.writers, options.seconds, options.seed, options.short_leases
    )


if __name__ == "__main__":
    sys.exit(main())
