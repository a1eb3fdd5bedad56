"""Faults: the errors of a backend whose server is unreachable, silent, busy or broken."""

from __future__ import annotations

import contextlib
import http.server
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any, Callable

import pytest

from nefertari_search_tween.backends.base import Backend, BulkAction, BulkItemResult
from nefertari_search_tween.backends.conformance.base_case import Cases
from nefertari_search_tween.backends.conformance.corpus import MAPPING, Index, by_key
from nefertari_search_tween.exceptions import (
    BackendDenied,
    BackendError,
    BackendRejected,
    BackendTimeout,
    BackendUnavailable,
    IndexMissing,
)

WINDOW = {"index.max_result_window": 20}
#: called with a backend and the name of an index
Operation = Callable[[Backend, str], Any]

READS: dict[str, Operation] = {
    "search": lambda backend, name: backend.search(name, {}),
    "multi_search": lambda backend, name: backend.multi_search([(name, {})]),
    "scan": lambda backend, name: list(backend.scan(name, {"sort": by_key()}, 10)),
    "multi_get": lambda backend, name: backend.multi_get(name, ["1"]),
    "indices": lambda backend, name: backend.indices(f"{name}*"),
    "get_mapping": lambda backend, name: backend.get_mapping(name),
    "refresh": lambda backend, name: backend.refresh(name),
}
WRITES: dict[str, Operation] = {
    "bulk": lambda backend, name: list(backend.bulk([BulkAction(name, "1", 1, b"{}")], 10)),
    "create_index": lambda backend, name: backend.create_index(name, MAPPING, {}, []),
    "delete_index": lambda backend, name: backend.delete_index(name),
    "swap_alias": lambda backend, name: backend.swap_alias(f"{name}-alias", name),
    "put_mapping": lambda backend, name: backend.put_mapping(name, MAPPING),
    "put_settings": lambda backend, name: backend.put_settings(name, WINDOW),
}
OPERATIONS = {**READS, **WRITES}
NEED_AN_INDEX = [
    *("search", "multi_search", "scan", "multi_get", "refresh"),
    *("swap_alias", "put_mapping", "put_settings"),
]
TIMEOUT = 0.5
# Time-outs are not tried again; what is above them is a busy machine.
PATIENCE = 3.0


class FaultCases(Cases):
    def test_a_backend_that_answers_is_alive(self, backend: Backend) -> None:
        assert backend.ping() is True

    def test_a_backend_has_a_name(self, backend: Backend) -> None:
        assert backend.name

    @pytest.mark.parametrize("name", NEED_AN_INDEX)
    def test_what_needs_an_index_says_when_it_is_missing(
        self, backend: Backend, prefix: str, name: str
    ) -> None:
        with pytest.raises(IndexMissing) as raised:
            OPERATIONS[name](backend, f"{prefix}-nothing")
        assert f"{prefix}-nothing" in str(raised.value)
        assert backend.indices(f"{prefix}-nothing*") == {}

    def test_errors_of_a_document_name_what_is_wrong(self, empty: Index) -> None:
        (outcome,) = empty.bulk([empty.action("1", {"seen": "neither"})])
        assert "seen" in json.dumps(outcome.error)

    # No server

    @pytest.mark.parametrize("name", OPERATIONS)
    def test_no_server(self, name: str) -> None:
        backend = self.connect(f"http://127.0.0.1:{_closed_port()}", TIMEOUT)
        started = time.monotonic()
        with pytest.raises(BackendUnavailable) as raised:
            OPERATIONS[name](backend, "a")
        assert not isinstance(raised.value, BackendTimeout)
        assert time.monotonic() - started < PATIENCE
        assert backend.ping() is False

    @pytest.mark.parametrize("name", READS)
    def test_a_silent_server(self, name: str) -> None:
        with _silent() as (url, connections):
            backend = self.connect(url, TIMEOUT)
            started = time.monotonic()
            with pytest.raises(BackendTimeout):
                READS[name](backend, "a")
            took = time.monotonic() - started
            assert TIMEOUT * 0.9 <= took < PATIENCE
            assert len(connections) == 1, "a time-out is not tried again"

    def test_a_silent_server_is_not_alive(self) -> None:
        with _silent() as (url, _):
            backend = self.connect(url, 30.0)
            started = time.monotonic()
            assert backend.ping() is False
            assert time.monotonic() - started < PATIENCE

    def test_a_search_may_have_a_time_of_its_own(self) -> None:
        with _silent() as (url, _):
            backend = self.connect(url, 30.0)
            started = time.monotonic()
            with pytest.raises(BackendTimeout):
                backend.search("a", {}, timeout=TIMEOUT)
            assert time.monotonic() - started < PATIENCE

    def test_a_server_that_comes_back_is_asked_again(self) -> None:
        port = _closed_port()
        backend = self.connect(f"http://127.0.0.1:{port}", TIMEOUT)
        for _ in range(3):
            with pytest.raises(BackendUnavailable):
                backend.search("a", {})
        with _answering(200, EMPTY_ANSWER, port=port):
            assert backend.search("a", {})["hits"]["hits"] == []
            assert backend.ping() is True

    def test_analyzers_are_not_unknown_because_no_server_answers(self) -> None:
        backend = self.connect(f"http://127.0.0.1:{_closed_port()}", TIMEOUT)
        with pytest.raises(BackendUnavailable):
            backend.unknown_analyzers(["standard"], {})

    # A server that answers something else

    @pytest.mark.parametrize("name", OPERATIONS)
    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            (429, BackendUnavailable),
            (502, BackendUnavailable),
            (503, BackendUnavailable),
            (504, BackendTimeout),
            (400, BackendRejected),
            (401, BackendDenied),
            (403, BackendDenied),
            (500, BackendRejected),
        ],
    )
    def test_statuses(self, name: str, status: int, kind: type[BackendError]) -> None:
        reason = {"type": "some_exception", "reason": "some reason"}
        error = {"error": {**reason, "root_cause": [reason]}, "status": status}
        with _answering(status, error) as url:
            backend = self.connect(url, TIMEOUT)
            with pytest.raises(kind) as raised:
                OPERATIONS[name](backend, "a")
        assert "some reason" in str(raised.value)
        if isinstance(raised.value, (BackendDenied, BackendRejected)):
            assert raised.value.status == status
            assert raised.value.details == error

    @pytest.mark.parametrize("status", [401, 403])
    def test_a_server_that_refuses_to_tell_how_it_is_is_alive(self, status: int) -> None:
        with _answering(status, {"error": {"type": "security_exception"}}) as url:
            assert self.connect(url, TIMEOUT).ping() is True

    @pytest.mark.parametrize("status", [502, 503])
    def test_pages_of_a_proxy(self, status: int) -> None:
        with _answering(status, "<html>Bad gateway</html>", "text/html") as url:
            backend = self.connect(url, TIMEOUT)
            with pytest.raises(BackendUnavailable):
                backend.search("a", {})
            assert backend.ping() is False

    @pytest.mark.parametrize("text", ["<html>Welcome</html>", '{"hits": {"total"', ""])
    def test_an_answer_that_is_none(self, text: str) -> None:
        kind = "text/html" if text.startswith("<") else "application/json"
        with _answering(200, text, kind) as url:
            backend = self.connect(url, TIMEOUT)
            with pytest.raises(BackendError):
                backend.search("a", {})

    def test_an_answer_that_ends_half_way(self) -> None:
        with _answering(200, EMPTY_ANSWER, cut=True) as url:
            backend = self.connect(url, TIMEOUT)
            with pytest.raises(BackendUnavailable):
                backend.search("a", {})

    def test_an_incomplete_answer_is_none(self) -> None:
        answer = {**EMPTY_ANSWER, "_shards": {"total": 2, "failed": 1, "failures": ["why"]}}
        with _answering(200, answer) as url, pytest.raises(BackendUnavailable, match="why"):
            self.connect(url, TIMEOUT).search("a", {})

    def test_an_answer_cut_short_by_its_time_is_none(self) -> None:
        late = {**EMPTY_ANSWER, "timed_out": True}
        with _answering(200, late) as url, pytest.raises(BackendTimeout):
            self.connect(url, TIMEOUT).search("a", {})

    def test_an_overloaded_server_refuses_single_documents(self) -> None:
        error = {"type": "es_rejected_execution_exception", "reason": "queue is full"}
        with _answering(200, _bulk_response((429, error), (201, None))) as url:
            first, second = _bulk_two(self.connect(url, TIMEOUT))
        assert first.overloaded
        assert not first.indexed
        assert first.error == error
        assert second.indexed

    @pytest.mark.parametrize("status", [401, 403])
    def test_a_refused_user_is_no_fault_of_a_document(self, status: int) -> None:
        error = {"type": "security_exception", "reason": "not for this user"}
        with _answering(200, _bulk_response((201, None), (status, error))) as url:
            backend = self.connect(url, TIMEOUT)
            with pytest.raises(BackendDenied, match="not for this user"):
                _bulk_two(backend)


EMPTY_ANSWER: dict[str, Any] = {
    "took": 1,
    "timed_out": False,
    "_shards": {"total": 1, "successful": 1, "skipped": 0, "failed": 0},
    "hits": {"total": {"value": 0, "relation": "eq"}, "max_score": None, "hits": []},
}


def _bulk_two(backend: Backend) -> list[BulkItemResult]:
    return list(backend.bulk([BulkAction("a", key, 1, b"{}") for key in "12"], 10))


def _bulk_response(*results: tuple[int, Any]) -> dict[str, Any]:
    """Return a server's response to :func:`_bulk_two`, from the status and error of each item."""
    items = [
        {"index": {"_id": str(number), "status": status, **({"error": error} if error else {})}}
        for number, (status, error) in enumerate(results, 1)
    ]
    return {"errors": True, "items": items}


def _closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def _silent() -> Iterator[tuple[str, list[socket.socket]]]:
    """Run a server that accepts connections but sends nothing; yield its URL and connections."""
    connections: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connections.append(server.accept()[0])

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield f"http://127.0.0.1:{port}", connections
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()
            for each in connections:
                each.close()


@contextlib.contextmanager
def _answering(
    status: int,
    answer: Any,
    content_type: str = "application/json",
    port: int = 0,
    cut: bool = False,
) -> Iterator[str]:
    """Run a server that responds to every request with *answer*; yield its URL."""
    body = (answer if isinstance(answer, str) else json.dumps(answer)).encode()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            # Without it the client of Elasticsearch takes a server for something else.
            self.send_header("X-Elastic-Product", "Elasticsearch")
            self.end_headers()
            self.wfile.write(body[: len(body) // 2] if cut else body)
            self.close_connection = cut

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = answer

        def log_message(self, *_: Any) -> None:
            """Tests print nothing."""

    with serving(http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)) as at:
        yield f"http://127.0.0.1:{at}"


@contextlib.contextmanager
def serving(server: http.server.ThreadingHTTPServer) -> Iterator[int]:
    """Run *server* in a thread; yield its port."""
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
