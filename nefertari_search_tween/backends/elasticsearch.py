"""Mirrors in Elasticsearch 8, by the official client.

Only core server APIs are used: no painless, no reindex, nothing that the minimal
distribution lacks.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import Any, Optional

import elastic_transport
import elasticsearch

from nefertari_search_tween.backends import rest
from nefertari_search_tween.backends.base import Action, Outcome
from nefertari_search_tween.exceptions import (
    BackendError,
    BackendRejected,
    BackendTimeout,
    BackendUnavailable,
    IndexMissing,
)

log = logging.getLogger(__name__)

JSON_HEADERS = {"accept": "application/json", "content-type": "application/json"}

NDJSON_HEADERS = {"accept": "application/json", "content-type": "application/x-ndjson"}


class _OnceIsEnough(logging.Filter):
    """Keeps the client from logging every attempt to reach a node that is down.

    With a traceback each, they flood the log of an application for as long as the server is
    away; the breaker says it once (see mirror/health.py).
    """

    def filter(self, record: logging.LogRecord) -> bool:
        text = str(record.msg)
        return "has failed for" not in text and "Retrying request after failure" not in text


_once_is_enough = _OnceIsEnough()


class ElasticsearchBackend:
    """See :class:`~nefertari_search_tween.backends.base.Backend`.

    :param hosts: URLs of the nodes.
    :param sniff: find the other nodes of the cluster at start.
    :param timeout: seconds to wait for an answer to a search.
    """

    name = "elasticsearch"

    def __init__(self, hosts: Iterable[str], sniff: bool = False, timeout: float = 5.0) -> None:
        self.timeout = timeout
        for part in ("node_pool", "transport"):
            logging.getLogger(f"elastic_transport.{part}").addFilter(_once_is_enough)
        self.client = elasticsearch.Elasticsearch(
            list(hosts),
            sniff_on_start=sniff,
            sniff_on_node_failure=sniff,
            request_timeout=timeout,
            # A second try on another node; a time-out is never tried again (it would
            # double what a caller waits).
            max_retries=1,
            retry_on_timeout=False,
            # Our own breaker decides when to ask again (see mirror/health.py).
            dead_node_backoff_factor=0.0,
        )
        self._writes = self.client.options(request_timeout=rest.WRITE_TIMEOUT_SECONDS)

    def create_index(
        self, name: str, mappings: dict[str, Any], settings: dict[str, Any], aliases: Iterable[str]
    ) -> None:
        with _translated():
            self._writes.indices.create(
                index=name,
                mappings=mappings,
                settings=settings,
                aliases={alias: {} for alias in aliases},
            )

    def delete_index(self, name: str) -> None:
        with _translated():
            self._writes.indices.delete(index=name, ignore_unavailable=True)

    def indices(self, pattern: str) -> dict[str, set[str]]:
        with _translated():
            answer = self.client.indices.get_alias(index=pattern, ignore_unavailable=True)
        return {name: set(entry["aliases"]) for name, entry in answer.body.items()}

    def swap_alias(self, alias: str, index: str) -> set[str]:
        current = {name for name, aliases in self.indices(f"{alias}*").items() if alias in aliases}
        actions: list[dict[str, Any]] = [
            {"remove": {"index": name, "alias": alias}} for name in sorted(current - {index})
        ]
        actions.append({"add": {"index": index, "alias": alias}})
        with _translated():
            self._writes.indices.update_aliases(actions=actions)
        return current - {index}

    def get_mapping(self, name: str) -> Optional[dict[str, Any]]:
        try:
            with _translated():
                answer = self.client.indices.get_mapping(index=name).body
        except IndexMissing:
            return None
        if len(answer) != 1:
            raise BackendRejected(409, f"{name} stands for {sorted(answer)}: one index expected")
        (entry,) = answer.values()
        return dict(entry["mappings"])

    def put_mapping(self, index: str, mappings: dict[str, Any]) -> None:
        with _translated():
            self._writes.indices.put_mapping(
                index=index,
                properties=mappings.get("properties"),
                meta=mappings.get("_meta"),
            )

    def put_settings(self, index: str, settings: dict[str, Any]) -> None:
        with _translated():
            self._writes.indices.put_settings(index=index, settings=settings)

    def bulk(
        self, actions: Iterable[Action], chunk_size: int, timeout: Optional[float] = None
    ) -> Iterator[Outcome]:
        client = self._writes if timeout is None else self.client.options(request_timeout=timeout)
        for chunk in rest.chunks(actions, chunk_size):
            refused = rest.too_long(chunk)
            if refused is not None:
                yield refused
                continue
            with _translated():
                answer = client.perform_request(
                    "POST", rest.BULK_PATH, headers=NDJSON_HEADERS, body=rest.bulk_body(chunk)
                ).body
            yield from rest.outcomes(chunk, answer)

    def search(
        self, index: str, body: dict[str, Any], timeout: Optional[float] = None
    ) -> dict[str, Any]:
        seconds = self.timeout if timeout is None else timeout
        client = self.client if timeout is None else self.client.options(request_timeout=timeout)
        # The server gives up by itself, too: a search whose caller has gone costs nothing more.
        limited = {"timeout": f"{int(seconds * 1000)}ms", **body}
        with _translated():
            answer = client.perform_request(
                "POST", f"/{index}/_search", headers=JSON_HEADERS, body=limited
            ).body
        return rest.complete(answer)

    def multi_get(self, index: str, ids: Iterable[str]) -> dict[str, Optional[dict[str, Any]]]:
        wanted = list(ids)
        if not wanted:
            return {}
        with _translated():
            answer = self.client.mget(index=index, ids=wanted)
        return rest.sources(answer.body)

    def scan(
        self, index: str, body: dict[str, Any], chunk_size: int
    ) -> Iterator[list[dict[str, Any]]]:
        keep_alive = rest.POINT_IN_TIME_KEEP_ALIVE
        with _translated():
            opened = self.client.open_point_in_time(index=index, keep_alive=keep_alive)
        pit = {"id": opened["id"], "keep_alive": keep_alive}
        try:
            yield from rest.pages(self._page, pit, body, chunk_size)
        finally:
            try:
                with _translated():
                    self.client.close_point_in_time(id=pit["id"])
            except BackendError as error:
                # It ends by itself after its keep-alive; the caller's result stands.
                log.info("point in time was not closed: %s", error)

    def _page(self, body: dict[str, Any]) -> Any:
        with _translated():
            return self.client.perform_request(
                "POST", "/_search", headers=JSON_HEADERS, body=body
            ).body

    def refresh(self, index: str) -> None:
        with _translated():
            self.client.indices.refresh(index=index)

    def alive(self) -> bool:
        try:
            with _translated():
                self.client.options(request_timeout=rest.PROBE_TIMEOUT_SECONDS).cluster.health()
        except BackendError:
            return False
        return True


class _translated:
    """Context manager: the client's exceptions become ours."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        if isinstance(error, elastic_transport.ConnectionTimeout):
            raise BackendTimeout(str(error)) from error
        if isinstance(error, elastic_transport.TransportError):
            raise BackendUnavailable(str(error)) from error
        if isinstance(error, elasticsearch.ApiError):
            raise rest.failure(error.meta.status, error.body, str(error)) from error
