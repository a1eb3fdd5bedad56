"""How a search server is reached: what the two clients are built from."""

from __future__ import annotations

import base64
import logging
from dataclasses import dataclass, field
from queue import LifoQueue
from typing import Any, Optional

# A node that failed is left alone for a second, then for twice as long at each failure.
MIN_NODE_PAUSE_SECONDS = 1
MAX_NODE_PAUSE_SECONDS = 30
SNIFF_TIMEOUT_SECONDS = 1.0


@dataclass(frozen=True)
class Connection:
    """The addresses of a server and all that its client needs to know.

    :param hosts: URLs of the nodes, all ``http`` or all ``https``.
    :param search_timeout: seconds to wait for the response to a search.
    :param write_timeout: seconds that a bulk or the creation of an index may take.
    :param sniff: find the other nodes of the cluster, after the first response and after a fault.
    :param api_key: as the server issued it ("encoded"); Elasticsearch only.
    :param basic_auth: user and password.
    :param ca_certs: file of the certificates that sign the server's; None: the system's.
    :param verify_certs: False trusts any server.
    :param compress: send requests compressed and ask for compressed responses.
    :param retries: how often a failed request is retried, on another node if there is one.
    :param retry_on_timeout: retry after a time-out, too: the caller may then wait for
        (retries + 1) times the time-out.
    """

    hosts: tuple[str, ...]
    search_timeout: float = 5.0
    write_timeout: float = 60.0
    sniff: bool = False
    # No repr: an object of this class may end up in a traceback.
    api_key: Optional[str] = field(default=None, repr=False)
    basic_auth: Optional[tuple[str, str]] = field(default=None, repr=False)
    ca_certs: Optional[str] = None
    verify_certs: bool = True
    compress: bool = False
    retries: int = 1
    retry_on_timeout: bool = False

    @property
    def secure(self) -> bool:
        return self.hosts[0].startswith("https:")

    @property
    def tls_options(self) -> dict[str, Any]:
        """The options of TLS, which both clients call the same; empty without TLS."""
        if not self.secure:
            return {}
        options: dict[str, Any] = {"verify_certs": self.verify_certs, "ssl_show_warn": False}
        if self.verify_certs and self.ca_certs is not None:
            options["ca_certs"] = self.ca_certs
        return options

    @property
    def headers(self) -> dict[str, str]:
        """The headers of every request, those that look for nodes included."""
        if self.api_key is not None:
            return {"authorization": f"ApiKey {self.api_key}"}
        if self.basic_auth is not None:
            # As both servers read it; the clients themselves would write Latin-1.
            text = ":".join(self.basic_auth).encode("utf-8")
            return {"authorization": "Basic " + base64.b64encode(text).decode("ascii")}
        return {}

    @property
    def credentials(self) -> str:
        """The setting that holds the credentials in use, for messages."""
        if self.api_key is not None:
            return "elasticsearch.api_key"
        return "elasticsearch.basic_auth"

    def denial(self, status: int) -> str:
        """Return the message for a response of *status* 401 or 403."""
        if status == 403:
            return f"the search server does not allow this (see {self.credentials})"
        if self.api_key is None and self.basic_auth is None:
            return (
                "the search server asks for credentials: set elasticsearch.basic_auth or "
                "elasticsearch.api_key"
            )
        return f"the search server does not accept {self.credentials}"


#: What to do about an index that is blocked.
BLOCKED = (
    "the search server has a block, which is no matter of credentials: take back the setting that "
    "the error means (index.blocks.* of an index, cluster.blocks.* of the cluster; a full disk "
    "sets index.blocks.read_only_allow_delete until there is space again)"
)


class WarningFilter(logging.Filter):
    """Drops a client's warnings about failures that are raised as exceptions anyway.

    :param texts: a warning whose message holds one of them is dropped.
    """

    def __init__(self, *texts: str) -> None:
        super().__init__()
        self.texts = texts

    def filter(self, record: logging.LogRecord) -> bool:
        message = str(record.msg)
        return record.levelno != logging.WARNING or not any(text in message for text in self.texts)


def close_pooled(queue: LifoQueue[Any]) -> None:
    """Close the sockets in *queue*, that of a urllib3 pool, without waiting for its lock.

    A thread of the parent may hold that lock, and even the end of the pool would wait for it. What
    is closed in a child stays open in its parent.
    """
    LifoQueue.__init__(queue, queue.maxsize)
    for _ in range(queue.maxsize):
        queue.put(None)
