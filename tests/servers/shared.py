"""Servers that all processes of a test run share: the first that needs one starts it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from tests.servers.base import Server, ServerMissing
from tests.servers.elasticsearch import ElasticsearchServer
from tests.servers.ferretdb import FerretdbServer
from tests.servers.mariadb import MariadbServer
from tests.servers.opensearch import OpenSearchServer
from tests.servers.postgresql import PostgresServer
from tests.servers.redis import RedisServer

#: environment variable: the folder with the state of the run's servers
FOLDER = "NEFERTARI_SEARCH_TEST_SERVERS"
KINDS: tuple[type[Server], ...] = (
    ElasticsearchServer,
    FerretdbServer,
    MariadbServer,
    OpenSearchServer,
    PostgresServer,
    RedisServer,
)

S = TypeVar("S", bound=Server)


@contextlib.contextmanager
def owned() -> Iterator[None]:
    """Own the servers that this process and its children start meanwhile: stop them at the end.

    Where a parent process owns them already, this does nothing.
    """
    if FOLDER in os.environ:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="test-servers-") as folder:
        os.environ[FOLDER] = folder
        try:
            yield
        finally:
            del os.environ[FOLDER]
            for kind in KINDS:
                with contextlib.suppress(ServerMissing):
                    kind.attach(folder).stop()


def start_or_attach(kind: type[S]) -> S:
    """Return the run's server of this kind, started by the first process that asks for it."""
    folder = Path(os.environ[FOLDER])
    with (folder / f"{kind.name}.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        try:
            return kind.attach(folder)
        except ServerMissing:
            server = kind(folder)
            server.start()
            return server
