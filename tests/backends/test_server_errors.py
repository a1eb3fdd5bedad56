"""What is wrong with a server, in one line, and what is to be done about it."""

from __future__ import annotations

import contextlib
import functools
import http.server
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from webtest import TestApp

from nefertari_search_tween.backends import make_backend
from nefertari_search_tween.backends.conformance.faults import serving
from nefertari_search_tween.backends.connection import Connection
from nefertari_search_tween.backends.product import conflict
from nefertari_search_tween.exceptions import ConfigurationError, UnsupportedServer
from tests.servers.base import wait_until
from tests.support.apps import forget_sessions, search_of, zoo
from tests.support.compare_answers import engine_of
from tests.support.faulty_server import recording
from tests.support.paths import TOP

OTHER = {"elasticsearch": "opensearch", "opensearch": "elasticsearch"}


@pytest.fixture
def database(tmp_path: Path) -> Iterator[str]:
    yield f"sqlite:///{tmp_path}/zoo.sqlite"
    forget_sessions()


# Another product


@pytest.mark.parametrize("kind", ["elasticsearch", "opensearch"])
def test_the_other_product_behind_the_hosts(
    request: pytest.FixtureRequest, database: str, index_prefix: str, kind: str
) -> None:
    """*kind* is what the settings say."""
    if kind == "opensearch":
        pytest.importorskip("opensearchpy", reason="the extra 'opensearch' is not installed")
    url = request.getfixturevalue(f"{OTHER[kind]}_url")
    with pytest.raises(ConfigurationError) as caught:
        zoo(database, f"{kind}+{url}", index_prefix)
    message = str(caught.value)
    assert message.startswith(f"elasticsearch.hosts: {url} is ")
    assert message.endswith(f" or newer, or nefertari_search.backend = {OTHER[kind]}")
    assert "\n" not in message

    backend: Any = make_backend(kind, None, Connection((url,)))
    assert backend.ping() is False
    with pytest.raises(UnsupportedServer):
        backend.require_supported()
    backend.client.close()


@contextlib.contextmanager
def web_server(folder: Path) -> Iterator[str]:
    """Serve the files of *folder*; yield the URL."""
    handler = functools.partial(_Quiet, directory=str(folder))
    with serving(http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)) as port:
        yield f"http://127.0.0.1:{port}"


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Tests print nothing."""


def test_no_search_server_at_all(tmp_path: Path, database: str) -> None:
    (tmp_path / "index.html").write_text("<h1>It works!</h1>")
    with web_server(tmp_path) as url, pytest.raises(ConfigurationError) as caught:
        zoo(database, url, "zoo")
    assert str(caught.value) == f"elasticsearch.hosts: {url} is no Elasticsearch"


def root(number: Any, **version: Any) -> dict[str, Any]:
    return {"name": "n", "version": {"number": number, **version}, "tagline": "You Know"}


@pytest.mark.parametrize(
    ("product", "about", "problem"),
    [
        ("Elasticsearch", root("8.19.4"), None),
        ("Elasticsearch", root("9.0.0"), None),
        ("Elasticsearch", root("10.1.0"), None),
        ("Elasticsearch", root("2.4.6"), "Elasticsearch 2.4.6: set elasticsearch.hosts to "),
        ("Elasticsearch", root("7.17.3"), "Elasticsearch 7.17.3: set elasticsearch.hosts to "),
        ("Elasticsearch", root("2.19.1", distribution="opensearch"), "OpenSearch 2.19.1: set "),
        ("OpenSearch", root("2.19.1", distribution="opensearch"), None),
        ("OpenSearch", root("3.0.0", distribution="opensearch"), None),
        ("OpenSearch", root("1.3.2", distribution="opensearch"), "OpenSearch 1.3.2: set "),
        ("OpenSearch", root("8.19.4"), "Elasticsearch 8.19.4: set elasticsearch.hosts to "),
        # A proxy, or a user that may not ask: nothing is known to be wrong.
        ("Elasticsearch", None, None),
        ("OpenSearch", {"error": {"type": "security_exception"}, "status": 403}, None),
        ("OpenSearch", "<html>", None),
        ("Elasticsearch", {"version": "1"}, None),
        ("Elasticsearch", root(8), None),
    ],
)
def test_what_a_server_says_of_itself(product: str, about: Any, problem: str | None) -> None:
    text = conflict(product, about)
    assert text is None if problem is None else str(text).startswith(problem)


def test_what_the_documentation_shows() -> None:
    """docs/backends.rst"""
    problem = conflict("Elasticsearch", root("2.19.1", distribution="opensearch"))
    documented = " ".join((TOP / "docs" / "backends.rst").read_text().split())
    assert f"elasticsearch.hosts: http://search1:9200 is {problem}" in documented


@pytest.mark.parametrize("status", [403, 404])
def test_a_server_that_does_not_say_what_it_is_is_used(status: int) -> None:
    with recording(status=status, answer={"error": {"type": "some_exception"}}) as server:
        backend: Any = make_backend("elasticsearch", None, Connection((server.url,)))
        for _ in range(2):
            backend.require_supported()
        backend.client.close()
    assert [each.path for each in server.requests] == ["/"]


# Blocks


@pytest.fixture(params=["elasticsearch", pytest.param("opensearch", marks=pytest.mark.thorough)])
def app(request: pytest.FixtureRequest, database: str, index_prefix: str) -> Iterator[TestApp]:
    url = request.getfixturevalue(f"{request.param}_url")
    few = {"nefertari_search.models": "Item, Keeper"}
    app = zoo(database, f"{request.param}+{url}", index_prefix, **few)
    app.post_json("/items", {"id": 1, "name": "Lion"})
    yield app
    block(app, read=None, read_only_allow_delete=None)


def block(app: TestApp, **blocks: Any) -> None:
    search = search_of(app)
    (index,) = search.mirrors.indices_of(search.mirrors.get("Item"))
    settings = {f"index.blocks.{name}": value for name, value in blocks.items()}
    search.backend.put_settings(index, settings)


def test_a_block_on_reads_is_no_matter_of_credentials(
    app: TestApp, caplog: pytest.LogCaptureFixture
) -> None:
    assert engine_of(app.get("/items")) == "mirror"
    caplog.clear()
    block(app, read=True)
    for _ in range(2):
        response = app.get("/items")
        assert engine_of(response) == "primary; reason=blocked"
        assert [each["id"] for each in response.json["data"]] == [1]
        for path in ("/items?q=lion", "/founds", "/items?_search=true&_count"):
            response = app.get(path, status=503)
            assert engine_of(response) == "none; reason=blocked"
            assert "has a block on this search index" in response.json["message"]
    ours = [each for each in caplog.records if each.name.startswith("nefertari_search_tween")]
    (line,) = [each.getMessage() for each in ours]
    assert "index.blocks.*" in line
    assert "index read (api)" in line
    assert "basic_auth" not in caplog.text
    assert search_of(app).mirrors.breaker.open is False

    block(app, read=None)
    assert engine_of(app.get("/items")) == "mirror"
    assert len(app.get("/items?q=lion").json["data"]) == 1


def test_a_full_disk_is_no_matter_of_credentials(
    app: TestApp, caplog: pytest.LogCaptureFixture
) -> None:
    """The server sets this block by itself; nothing is lost, and reads of the rest go on."""
    block(app, read_only_allow_delete=True)
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        app.post_json("/items", {"id": 2, "name": "Tiger"}, status=201)
    search = search_of(app)
    assert search.outbox.pending_count("Item") == 1
    (line,) = [each for each in caplog.messages if "indexing failed" in each]
    assert "a full disk sets index.blocks.read_only_allow_delete" in line
    assert "basic_auth" not in caplog.text
    assert search.mirrors.breaker.open is False
    assert engine_of(app.get("/items")) == "primary; reason=stale"
    assert engine_of(app.get("/keepers")) == "mirror"

    block(app, read_only_allow_delete=None)
    assert wait_until(lambda: not search.outbox.pending_count("Item"), 60)
    assert engine_of(app.get("/items")) == "mirror"
