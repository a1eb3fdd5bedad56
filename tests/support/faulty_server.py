"""Servers for faults that must be forced, and for what a client sends: made at the wire."""

from __future__ import annotations

import contextlib
import gzip
import http.server
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nefertari_search_tween.backends.conformance.faults import serving

# To every request that a backend makes of an index, this is an answer.
ANSWER: dict[str, Any] = {
    "took": 1,
    "timed_out": False,
    "_shards": {"total": 1, "successful": 1, "skipped": 0, "failed": 0},
    "hits": {"total": {"value": 0, "relation": "eq"}, "max_score": None, "hits": []},
}


@dataclass
class Sent:
    """One request as it came in; header names are lower case, the body is unpacked."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Recorder:
    """A server that notes what it is asked.

    :param status: what it answers every request with.
    """

    url: str = ""
    status: int = 200
    answer: Any = field(default_factory=lambda: dict(ANSWER))
    requests: list[Sent] = field(default_factory=list)


@contextlib.contextmanager
def recording(certificate: tuple[Path, Path] | None = None, **options: Any) -> Iterator[Recorder]:
    """A :class:`Recorder` that runs.

    :param certificate: files of a certificate and its key: it speaks TLS.
    """
    recorder = Recorder(**options)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle(self) -> None:
            with contextlib.suppress(OSError):
                super().handle()

        def note(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            if headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            recorder.requests.append(Sent(self.command, self.path, headers, body))
            text = json.dumps(recorder.answer).encode()
            self.send_response(recorder.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.send_header("X-Elastic-Product", "Elasticsearch")
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = note

        def log_message(self, *_: Any) -> None:
            """Tests print nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        # The handshake is made by the thread of the request: one that fails stops no other.
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    scheme = "http" if certificate is None else "https"
    with serving(server) as port:
        recorder.url = f"{scheme}://127.0.0.1:{port}"
        yield recorder


@contextlib.contextmanager
def forwarding(port: int, target: int) -> Iterator[None]:
    """What comes to *port* of this machine goes to *target*: a server that has come back."""

    def pump(source: socket.socket, drain: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while chunk := source.recv(65536):
                drain.sendall(chunk)
        for each in (source, drain):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    with socket.create_server(("127.0.0.1", port)) as server, contextlib.ExitStack() as stack:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    near = stack.enter_context(server.accept()[0])
                    far = stack.enter_context(socket.create_connection(("127.0.0.1", target)))
                    for pair in ((near, far), (far, near)):
                        threading.Thread(target=pump, args=pair, daemon=True).start()

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


@contextlib.contextmanager
def listening(hang_up: bool) -> Iterator[tuple[str, list[socket.socket]]]:
    """A server that takes connections and hangs up or says nothing: its URL, its connections."""
    connections: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection = server.accept()[0]
                    connections.append(connection)
                    if hang_up:
                        connection.close()

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield f"http://127.0.0.1:{port}", connections
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()
            for each in connections:
                each.close()


@dataclass
class Slow:
    """A server in front of another one.

    :param seconds: that pass before each piece of an answer goes on.
    """

    url: str
    seconds: float = 0.0


@contextlib.contextmanager
def slowing(target: int) -> Iterator[Slow]:
    """What is sent to its URL goes to the port *target*; answers take as long as it says."""
    with socket.create_server(("127.0.0.1", 0)) as server, contextlib.ExitStack() as stack:
        slow = Slow(f"http://127.0.0.1:{server.getsockname()[1]}")

        def pump(source: socket.socket, drain: socket.socket, answers: bool) -> None:
            with contextlib.suppress(OSError):
                while chunk := source.recv(65536):
                    if answers:
                        time.sleep(slow.seconds)
                    drain.sendall(chunk)
            for each in (source, drain):
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    near = stack.enter_context(server.accept()[0])
                    far = stack.enter_context(socket.create_connection(("127.0.0.1", target)))
                    for pair in ((near, far, False), (far, near, True)):
                        threading.Thread(target=pump, args=pair, daemon=True).start()

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield slow
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()
