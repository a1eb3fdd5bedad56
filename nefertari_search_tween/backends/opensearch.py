"""Mirrors in OpenSearch 2, by opensearch-py (the extra ``opensearch``)."""

from __future__ import annotations

import logging
import threading
from typing import Any

from nefertari_search_tween.backends.connection import (
    MAX_NODE_PAUSE_SECONDS,
    MIN_NODE_PAUSE_SECONDS,
    SNIFF_TIMEOUT_SECONDS,
    Connection,
    WarningFilter,
)
from nefertari_search_tween.backends.product import OPENSEARCH
from nefertari_search_tween.backends.rest import Request, quoted
from nefertari_search_tween.backends.server import ServerBackend
from nefertari_search_tween.exceptions import (
    BackendTimeout,
    BackendUnavailable,
    BackendUntrusted,
    ConfigurationError,
)

# The client doubles the pause of a node at each failure, at most this many times.
DOUBLINGS = (MAX_NODE_PAUSE_SECONDS // MIN_NODE_PAUSE_SECONDS).bit_length() - 1
# What elasticsearch-py does by default, too: a second node may be less busy.
RETRIED_STATUSES = (429, 502, 503, 504)
# The client logs every response that is an error, and every dead node. Each becomes an exception
# of ours with all its details, and many are expected: a check whether an index exists, say.
_warnings = WarningFilter("[status:", "has failed for")


def _transport(client: Any) -> Any:
    """Return the transport class of *client*, the module opensearchpy, with one defect fixed.

    It marks a node as dead only when it retries. So without retries after a time-out, a silent
    node would keep getting its share of all requests.
    """

    class Transport(client.Transport):
        _last = threading.local()

        def get_connection(self) -> Any:
            self._last.connection = super().get_connection()
            return self._last.connection

        def perform_request(self, *args: Any, **kwargs: Any) -> Any:
            try:
                return super().perform_request(*args, **kwargs)
            except client.ConnectionTimeout:
                self.connection_pool.mark_dead(self._last.connection)
                raise

    return Transport


class OpenSearchBackend(ServerBackend):
    """See :class:`~nefertari_search_tween.backends.server.ServerBackend`.

    :raises ConfigurationError: opensearch-py is not installed.
    """

    name = "opensearch"
    product = OPENSEARCH
    _highlight_limit = "max_analyzer_offset"

    def __init__(self, connection: Connection) -> None:
        try:
            import opensearchpy
        except ImportError as error:
            raise ConfigurationError(
                "the backend 'opensearch' needs opensearch-py: "
                "pip install 'nefertari-search-tween[opensearch]'"
            ) from error
        self._exceptions = opensearchpy.exceptions
        self._library = opensearchpy
        logging.getLogger("opensearch").addFilter(_warnings)
        super().__init__(connection)

    def _make_client(self) -> Any:
        connection = self.connection
        return self._library.OpenSearch(
            list(connection.hosts),
            transport_class=_transport(self._library),
            sniff_on_connection_fail=connection.sniff,
            sniff_timeout=SNIFF_TIMEOUT_SECONDS,
            timeout=connection.search_timeout,
            headers=connection.headers,
            http_compress=connection.compress,
            max_retries=connection.retries,
            retry_on_status=RETRIED_STATUSES,
            retry_on_timeout=connection.retry_on_timeout,
            dead_timeout=MIN_NODE_PAUSE_SECONDS,
            timeout_cutoff=DOUBLINGS,
            # Set here and not by the hosts' URLs alone: nodes found by sniffing have none.
            use_ssl=connection.secure,
            **connection.tls_options,
        )

    def _pools(self) -> list[Any]:
        return [each.pool for each, _ in self.client.transport.connection_pool.connection_opts]

    def _send(self, request: Request) -> Any:
        try:
            return self.client.transport.perform_request(
                request.method,
                request.path,
                params=request.params,
                body=request.body,
                timeout=request.timeout,
                headers=request.headers,
            )
        except self._exceptions.ConnectionTimeout as error:
            raise BackendTimeout(str(error)) from error
        except self._exceptions.SSLError as error:
            raise BackendUntrusted(str(error)) from error
        except self._exceptions.ConnectionError as error:
            raise BackendUnavailable(str(error)) from error
        except self._exceptions.TransportError as error:
            raise self._failure(int(error.status_code), error.info, str(error)) from error
        except self._exceptions.SerializationError as error:
            raise BackendUnavailable(f"not a search server's response: {error}") from error

    def _find_nodes(self) -> None:
        self.client.transport.sniff_hosts()

    def _open_point_in_time(self, index: str, keep_alive: str) -> str:
        response = self._request(
            "POST",
            f"/{quoted(index)}/_search/point_in_time",
            params={"keep_alive": keep_alive, "allow_partial_pit_creation": "false"},
        )
        return str(response["pit_id"])

    def _close_point_in_time(self, pit_id: str) -> None:
        self._request("DELETE", "/_search/point_in_time", {"pit_id": [pit_id]})
