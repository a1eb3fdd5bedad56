"""How servers are reached: what is sent, how often, to which of several nodes."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest

from nefertari_search_tween.backends import make_backend
from nefertari_search_tween.backends.base import BulkAction
from nefertari_search_tween.backends.connection import Connection
from nefertari_search_tween.exceptions import (
    BackendError,
    BackendTimeout,
    BackendUnavailable,
    BackendUntrusted,
)
from tests.servers import free_port
from tests.servers.elasticsearch import make_certificate
from tests.support.apps import zoo
from tests.support.faulty_server import Sent, listening, recording

TIMEOUT = 0.4
BASIC = "Basic " + base64.b64encode("us€r:pässwörd:2".encode()).decode()

Connect = Callable[..., Any]


@pytest.fixture(params=["elasticsearch", "opensearch"])
def kind(request: pytest.FixtureRequest) -> str:
    if request.param == "opensearch":
        pytest.importorskip("opensearchpy", reason="the extra 'opensearch' is not installed")
    return str(request.param)


@pytest.fixture
def connect(kind: str) -> Iterator[Connect]:
    """Makes a backend of this kind: hosts, and what else a connection has."""
    backends = []

    def connect(*hosts: str, **options: Any) -> Any:
        backend: Any = make_backend(
            kind, None, Connection(hosts, **{"search_timeout": 5.0, **options})
        )
        backends.append(backend)
        return backend

    yield connect
    for backend in backends:
        backend.client.close()


def only(requests: list[Sent]) -> Sent:
    (request,) = requests
    return request


# What is sent


def test_credentials_go_with_every_request(connect: Connect) -> None:
    with recording() as server:
        backend = connect(server.url, basic_auth=("us€r", "pässwörd:2"), sniff=True)
        backend.search("a", {})
        backend.ping()

    assert "/_nodes/_all/http" in [each.path for each in server.requests]
    assert {each.headers.get("authorization") for each in server.requests} == {BASIC}


def test_an_api_key_is_sent_as_one() -> None:
    with recording() as server:
        backend: Any = make_backend(
            "elasticsearch", None, Connection((server.url,), api_key="aWQ6c2VjcmV0")
        )
        backend.search("a", {})
        backend.client.close()

    assert only(server.requests).headers["authorization"] == "ApiKey aWQ6c2VjcmV0"


def test_nothing_is_sent_for_credentials_that_are_not_set(connect: Connect) -> None:
    with recording() as server:
        connect(server.url).search("a", {})

    assert "authorization" not in only(server.requests).headers


@pytest.mark.parametrize("compress", [False, True])
def test_compression(connect: Connect, compress: bool) -> None:
    body = {"query": {"match": {"title": "long " * 1000}}}
    with recording() as server:
        connect(server.url, compress=compress).search("a", body)

    sent = only(server.requests)
    assert json.loads(sent.body)["query"] == body["query"]
    assert sent.headers.get("content-encoding") == ("gzip" if compress else None)
    assert ("gzip" in sent.headers.get("accept-encoding", "")) is compress


def test_a_server_behind_a_path(connect: Connect) -> None:
    with recording() as server:
        connect(f"{server.url}/search/here").search("a-b", {})

    assert only(server.requests).path.partition("?")[0] == "/search/here/a-b/_search"


def test_secrets_are_not_in_what_is_shown(kind: str) -> None:
    connection = Connection(
        ("http://127.0.0.1:9",), basic_auth=("user", "pässword"), api_key="a2V5"
    )
    assert "pässword" not in repr(connection)
    assert "a2V5" not in repr(connection)

    backend: Any = make_backend(kind, None, Connection(("http://u:9",), basic_auth=("u", "s3cr3t")))
    secrets = ("s3cr3t", base64.b64encode(b"u:s3cr3t").decode())
    for text in (repr(backend), repr(backend.client), repr(backend.client.transport)):
        assert not any(secret in text for secret in secrets)
    with pytest.raises(BackendError) as raised:
        backend.search("a", {})
    assert not any(secret in str(raised.value) for secret in secrets)


# TLS


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two that have nothing to do with each other."""
    folder = tmp_path_factory.mktemp("certificates")
    files = {each: folder / each for each in ("own.crt", "own.key", "other.crt", "other.key")}
    make_certificate(files["own.crt"], files["own.key"])
    make_certificate(files["other.crt"], files["other.key"])
    return files


def test_a_certificate_is_looked_at(connect: Connect, certificates: dict[str, Path]) -> None:
    own = (certificates["own.crt"], certificates["own.key"])
    with recording(certificate=own) as server:
        for trusted in ({"ca_certs": str(certificates["own.crt"])}, {"verify_certs": False}):
            assert connect(server.url, **trusted).search("a", {})["hits"]["hits"] == []
        requests = len(server.requests)
        for distrusted in ({"ca_certs": str(certificates["other.crt"])}, {}):
            with pytest.raises(BackendUntrusted, match="CERTIFICATE_VERIFY_FAILED"):
                connect(server.url, **distrusted).search("a", {})
        assert requests == len(server.requests) == 2


def test_a_certificate_of_another_address_is_not_trusted(
    connect: Connect, certificates: dict[str, Path]
) -> None:
    """It vouches for 127.0.0.1, and this is another name of the same machine."""
    own = (certificates["own.crt"], certificates["own.key"])
    with recording(certificate=own) as server:
        url = server.url.replace("127.0.0.1", "127.1")
        with pytest.raises(BackendUntrusted, match="CERTIFICATE_VERIFY_FAILED"):
            connect(url, ca_certs=str(certificates["own.crt"])).search("a", {})
        assert server.requests == []


# How often, and how long


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_a_busy_server_is_asked_again(connect: Connect, retries: int) -> None:
    with recording(status=503, answer={"error": "busy"}) as server:
        backend = connect(server.url, retries=retries)
        with pytest.raises(BackendUnavailable):
            backend.search("a", {})

    assert len(server.requests) == retries + 1


@pytest.mark.parametrize(("again", "requests"), [(False, 1), (True, 3)])
def test_a_silent_server_is_asked_again_if_one_wants_to_wait(
    connect: Connect, again: bool, requests: int
) -> None:
    with listening(hang_up=False) as (url, connections):
        backend = connect(url, search_timeout=TIMEOUT, retries=2, retry_on_timeout=again)
        begun = time.monotonic()
        with pytest.raises(BackendTimeout):
            backend.search("a", {})
        took = time.monotonic() - begun

        assert len(connections) == requests
        assert requests * TIMEOUT * 0.9 <= took < requests * TIMEOUT + 2


def test_writes_have_a_time_of_their_own(connect: Connect) -> None:
    writes: list[Callable[[Any], Any]] = [
        lambda backend: list(backend.bulk([BulkAction("a", "1", 1, b"{}")], 10)),
        lambda backend: backend.create_index("a", {}, {}, []),
    ]
    with listening(hang_up=False) as (url, _):
        backend = connect(url, search_timeout=30.0, write_timeout=TIMEOUT)
        for write in writes:
            begun = time.monotonic()
            with pytest.raises(BackendTimeout):
                write(backend)
            assert TIMEOUT * 0.9 <= time.monotonic() - begun < TIMEOUT + 2
        backend = connect(url, search_timeout=TIMEOUT, write_timeout=30.0)
        begun = time.monotonic()
        with pytest.raises(BackendTimeout):
            backend.search("a", {})
        assert time.monotonic() - begun < TIMEOUT + 2


# Several nodes


def live(request: pytest.FixtureRequest, kind: str) -> str:
    return str(request.getfixturevalue(f"{kind}_url"))


def test_a_node_that_is_away_is_left_alone_for_a_while(
    request: pytest.FixtureRequest, kind: str, connect: Connect
) -> None:
    with listening(hang_up=True) as (dead, attempts):
        backend = connect(dead, live(request, kind))
        begun = time.monotonic()
        while time.monotonic() - begun < 0.8:
            assert backend.indices("no-such-index-*") == {}
        assert len(attempts) == 1, "asked once, and then not for a second"

        # Not for ever: it may be back.
        while len(attempts) < 2 and time.monotonic() - begun < 10:
            assert backend.indices("no-such-index-*") == {}
        assert len(attempts) == 2
        assert 0.9 <= time.monotonic() - begun < 5


def test_a_node_that_is_silent_costs_one_time_out_and_not_every_second_request(
    request: pytest.FixtureRequest, kind: str, connect: Connect
) -> None:
    with listening(hang_up=False) as (silent, _):
        backend = connect(silent, live(request, kind), search_timeout=TIMEOUT)
        late = 0
        begun = time.monotonic()
        while time.monotonic() - begun < TIMEOUT + 0.8:
            try:
                backend.indices("no-such-index-*")
            except BackendTimeout:
                late += 1

        assert late == 1


def test_all_nodes_are_asked_again_when_none_answers(connect: Connect) -> None:
    """However long they should rest: better one that may be back than none."""
    with listening(hang_up=True) as (first, one), listening(hang_up=True) as (second, two):
        backend = connect(first, second)
        for number in range(1, 6):
            with pytest.raises(BackendUnavailable):
                backend.search("a", {})
            assert len(one) + len(two) >= number * 2


def test_elasticsearch_is_asked_for_its_nodes(elasticsearch_url: str) -> None:
    """The minimal distribution answers that, though not what it is."""
    backend: Any = make_backend(
        "elasticsearch", None, Connection((elasticsearch_url,), search_timeout=30.0, sniff=True)
    )
    backend.indices("no-such-index-*")

    urls = {each.base_url for each in backend.client.transport.node_pool.all()}
    assert elasticsearch_url in urls
    assert len(urls) == 1
    assert backend.ping() is True
    backend.client.close()


def test_requests_do_not_depend_on_what_is_found(connect: Connect) -> None:
    """This server answers the question for its nodes with something else."""
    with recording() as server:
        backend = connect(server.url, sniff=True)
        for _ in range(5):
            assert backend.search("a", {})["hits"]["hits"] == []

    paths = [each.path.partition("?")[0] for each in server.requests]
    assert paths.count("/a/_search") == 5
    assert 1 <= paths.count("/_nodes/_all/http") <= 2


@pytest.mark.parametrize("hosts", [1, 2])
def test_an_application_starts_while_the_server_it_should_sniff_is_down(
    tmp_path: Any, kind: str, hosts: int
) -> None:
    addresses = ",".join(f"127.0.0.1:{free_port()}" for _ in range(hosts))
    app = zoo(
        f"sqlite:///{tmp_path}/zoo.sqlite",
        "",
        "zoo",
        **{
            "nefertari_search.backend": kind,
            "elasticsearch.hosts": addresses,
            "elasticsearch.sniff": "true",
        },
    )
    response = app.get("/items", status=200)
    assert response.headers["X-Search-Engine"] == "primary; reason=unavailable"
