"""Mirrors in OpenSearch 2, by opensearch-py (the extra ``opensearch``)."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import Any, Optional
from urllib.parse import quote

from nefertari_search_tween.backends import rest
from nefertari_search_tween.backends.base import Action, Outcome
from nefertari_search_tween.exceptions import (
    BackendError,
    BackendRejected,
    BackendTimeout,
    BackendUnavailable,
    ConfigurationError,
    IndexMissing,
)

log = logging.getLogger(__name__)

NDJSON_HEADERS = {"content-type": "application/x-ndjson"}
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


class OpenSearchBackend:
    """See :class:`~nefertari_search_tween.backends.base.Backend`.

    :param hosts: URLs of the nodes.
    :param sniff: find the other nodes of the cluster at start.
    :param timeout: seconds to wait for an answer to a search.
    :raises ConfigurationError: opensearch-py is not installed.
    """

    name = "opensearch"

    def __init__(self, hosts: Iterable[str], sniff: bool = False, timeout: float = 5.0) -> None:
        try:
            import opensearchpy
        except ImportError as error:
            raise ConfigurationError(
                "the backend 'opensearch' needs opensearch-py: "
                "pip install 'nefertari-search-tween[opensearch]'"
            ) from error
        self._exceptions = opensearchpy.exceptions
        self.timeout = timeout
        logging.getLogger("opensearch").addFilter(_quiet)
        self.client = opensearchpy.OpenSearch(
            list(hosts),
            sniff_on_start=sniff,
            sniff_on_connection_fail=sniff,
            timeout=timeout,
            # As in elasticsearch.py: a second try on another node, none after a time-out.
            max_retries=1,
            retry_on_status=RETRIED_STATUSES,
            retry_on_timeout=False,
            # Our own breaker decides when to ask again (see mirror/health.py).
            dead_timeout=0,
        )

    def create_index(
        self, name: str, mappings: dict[str, Any], settings: dict[str, Any], aliases: Iterable[str]
    ) -> None:
        body = {
            "mappings": mappings,
            "settings": settings,
            "aliases": {alias: {} for alias in aliases},
        }
        self._write("PUT", f"/{_quoted(name)}", body)

    def delete_index(self, name: str) -> None:
        self._write("DELETE", f"/{_quoted(name)}", params={"ignore_unavailable": "true"})

    def indices(self, pattern: str) -> dict[str, set[str]]:
        answer = self._ask(
            "GET", f"/{_quoted(pattern)}/_alias", params={"ignore_unavailable": "true"}
        )
        return {name: set(entry["aliases"]) for name, entry in answer.items()}

    def swap_alias(self, alias: str, index: str) -> set[str]:
        current = {name for name, aliases in self.indices(f"{alias}*").items() if alias in aliases}
        actions: list[dict[str, Any]] = [
            {"remove": {"index": name, "alias": alias}} for name in sorted(current - {index})
        ]
        actions.append({"add": {"index": index, "alias": alias}})
        self._write("POST", "/_aliases", {"actions": actions})
        return current - {index}

    def get_mapping(self, name: str) -> Optional[dict[str, Any]]:
        try:
            answer = self._ask("GET", f"/{_quoted(name)}/_mapping")
        except IndexMissing:
            return None
        if len(answer) != 1:
            raise BackendRejected(409, f"{name} stands for {sorted(answer)}: one index expected")
        (entry,) = answer.values()
        return dict(entry["mappings"])

    def put_mapping(self, index: str, mappings: dict[str, Any]) -> None:
        body = {key: mappings[key] for key in ("properties", "_meta") if key in mappings}
        self._write("PUT", f"/{_quoted(index)}/_mapping", body)

    def put_settings(self, index: str, settings: dict[str, Any]) -> None:
        self._write("PUT", f"/{_quoted(index)}/_settings", settings)

    def bulk(
        self, actions: Iterable[Action], chunk_size: int, timeout: Optional[float] = None
    ) -> Iterator[Outcome]:
        seconds = rest.WRITE_TIMEOUT_SECONDS if timeout is None else timeout
        for chunk in rest.chunks(actions, chunk_size):
            refused = rest.too_long(chunk)
            if refused is not None:
                yield refused
                continue
            answer = self._ask(
                "POST", rest.BULK_PATH, rest.bulk_body(chunk), seconds, headers=NDJSON_HEADERS
            )
            yield from rest.outcomes(chunk, answer)

    def search(
        self, index: str, body: dict[str, Any], timeout: Optional[float] = None
    ) -> dict[str, Any]:
        seconds = self.timeout if timeout is None else timeout
        # The server gives up by itself, too: a search whose caller has gone costs nothing more.
        limited = {"timeout": f"{int(seconds * 1000)}ms", **body}
        return rest.complete(self._ask("POST", f"/{_quoted(index)}/_search", limited, seconds))

    def multi_get(self, index: str, ids: Iterable[str]) -> dict[str, Optional[dict[str, Any]]]:
        wanted = list(ids)
        if not wanted:
            return {}
        return rest.sources(self._ask("POST", f"/{_quoted(index)}/_mget", {"ids": wanted}))

    def scan(
        self, index: str, body: dict[str, Any], chunk_size: int
    ) -> Iterator[list[dict[str, Any]]]:
        keep_alive = rest.POINT_IN_TIME_KEEP_ALIVE
        opened = self._ask(
            "POST",
            f"/{_quoted(index)}/_search/point_in_time",
            params={"keep_alive": keep_alive, "allow_partial_pit_creation": "false"},
        )
        pit = {"id": opened["pit_id"], "keep_alive": keep_alive}
        try:
            yield from rest.pages(self._page, pit, body, chunk_size)
        finally:
            try:
                self._ask("DELETE", "/_search/point_in_time", {"pit_id": [pit["id"]]})
            except BackendError as error:
                # It ends by itself after its keep-alive; the caller's result stands.
                log.info("point in time was not closed: %s", error)

    def _page(self, body: dict[str, Any]) -> Any:
        return self._ask("POST", "/_search", body)

    def refresh(self, index: str) -> None:
        self._ask("POST", f"/{_quoted(index)}/_refresh")

    def alive(self) -> bool:
        try:
            self._ask("GET", "/_cluster/health", timeout=rest.PROBE_TIMEOUT_SECONDS)
        except BackendError:
            return False
        return True

    def _write(
        self, method: str, path: str, body: Any = None, params: Optional[dict[str, str]] = None
    ) -> Any:
        return self._ask(method, path, body, rest.WRITE_TIMEOUT_SECONDS, params)

    def _ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        timeout: Optional[float] = None,
        params: Optional[dict[str, str]] = None,
        headers: Optional[dict[str, str]] = None,
    ) -> Any:
        """One request; the client's exceptions become ours."""
        try:
            return self.client.transport.perform_request(
                method,
                path,
                params=params or {},
                body=body,
                timeout=self.timeout if timeout is None else timeout,
                headers=headers or {},
            )
        except self._exceptions.ConnectionTimeout as error:
            raise BackendTimeout(str(error)) from error
        except self._exceptions.ConnectionError as error:
            raise BackendUnavailable(str(error)) from error
        except self._exceptions.TransportError as error:
            raise rest.failure(int(error.status_code), error.info, str(error)) from error
        except self._exceptions.SerializationError as error:
            raise BackendUnavailable(f"something else answered: {error}") from error


def _quoted(name: str) -> str:
    return quote(name, safe="*,")
