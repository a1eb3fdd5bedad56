"""Search servers that go away while an application runs, or that never were there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.servers import ElasticsearchServer, free_port
from tests.servers.base import wait_until
from tests.support.scaffolds import Talk

UNAVAILABLE = "none; reason=unavailable"
RECOVERY_SECONDS = 60


class IndexFiles:
    """The directory of an embedded backend, which is replaced by what no index can be in.

    (To take rights away would not keep root from reading.)
    """

    comes_back = True

    def __init__(self, folder: Path) -> None:
        self.directory = folder / "search"
        self.url = f"embedded:{self.directory}"

    def go(self) -> None:
        self.directory.rename(self.directory.with_name("away"))
        self.directory.write_text("no directory")

    def come_back(self) -> None:
        self.directory.unlink()
        self.directory.with_name("away").rename(self.directory)


class ClosedPort:
    """A port on which nothing listens, from the start of the application on."""

    comes_back = False

    def __init__(self) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"

    def go(self) -> None:
        """It is not there."""

    def come_back(self) -> None:
        """It does not."""


class KilledServer:
    """A server that is killed."""

    comes_back = True

    def __init__(self, server: ElasticsearchServer) -> None:
        self.server = server
        self.url = server.url

    def go(self) -> None:
        self.server.kill()

    def come_back(self) -> None:
        self.server.start()


def search_server(kind: str, request: Any, folder: Path) -> Any:
    """Return the search server *kind*: "embedded", "closed", or "elasticsearch"."""
    if kind == "embedded":
        return IndexFiles(folder)
    if kind == "closed":
        return ClosedPort()
    return KilledServer(request.getfixturevalue("own_elasticsearch"))


def refused(talk: Talk, method: str, path: str, **params: Any) -> None:
    """Send a request that needs the search server, and is told that it is down."""
    json = {"name": "x"} if method in ("PATCH", "PUT") else None
    answer = talk.send(method, path, params, json)
    details = (method, path, params, answer.status_code, answer.text[:600])
    assert answer.status_code == 503, details
    assert "The search server does not answer." in answer.json()["message"], details
    assert int(answer.headers["Retry-After"]) > 0
    if method in ("GET", "HEAD"):
        assert answer.headers["X-Search-Engine"] == UNAVAILABLE, details


def serves_again(talk: Talk, path: str) -> bool:
    """Wait until the collection at *path* is searched again."""
    return bool(wait_until(lambda: talk.send("GET", path).status_code == 200, RECOVERY_SECONDS))
