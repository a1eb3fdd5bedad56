"""Elasticsearch from the registry of Java packages: the minimal distribution, one node."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import ssl
import stat
import subprocess
import tempfile
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.servers.base import (
    Server,
    ServerFailed,
    ServerMissing,
    cache_dir,
    java_options,
    locked,
    run_as_server_user,
    tail,
)

VERSION = "8.19.4"
ARTIFACT = f"org.elasticsearch.distribution.integ-test-zip:elasticsearch:{VERSION}:zip"
OLDEST_JAVA = 17
HEAP = "-Xms512m -Xmx512m"

# Only these: the minimal distribution refuses to start on a setting that it does not know.
SETTINGS = """\
discovery.type: single-node
xpack.security.enabled: false
cluster.routing.allocation.disk.threshold_enabled: false
http.port: {port}
path.data: {work}/data
path.logs: {work}/logs
"""


SECURITY = """\
xpack.security.enabled: true
xpack.security.enrollment.enabled: false
xpack.security.http.ssl.enabled: true
xpack.security.http.ssl.key: {work}/config/server.key
xpack.security.http.ssl.certificate: {work}/config/server.crt
"""
# What an application needs, and what is too little for it; names as docs/backends.rst has them.
ROLES = """\
application:
  indices:
    - names: ["test-*", "conformance-*"]
      privileges: ["all"]
reader:
  indices:
    - names: ["test-*"]
      privileges: ["read", "view_index_metadata", "maintenance"]
nobody:
  indices:
    - names: ["other"]
      privileges: ["read"]
"""
PASSWORD = "Geheimnis:äöü"


class ElasticsearchServer(Server):
    """One node on 127.0.0.1 with 512 MB of heap; `url` is http://127.0.0.1:PORT.

    :param security: users and TLS: `url` is https, `ca` the file of the certificate to trust.
        There are users `application`, `reader` and `nobody` with the roles of these names, and
        `owner`, who may do everything; all have the same password.
    """

    name = "elasticsearch"
    start_seconds = 120
    password = PASSWORD

    def __init__(
        self,
        state_dir: str | Path | None = None,
        port: int | None = None,
        security: bool = False,
    ) -> None:
        super().__init__(state_dir, port)
        self.security = security

    @property
    def url(self) -> str:
        return f"{'https' if self.security else 'http'}://127.0.0.1:{self.port}"

    @property
    def ca(self) -> Path:
        assert self.work is not None, "the server was not started"
        return self.work / "config" / "server.crt"

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """One request past the package, and its JSON answer.

        :raises urllib.error.HTTPError: an answer that is an error.
        """
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}{path}", data, method=method)
        request.add_header("Content-Type", "application/json")
        context = None
        if self.security:
            text = f"owner:{self.password}".encode()
            request.add_header("Authorization", "Basic " + base64.b64encode(text).decode())
            context = ssl.create_default_context(cafile=str(self.ca))
        with urllib.request.urlopen(request, timeout=10, context=context) as answer:
            return json.load(answer)

    def _install(self) -> None:
        self._java_home = find_java_home()
        self._home = install_distribution()

    def _create(self, work: Path) -> None:
        config = work / "config"
        shutil.copytree(self._home / "config", config)
        settings = SETTINGS
        if self.security:
            settings = settings.replace("xpack.security.enabled: false\n", SECURITY)
        (config / "elasticsearch.yml").write_text(settings.format(port=self.port, work=work))
        # The log of garbage collections may grow to 2 GB, and nobody reads it here.
        options = (config / "jvm.options").read_text()
        (config / "jvm.options").write_text(re.sub(r"(?m)^-Xlog:gc.*$", "", options))
        for folder in ("data", "logs", "tmp"):
            (work / folder).mkdir()
        if self.security:
            make_certificate(config / "server.crt", config / "server.key")
            self._add_users(config)
        owner = work.stat()
        for path in work.rglob("*"):
            os.chown(path, owner.st_uid, owner.st_gid)

    def _environment(self, work: Path) -> dict[str, str]:
        return {
            "ES_JAVA_HOME": str(self._java_home),
            "ES_JAVA_OPTS": " ".join([HEAP, *java_options()]),
            "ES_PATH_CONF": str(work / "config"),
            "ES_TMPDIR": str(work / "tmp"),
        }

    def _add_users(self, config: Path) -> None:
        """Fill the file realm: its users are there before the server is."""
        work = config.parent
        owner = work.stat()
        for path in (config, *config.iterdir()):
            os.chown(path, owner.st_uid, owner.st_gid)
        (config / "roles.yml").write_text(ROLES)
        command = [self._home / "bin" / "elasticsearch-users", "useradd", "owner"]
        done = run_as_server_user(
            [*command, "-p", self.password, "-r", "superuser"],
            cwd=work,
            env=self._environment(work),
        )
        if done.returncode != 0:
            raise ServerFailed(f"no user was made:\n{done.stdout}")
        # The others have the same password, so the same hash.
        line = (config / "users").read_text()
        roles = ("application", "reader", "nobody")
        for role in roles:
            line += f"{role}:{line.partition(':')[2].splitlines()[0]}\n"
        (config / "users").write_text(line)
        with (config / "users_roles").open("a") as handle:
            handle.writelines(f"{role}:{role}\n" for role in roles)

    def _launch(self, work: Path) -> None:
        environment = self._environment(work)
        # -d: the launcher leaves once the node has started, so that one process is left to kill.
        command = [self._home / "bin" / "elasticsearch", "-d", "-p", self._pid_file(work)]
        log = self._log_file(work)
        done = run_as_server_user(
            command, cwd=work, env=environment, log=log, timeout=self.start_seconds
        )
        if done.returncode != 0:
            raise ServerFailed(f"elasticsearch ended with {done.returncode}:\n{tail(log)}")

    def _healthy(self) -> bool:
        # GET / answers 405 in this distribution: health is the one sign of life.
        try:
            return self.call("GET", "/_cluster/health")["status"] in ("green", "yellow")
        except (OSError, ValueError):
            return False

    def _pid_file(self, work: Path) -> Path:
        return work / "elasticsearch.pid"

    def _log_file(self, work: Path) -> Path:
        return work / "logs" / "console.log"


def make_certificate(certificate: Path, key: Path) -> None:
    """A self-signed certificate of this machine's loopback addresses, by the openssl program."""
    openssl = shutil.which("openssl")
    if openssl is None:
        raise ServerMissing("a server with TLS needs a certificate, and there is no openssl")
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    done = subprocess.run(
        [*command, "-keyout", str(key), "-out", str(certificate)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        raise ServerFailed(f"openssl made no certificate:\n{done.stderr}")


def find_java_home() -> Path:
    """The home of the first Java that is new enough and that the server's user may run."""
    versions = []
    for java in _java_candidates():
        try:
            done = run_as_server_user(
                [java, "-XshowSettings:properties", "-version"], cwd=Path("/"), timeout=30
            )
        except OSError:  # not there, or not for this user
            continue
        home = re.search(r"java\.home = (.+)", done.stdout)
        version = re.search(r"java\.specification\.version = (?:1\.)?(\d+)", done.stdout)
        if home and version:
            if int(version[1]) >= OLDEST_JAVA:
                return Path(home[1].strip())
            versions.append(f"{java} is Java {version[1]}")
    summary = "; ".join(versions) or "none found"
    raise ServerMissing(
        f"Elasticsearch needs Java {OLDEST_JAVA} or newer ({summary}); set JAVA_HOME"
    )


def _java_candidates() -> Iterator[Path]:
    if os.environ.get("JAVA_HOME"):
        yield Path(os.environ["JAVA_HOME"]) / "bin" / "java"
    on_path = shutil.which("java")
    if on_path:
        yield Path(on_path)
    yield from sorted(Path("/usr/lib/jvm").glob("*/bin/java"))


def install_distribution() -> Path:
    """The unpacked distribution in the cache, fetched by Maven the first time."""
    home = cache_dir() / f"elasticsearch-{VERSION}"
    if home.exists():
        return home
    with locked(home.name):
        if not home.exists():
            # Unpacked beside its place and renamed: a run that is ended half way leaves no half.
            with tempfile.TemporaryDirectory(prefix="fetch-", dir=cache_dir()) as folder:
                _unzip(_fetch(Path(folder)), Path(folder))
                (Path(folder) / home.name).rename(home)
    return home


def _fetch(folder: Path) -> Path:
    maven = shutil.which("mvn")
    if maven is None:
        raise ServerMissing(f"Elasticsearch {VERSION} is fetched by Maven, and there is no mvn")
    # `get` asks the registry; `copy` puts what it got where we want it.
    for goal in (
        ["dependency:get", f"-Dartifact={ARTIFACT}", "-Dtransitive=false"],
        ["dependency:copy", f"-Dartifact={ARTIFACT}", f"-DoutputDirectory={folder}"],
    ):
        done = subprocess.run(
            [maven, "--batch-mode", *goal],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            end = "\n".join(done.stdout.splitlines()[-15:])
            raise ServerMissing(f"Maven could not fetch {ARTIFACT}:\n{end}")
    return folder / f"elasticsearch-{VERSION}.zip"


def _unzip(archive: Path, folder: Path) -> None:
    with zipfile.ZipFile(archive) as zipped:
        for member in zipped.infolist():
            path = Path(zipped.extract(member, folder))
            # zipfile drops modes; every user may read, and run what was executable.
            executable = path.is_dir() or (member.external_attr >> 16) & stat.S_IXUSR
            path.chmod(0o755 if executable else 0o644)
