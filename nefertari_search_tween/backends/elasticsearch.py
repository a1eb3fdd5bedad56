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
    FIRST_REST_SECONDS,
    LONGEST_REST_SECONDS,
    Connection,
)
from nefertari_search_tween.backends.server import (
    SNIFF_TIMEOUT_SECONDS,
    ServerBackend,
    quoted,
)
from nefertari_search_tween.exceptions import (
    BackendTimeout,
    BackendUnavailable,
    BackendUntrusted,
)

ACCEPT = {"accept": "application/json"}
JSON = {"content-type": "application/json", **ACCEPT}


class _OnceIsEnough(logging.Filter):
    """Keeps the client from logging every attempt to reach a node that is down.

    With a traceback each, they flood the log of an application for as long as the server is
    away; the breaker says it once (see mirror/circuit_breaker.py).
    """

    def filter(self, record: logging.LogRecord) -> bool:
        text = str(record.msg)
        return not any(
            each in text
            for each in ("has failed for", "Retrying request after", "error during sniffing")
        )


_once_is_enough = _OnceIsEnough()


class ElasticsearchBackend(ServerBackend):
    """See :class:`~nefertari_search_tween.backends.server.ServerBackend`."""

    name = "elasticsearch"

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        for part in ("node_pool", "transport"):
            logging.getLogger(f"elastic_transport.{part}").addFilter(_once_is_enough)
        options: dict[str, Any] = {}
        if connection.secure:
            options = {"verify_certs": connection.verify_certs, "ssl_show_warn": False}
            if connection.verify_certs and connection.ca_certs is not None:
                options["ca_certs"] = connection.ca_certs
        self.client = elasticsearch.Elasticsearch(
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
            dead_node_backoff_factor=FIRST_REST_SECONDS,
            max_dead_node_backoff=LONGEST_REST_SECONDS,
            **options,
        )
        # The client has one time-out for all requests; copies of it have others.
        self._by_timeout: dict[float, elasticsearch.Elasticsearch] = {}

    def _send(
        self,
        method: str,
        path: str,
        body: Any,
        timeout: float,
        params: dict[str, str],
        headers: dict[str, str],
    ) -> Any:
        client = self._by_timeout.get(timeout)
        if client is None:
            client = self.client.options(request_timeout=timeout)
            self._by_timeout[timeout] = client
        try:
            return client.perform_request(
                method,
                path,
                params=params,
                body=body,
                headers={**(ACCEPT if body is None else JSON), **headers},
            ).body
        except elastic_transport.ConnectionTimeout as error:
            raise BackendTimeout(str(error)) from error
        except elastic_transport.TlsError as error:
            raise BackendUntrusted(str(error)) from error
        except elastic_transport.TransportError as error:
            raise BackendUnavailable(str(error)) from error
        except elasticsearch.ApiError as error:
            raise self._failure(error.meta.status, error.body, str(error)) from error

    def _find_nodes(self) -> None:
        # The client passes over an answer that is an error: this user may not ask for nodes.
        self._send("GET", "/_nodes/_all/http", None, SNIFF_TIMEOUT_SECONDS, {}, {})
        self.client.transport.sniff(False)

    def _open_point_in_time(self, index: str, keep_alive: str) -> str:
        answer = self._ask("POST", f"/{quoted(index)}/_pit", params={"keep_alive": keep_alive})
        return str(answer["id"])

    def _close_point_in_time(self, identity: str) -> None:
        self._ask("DELETE", "/_pit", {"id": identity})
