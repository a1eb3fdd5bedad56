"""Mirrors in OpenSearch 2, by opensearch-py (the extra ``opensearch``)."""

from __future__ import annotations

import logging
import threading
from typing import Any

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
    ConfigurationError,
)

# The client doubles the rest of a node at each failure, this many times.
DOUBLINGS = (LONGEST_REST_SECONDS // FIRST_REST_SECONDS).bit_length() - 1
# What elasticsearch-py does by default, too: a second node may be less busy.
RETRIED_STATUSES = (429, 502, 503, 504)


class _Quiet(logging.Filter):
    """Keeps the client from logging every answer that is an error, and every dead node.

    Each becomes an exception of ours with all that was said. Many are no news at all: that an
    index is missing is what one asks for.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        text = str(record.msg)
        return record.levelno != logging.WARNING or not (
            "[status:" in text or "has failed for" in text
        )


_quiet = _Quiet()


def _transport(client: Any) -> Any:
    """The transport class of *client*, the module opensearchpy, with one thing mended.

    It lets a node rest only when it tries again. So without retries after a time-out, a node
    that is silent would get its share of all requests.
    """

    class Transport(client.Transport):
        _asked = threading.local()

        def get_connection(self) -> Any:
            self._asked.connection = super().get_connection()
            return self._asked.connection

        def perform_request(self, *args: Any, **kwargs: Any) -> Any:
            try:
                return super().perform_request(*args, **kwargs)
            except client.ConnectionTimeout:
                self.connection_pool.mark_dead(self._asked.connection)
                raise

    return Transport


class OpenSearchBackend(ServerBackend):
    """See :class:`~nefertari_search_tween.backends.server.ServerBackend`.

    :raises ConfigurationError: opensearch-py is not installed.
    """

    name = "opensearch"

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        try:
            import opensearchpy
        except ImportError as error:
            raise ConfigurationError(
                "the backend 'opensearch' needs opensearch-py: "
                "pip install 'nefertari-search-tween[opensearch]'"
            ) from error
        self._exceptions = opensearchpy.exceptions
        logging.getLogger("opensearch").addFilter(_quiet)
        options: dict[str, Any] = {}
        if connection.secure:
            # Said here and not by the hosts' URLs alone: nodes that are found have none.
            options = {
                "use_ssl": True,
                "verify_certs": connection.verify_certs,
                "ssl_show_warn": False,
            }
            if connection.verify_certs and connection.ca_certs is not None:
                options["ca_certs"] = connection.ca_certs
        self.client = opensearchpy.OpenSearch(
            list(connection.hosts),
            transport_class=_transport(opensearchpy),
            sniff_on_connection_fail=connection.sniff,
            sniff_timeout=SNIFF_TIMEOUT_SECONDS,
            timeout=connection.search_timeout,
            headers=connection.headers,
            http_compress=connection.compress,
            max_retries=connection.retries,
            retry_on_status=RETRIED_STATUSES,
            retry_on_timeout=connection.retry_on_timeout,
            dead_timeout=FIRST_REST_SECONDS,
            timeout_cutoff=DOUBLINGS,
            **options,
        )

    def _send(
        self,
        method: str,
        path: str,
        body: Any,
        timeout: float,
        params: dict[str, str],
        headers: dict[str, str],
    ) -> Any:
        try:
            return self.client.transport.perform_request(
                method, path, params=params, body=body, timeout=timeout, headers=headers
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
            raise BackendUnavailable(f"something else answered: {error}") from error

    def _find_nodes(self) -> None:
        self.client.transport.sniff_hosts()

    def _open_point_in_time(self, index: str, keep_alive: str) -> str:
        answer = self._ask(
            "POST",
            f"/{quoted(index)}/_search/point_in_time",
            params={"keep_alive": keep_alive, "allow_partial_pit_creation": "false"},
        )
        return str(answer["pit_id"])

    def _close_point_in_time(self, identity: str) -> None:
        self._ask("DELETE", "/_search/point_in_time", {"pit_id": [identity]})
