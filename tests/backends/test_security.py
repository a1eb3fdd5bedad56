"""An application on a server with users and TLS: what it needs, and what it says when that is
wrong.

The server is this module's own. It has no API keys to give out (their index needs an analysis
filter that the minimal distribution lacks): what is sent for one is looked at on the wire in
test_connection.py, and here that the server reads it.
"""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import transaction

from nefertari_search_tween.backends.base import Backend
from nefertari_search_tween.backends.conformance.paging import PagingCases
from nefertari_search_tween.backends.conformance.versions import VersionCases
from nefertari_search_tween.backends.conformance.writes import WriteCases
from nefertari_search_tween.backends.connection import Connection
from nefertari_search_tween.backends.elasticsearch import ElasticsearchBackend
from nefertari_search_tween.exceptions import (
    BackendDenied,
    BackendUnavailable,
    BackendUntrusted,
    ConfigurationError,
)
from tests.conftest import started
from tests.servers import ElasticsearchServer
from tests.servers.base import wait_until
from tests.servers.elasticsearch import make_certificate
from tests.support.apps import search_of, zoo
from tests.support.compare_answers import engine_of
from tests.support.forked import run_python
from tests.support.paths import TOP
from tests.write.test_sync import empty_tables, hit_keys, same

WRONG = "not-the-password"

INI = """
[app:main]
use = call:tests.apps.every_field:main
pyramid.includes = nefertari_search_tween
nefertari.engine = nefertari_sqla
auth = false
"""


@pytest.fixture(scope="module")
def server() -> Iterator[ElasticsearchServer]:
    for each in started(ElasticsearchServer(security=True)):
        assert isinstance(each, ElasticsearchServer)
        yield each


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, server: ElasticsearchServer) -> dict[str, Any]:
    """The application of this module: its folder, database, index prefix and valid settings."""
    folder = tmp_path_factory.mktemp("security")
    (folder / "password").write_text(f"application:{server.password}\n", encoding="utf-8")
    make_certificate(folder / "other.crt", folder / "other.key")
    return {
        "folder": folder,
        "database": f"sqlite:///{folder / 'zoo.sqlite'}",
        "prefix": f"test-{uuid.uuid4().hex[:12]}",
        "settings": {
            "elasticsearch.hosts": server.url,
            "elasticsearch.ca_certs": str(server.ca),
            "elasticsearch.basic_auth": f"file:{folder / 'password'}",
            "elasticsearch.compress": "true",
        },
    }


def make_app(site: dict[str, Any], **settings: str) -> Any:
    """Return the application on this module's server; *settings* replace the valid ones."""
    changed = {f"elasticsearch.{key}": value for key, value in settings.items()}
    return zoo(site["database"], "", site["prefix"], **{**site["settings"], **changed})


@pytest.fixture
def app(site: dict[str, Any]) -> Iterator[Any]:
    from pyramid_sqlalchemy import Session

    app = make_app(site)
    empty_tables()
    assert wait_until(lambda: not search_of(app).outbox.pending_count(), 20)
    yield app
    transaction.abort()
    Session.remove()


def as_user(server: ElasticsearchServer, user: str) -> str:
    return f"{user}:{server.password}"


# All is right


def test_an_application_reads_searches_and_writes(app: Any) -> None:
    app.post_json("/items", {"id": 1, "name": "Old Lion"}, status=201)
    assert [each["name"] for each in same(app, "/items")["data"]] == ["Old Lion"]
    assert hit_keys(app, "items", name="lion") == [1]
    assert engine_of(app.get("/items?q=lion")) == "mirror"

    app.patch_json("/items/1", {"name": "New Tiger"}, status=200)

    assert [each["name"] for each in same(app, "/items")["data"]] == ["New Tiger"]
    assert hit_keys(app, "items", name="lion") == []
    app.delete("/items/1", status=200)
    assert same(app, "/items")["data"] == []


@pytest.mark.thorough
def test_a_rebuild_by_the_command(site: dict[str, Any], app: Any) -> None:
    app.post_json("/items", {"id": 1, "name": "Lion"}, status=201)

    done = command(site, "rebuild")

    assert done.returncode == 0, done.stderr
    assert "Item: 1 documents indexed" in done.stdout
    assert hit_keys(app, "items", name="lion") == [1]


# Something is wrong at start


def command(
    site: dict[str, Any], name: str, env: Any = None, **settings: str
) -> subprocess.CompletedProcess[str]:
    """Run a command in a separate process, because models are global to a process."""
    changed = {f"elasticsearch.{key}": value for key, value in settings.items()}
    lines = {
        "sqlalchemy.url": site["database"],
        "elasticsearch.index_name": site["prefix"],
        **site["settings"],
        **changed,
    }
    ini = site["folder"] / f"{uuid.uuid4().hex}.ini"
    text = INI + "".join(f"{key} = {value}\n" for key, value in lines.items() if value)
    ini.write_text(text, encoding="utf-8")
    return run_python(
        *("-W", "ignore", "-m", "nefertari_search_tween.scripts.main", name, ini),
        env={**os.environ, "PYTHONPATH": str(TOP), **(env or {})},
    )


def error_line(done: subprocess.CompletedProcess[str]) -> str:
    """Return the one-line error of a command with invalid settings."""
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    (line,) = [each for each in done.stderr.splitlines() if each.startswith("Error: ")]
    assert "HTTP_AUTHORIZATION" not in line
    return line


def test_a_wrong_password(site: dict[str, Any]) -> None:
    done = command(site, "status", basic_auth=f"application:{WRONG}")

    assert "does not accept elasticsearch.basic_auth: 401" in error_line(done)
    assert WRONG not in done.stdout + done.stderr


def test_a_wrong_password_from_the_environment(site: dict[str, Any]) -> None:
    done = command(
        site, "status", env={"ZOO_AUTH": f"application:{WRONG}"}, basic_auth="env:ZOO_AUTH"
    )

    assert "does not accept elasticsearch.basic_auth: 401" in error_line(done)
    assert WRONG not in done.stdout + done.stderr


def test_a_wrong_api_key(site: dict[str, Any]) -> None:
    key = "VnVhQ2ZHY0JDZGJrUW0tZTVhT3g6dWkybHAyYXhUTm1zeWFrdzl0dk5udw=="
    done = command(site, "status", basic_auth="", api_key=key)

    line = error_line(done)
    assert "does not accept elasticsearch.api_key: 401" in line
    # The server has read it as a key: it goes on to say whose it would be, or that it has none.
    assert "api key" in line.lower().replace("apikey", "api key")
    assert key not in done.stdout + done.stderr


def test_no_credentials(site: dict[str, Any]) -> None:
    line = error_line(command(site, "status", basic_auth=""))

    assert "asks for credentials: set elasticsearch.basic_auth or elasticsearch.api_key" in line


def test_another_certificate(site: dict[str, Any]) -> None:
    line = error_line(command(site, "status", ca_certs=str(site["folder"] / "other.crt")))

    assert "elasticsearch.ca_certs" in line
    assert "CERTIFICATE_VERIFY_FAILED" in line


def test_no_certificate(site: dict[str, Any]) -> None:
    """The system vouches for none that was made by hand."""
    line = error_line(command(site, "status", ca_certs=""))

    assert "elasticsearch.ca_certs" in line
    assert "CERTIFICATE_VERIFY_FAILED" in line


def test_https_to_a_server_that_speaks_http(site: dict[str, Any], elasticsearch_url: str) -> None:
    url = elasticsearch_url.replace("http:", "https:")
    line = error_line(command(site, "status", hosts=url))

    assert "no safe connection to the search server (see elasticsearch.hosts" in line


def test_http_to_a_server_that_speaks_https(
    site: dict[str, Any], server: ElasticsearchServer
) -> None:
    """Such a server hangs up, as one does that is about to end: no reason not to start."""
    plain = server.url.replace("https:", "http:")
    done = command(site, "status", hosts=plain, ca_certs="")

    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert server.password not in done.stdout + done.stderr


def test_a_certificate_that_is_not_looked_at(
    site: dict[str, Any], app: Any, recwarn: pytest.WarningsRecorder
) -> None:
    app.post_json("/items", {"id": 1, "name": "Lion"}, status=201)

    same(app, "/items")

    trusting = make_app(site, ca_certs="", verify_certs="false")

    assert [each["name"] for each in same(trusting, "/items")["data"]] == ["Lion"]
    assert [str(each.message) for each in recwarn if "insecure" in str(each.message)] == []


# A user who may not do everything


@pytest.mark.thorough
def test_a_user_who_may_only_read(
    site: dict[str, Any],
    app: Any,
    server: ElasticsearchServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    app.post_json("/items", {"id": 1, "name": "Lion"}, status=201)
    same(app, "/items")

    limited = make_app(site, basic_auth=as_user(server, "reader"))
    search = search_of(limited)
    assert [each["name"] for each in same(limited, "/items")["data"]] == ["Lion"]
    assert hit_keys(limited, "items", name="lion") == [1]

    # The write is the application's own; the mirror waits.
    limited.post_json("/items", {"id": 2, "name": "Tiger"}, status=201)
    assert search.outbox.pending_count("Item") == 1
    response = limited.get("/items?_sort=id")
    assert engine_of(response) == "primary; reason=stale"
    assert [each["name"] for each in response.json["data"]] == ["Lion", "Tiger"]
    limited.get("/items?q=tiger", status=503)
    warnings = [each for each in caplog.messages if "indexing failed" in each]
    assert len(warnings) == 1
    assert "does not allow this (see elasticsearch.basic_auth): 403" in warnings[0]
    assert server.password not in caplog.text
    # Nothing was put into the document's place, and nothing was called refused.
    assert [each for each in caplog.messages if "left out of the mirror" in each] == []

    # As soon as the user may write, what waits is written.
    roles = server.ca.parent / "roles.yml"
    original = roles.read_text()
    try:
        roles.write_text(
            original.replace('["read", "view_index_metadata", "maintenance"]', '["all"]')
        )
        assert wait_until(lambda: not search.outbox.pending_count("Item"), 30)
        assert hit_keys(limited, "items", name="tiger") == [2]
    finally:
        roles.write_text(original)


def test_a_user_who_may_nothing(
    site: dict[str, Any],
    app: Any,
    server: ElasticsearchServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    app.post_json("/items", {"id": 1, "name": "Lion"}, status=201)

    limited = make_app(site, basic_auth=as_user(server, "nobody"))

    for path in ("/items?_sort=id", "/items?name=Lion&_sort=id"):
        response = limited.get(path, status=200)
        assert engine_of(response) == "primary; reason=denied"
        assert response.body == limited.get(f"{path}&_search=false").body
    for path in ("/items?_search=true", "/items?q=lion", "/founds?name=lion"):
        response = limited.get(path, status=503)
        assert int(response.headers["Retry-After"]) > 0
        assert engine_of(response) == "none; reason=denied"
        assert "nobody" not in response.text
        assert "security_exception" not in response.text
    # Not once for every request, nor is the server taken for one that is away.
    messages = [each for each in caplog.records if each.name.endswith("circuit_breaker")]
    assert len(messages) == 1
    assert "does not allow this (see elasticsearch.basic_auth): 403" in messages[0].getMessage()
    assert search_of(limited).mirrors.breaker.open is False
    assert search_of(limited).backend.ping() is True


@pytest.mark.thorough
def test_a_password_that_changes_while_the_application_runs(
    site: dict[str, Any], app: Any, server: ElasticsearchServer
) -> None:
    app.post_json("/items", {"id": 1, "name": "Lion"}, status=201)
    same(app, "/items")
    backend = search_of(app).backend
    good = backend.client
    users = server.ca.parent / "users"
    original = users.read_text()
    try:
        # What the server does when the file of its users changes.
        lines = [each for each in original.splitlines() if not each.startswith("application:")]
        users.write_text("\n".join(lines) + "\n")
        assert wait_until(
            lambda: engine_of(app.get("/items?_sort=id")) == "primary; reason=denied", 30
        )
        app.get("/items?q=lion", status=503)
        app.post_json("/items", {"id": 2, "name": "Tiger"}, status=201)
    finally:
        users.write_text(original)
    assert wait_until(lambda: engine_of(app.get("/items?_sort=id")) == "mirror", 30)
    assert backend.client is good
    assert [each["name"] for each in same(app, "/items")["data"]] == ["Lion", "Tiger"]


# The backend by itself


def backend_of(server: ElasticsearchServer, **options: Any) -> ElasticsearchBackend:
    connection = {
        "hosts": (server.url,),
        "search_timeout": 30.0,
        "ca_certs": str(server.ca),
        "basic_auth": ("application", server.password),
        **options,
    }
    return ElasticsearchBackend(Connection(**connection))


@pytest.mark.long
class TestElasticsearchSecured(WriteCases, VersionCases, PagingCases):
    """A part of the cases over TLS, compressed, by a user who has what an application needs."""

    @pytest.fixture(scope="class")
    @classmethod
    def backend(cls, server: ElasticsearchServer) -> Iterator[Backend]:
        backend = backend_of(server, compress=True)
        yield backend
        backend.client.close()


def test_nodes_are_found_with_credentials_and_tls(server: ElasticsearchServer) -> None:
    backend = backend_of(server, sniff=True, basic_auth=("owner", server.password))
    backend.indices("test-*")

    assert not backend._to_sniff
    nodes = [each.base_url for each in backend.client.transport.node_pool.all()]
    assert server.url in nodes
    assert all(each.startswith("https://") for each in nodes)
    for _ in range(len(nodes) * 2):
        assert backend.ping() is True


def test_nodes_that_may_not_be_asked_for_are_not_missed(
    server: ElasticsearchServer, caplog: pytest.LogCaptureFixture
) -> None:
    backend = backend_of(server, sniff=True)

    assert backend.indices("test-nothing-*") == {}
    assert backend.indices("test-nothing-*") == {}

    messages = [each for each in caplog.messages if "nodes of the search cluster" in each]
    assert len(messages) == 1


@pytest.mark.parametrize("user", ["application", "nobody"])
def test_analyzers_that_may_not_be_tried_count_as_known(
    server: ElasticsearchServer, user: str
) -> None:
    """Only users with rights on the cluster may; for others the creation of the index tells."""
    backend = backend_of(server, basic_auth=(user, server.password))
    assert backend.unknown_analyzers(["standard", "english"], {}) == {}
    backend = backend_of(server, basic_auth=("owner", server.password))
    assert set(backend.unknown_analyzers(["standard", "english"], {})) == {"english"}


def test_an_analyzer_that_may_not_be_tried_stops_the_application_that_makes_an_index(
    site: dict[str, Any], app: Any
) -> None:
    with pytest.raises(ConfigurationError, match=r"refuses to make the index of .*english"):
        zoo(
            site["database"],
            "",
            f"{site['prefix']}-other",
            **{**site["settings"], "nefertari_search.analyzer": "english"},
        )


def test_what_the_backend_raises(server: ElasticsearchServer, site: dict[str, Any]) -> None:
    with pytest.raises(BackendDenied) as denied:
        backend_of(server, basic_auth=("application", WRONG)).indices("test-*")
    assert denied.value.status == 401
    with pytest.raises(BackendUntrusted):
        backend_of(server, ca_certs=str(site["folder"] / "other.crt")).indices("test-*")
    plain = server.url.replace("https:", "http:")
    with pytest.raises(BackendUnavailable):
        backend_of(server, hosts=(plain,), ca_certs=None).indices("test-*")


def test_a_wrong_password_stops_the_application_itself(
    site: dict[str, Any], app: Any, server: ElasticsearchServer
) -> None:
    with pytest.raises(ConfigurationError, match=r"elasticsearch\.basic_auth"):
        make_app(site, basic_auth=f"application:{WRONG}")
