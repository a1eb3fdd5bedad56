"""What all processes of a test run share: the first that needs a server or a file makes it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
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


@contextlib.contextmanager
def _alone(name: str) -> Iterator[Path]:
    """One process of the run at a time: what it makes is in this folder."""
    folder = Path(os.environ[FOLDER])
    with (folder / f"{name}.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield folder


@contextlib.contextmanager
def made_once(name: str, make: Callable[[Path], None]) -> Iterator[Path]:
    """A file that the first process of the run makes which needs it."""
    with _alone(name) as folder:
        if not (folder / name).exists():
            # A process that ended half way leaves no half.
            with tempfile.TemporaryDirectory(dir=folder) as beside:
                make(Path(beside) / name)
                (Path(beside) / name).rename(folder / name)
        yield folder / name


def start_or_attach(kind: type[S]) -> S:
    """Return the run's server of this kind, started by the first process that asks for it."""
    with _alone(kind.name) as folder:
        try:
            return kind.attach(folder)
        except ServerMissing:
            server = kind(folder)
            server.start()
            return server
