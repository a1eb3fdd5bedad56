"""Mirrors in Elasticsearch 8, by the official client.

Only core server APIs are used: no painless, no reindex, nothing that the minimal
distribution lacks.
"""

from __future__ import annotations

import logging
from typing import Any

import elastic_transport
import elasticsearch
from elastic_transport.client_utils import url_to_node_config

from nefertari_search_tween.backends.connection import (
    MAX_NODE_PAUSE_SECONDS,
    MIN_NODE_PAUSE_SECONDS,
    SNIFF_TIMEOUT_SECONDS,
    Connection,
    WarningFilter,
)
from nefertari_search_tween.backends.product import ELASTICSEARCH
from nefertari_search_tween.backends.rest import Request, quoted
from nefertari_search_tween.backends.server import ServerBackend
from nefertari_search_tween.exceptions import (
    BackendTimeout,
    BackendUnavailable,
    BackendUntrusted,
    UnsupportedServer,
)

MAX_TIMEOUTS = 10
ACCEPT = {"accept": "application/json"}
JSON = {"content-type": "application/json", **ACCEPT}
# With a traceback for each attempt to reach a node that is down, these flood the log of an
# application for as long as the server is away; the circuit breaker logs it once.
_warnings = WarningFilter("has failed for", "Retrying request after", "error during sniffing")


class ElasticsearchBackend(ServerBackend):
    """See :class:`~nefertari_search_tween.backends.server.ServerBackend`."""

    name = "elasticsearch"
    product = ELASTICSEARCH

    def __init__(self, connection: Connection) -> None:
        for part in ("node_pool", "transport"):
            logging.getLogger(f"elastic_transport.{part}").addFilter(_warnings)
        super().__init__(connection)

    def _make_client(self) -> elasticsearch.Elasticsearch:
        connection = self.connection
        # The client has one time-out for all requests; copies of it have others.
        self._by_timeout: dict[float, elasticsearch.Elasticsearch] = {}
        return elasticsearch.Elasticsearch(
            # The client's own credentials are not sent by the requests that look for nodes.
            [
                url_to_node_config(url).replace(headers=connection.headers)
                for url in connection.hosts
            ],
            sniff_on_node_failure=connection.sniff,
            sniff_timeout=SNIFF_TIMEOUT_SECONDS if connection.sniff else None,
            request_timeout=connection.search_timeout,
            http_compress=connection.compress,
            max_retries=connection.retries,
            retry_on_timeout=connection.retry_on_timeout,
            dead_node_backoff_factor=MIN_NODE_PAUSE_SECONDS,
            max_dead_node_backoff=MAX_NODE_PAUSE_SECONDS,
            **connection.tls_options,
        )

    def _pools(self) -> list[Any]:
        return [node.pool for node in self.client.transport.node_pool.all()]

    def _send(self, request: Request) -> Any:
        client = self._by_timeout.get(request.timeout)
        if client is None:
            client = self.client.options(request_timeout=request.timeout)
            if len(self._by_timeout) < MAX_TIMEOUTS:
                # Those of settings come again, those of what remains of a deadline do not.
                self._by_timeout[request.timeout] = client
        try:
            return client.perform_request(
                request.method,
                request.path,
                params=request.params,
                body=request.body,
                headers={**(ACCEPT if request.body is None else JSON), **request.headers},
            ).body
        except elastic_transport.ConnectionTimeout as error:
            raise BackendTimeout(str(error)) from error
        except elastic_transport.TlsError as error:
            raise BackendUntrusted(str(error)) from error
        except elastic_transport.TransportError as error:
            raise BackendUnavailable(str(error)) from error
        except elasticsearch.UnsupportedProductError as error:
            # Its root says which one it is, other responses do not.
            self._require_product(error.body)
            raise UnsupportedServer(
                f"{', '.join(self.connection.hosts)} is no Elasticsearch"
            ) from error
        except elasticsearch.ApiError as error:
            raise self._failure(error.meta.status, error.body, str(error)) from error

    def _find_nodes(self) -> None:
        # The client ignores a response that is an error: this user may not ask for nodes.
        self._send(Request("GET", "/_nodes/_all/http", None, SNIFF_TIMEOUT_SECONDS, {}, {}))
        self.client.transport.sniff(False)

    def _open_point_in_time(self, index: str, keep_alive: str) -> str:
        path = f"/{quoted(index)}/_pit"
        return str(self._request("POST", path, params={"keep_alive": keep_alive})["id"])

    def _close_point_in_time(self, pit_id: str) -> None:
        self._request("DELETE", "/_pit", {"id": pit_id})
