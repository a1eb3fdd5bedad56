"""A backend that is a server: what Elasticsearch and OpenSearch have in common."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Callable, Optional, TypeVar

from nefertari_search_tween.backends import analysis, rest
from nefertari_search_tween.backends.base import (
    BulkAction,
    BulkItemResult,
    ConditionalWrite,
    IndexEntry,
    SearchActivity,
    StoredDocument,
    Write,
    WriteResult,
    chunks,
)
from nefertari_search_tween.backends.connection import BLOCKED, Connection, close_pooled
from nefertari_search_tween.backends.product import conflict
from nefertari_search_tween.backends.rest import Request, quoted
from nefertari_search_tween.concurrency.forks import PerProcess
from nefertari_search_tween.exceptions import (
    BackendBlocked,
    BackendDenied,
    BackendError,
    BackendRejected,
    BackendTimeout,
    BackendUnavailable,
    IndexMissing,
    UnsupportedServer,
)

log = logging.getLogger(__name__)

PING_TIMEOUT_SECONDS = 1.0
# How soon a search for nodes that failed is repeated.
SNIFF_PAUSE_SECONDS = 10.0
HTTP_TOO_LONG = 413
# Of so many documents that were written last, the greatest version is looked for.
LATEST_WRITES = 100
NDJSON = {"content-type": "application/x-ndjson"}

Decoded = TypeVar("Decoded")


class ServerBackend(PerProcess):
    """See :class:`~nefertari_search_tween.backends.base.Backend`.

    A subclass defines how its client is made and sends one request (:meth:`_send`), how it finds
    nodes, and how its server keeps a point in time.

    :param connection: the addresses of the server, and how it is reached.
    :cvar product: what it works with; see :mod:`~nefertari_search_tween.backends.product`.
    """

    name = "server"
    product = directory = ""
    backfill_chunks = 1

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.timeout = connection.search_timeout
        self._supported = False
        self._to_sniff = connection.sniff
        self._next_sniff = 0.0
        self._sniffing = threading.Lock()
        self.client = self._make_client()
        self.watch_forks()

    def after_fork_in_child(self) -> None:
        for pool in self._pools():
            close_pooled(pool.pool)
        self._sniffing = threading.Lock()
        self._to_sniff = self.connection.sniff
        # The same object: applications have it as ES.api.
        self.client.__dict__.update(self._make_client().__dict__)

    # What a subclass defines

    def _make_client(self) -> Any:
        """Return the client; each process has one."""
        raise NotImplementedError

    def _pools(self) -> list[Any]:
        """Return the urllib3 pools of the client."""
        raise NotImplementedError

    def _send(self, request: Request) -> Any:
        """Send one request and return the JSON of its response.

        :raises BackendError: every failure, translated.
        """
        raise NotImplementedError

    def _find_nodes(self) -> None:
        """Ask the cluster for its nodes; after any exception it is retried later."""
        raise NotImplementedError

    def _open_point_in_time(self, index: str, keep_alive: str) -> str:
        raise NotImplementedError

    def _close_point_in_time(self, pit_id: str) -> None:
        raise NotImplementedError

    # The server

    def require_supported(self, timeout: Optional[float] = None) -> None:
        if self._supported:
            return
        try:
            about = self._request("GET", "/", timeout=timeout)
        except BackendDenied as error:
            if error.asks_for_credentials:
                raise
            # To ask takes a privilege on the cluster, which users of applications need not have.
            about = None
        except BackendRejected as error:
            about = error.details
        self._require_product(about)
        self._supported = True

    def _require_product(self, about: Any) -> None:
        """Return unless a server that says *about* itself at its root is another product.

        :raises UnsupportedServer: it is.
        """
        problem = conflict(self.product, about)
        if problem is not None:
            raise UnsupportedServer(f"{', '.join(self.connection.hosts)} is {problem}")

    # Indices

    def location(self) -> Any:
        return None

    def create_index(
        self, name: str, mappings: dict[str, Any], settings: dict[str, Any], aliases: Iterable[str]
    ) -> None:
        body = {
            "mappings": mappings,
            "settings": settings,
            "aliases": {alias: {} for alias in aliases},
        }
        self._write("PUT", f"/{quoted(name)}", body)

    def delete_index(self, name: str) -> None:
        self._write("DELETE", f"/{quoted(name)}", params={"ignore_unavailable": "true"})

    def indices(self, pattern: str) -> dict[str, set[str]]:
        return {name: entry.aliases for name, entry in self.entries(pattern).items()}

    def entries(self, pattern: str) -> dict[str, IndexEntry]:
        # An index of which nothing remains would be left out: each has a number of shards.
        parts = "*.aliases,*.mappings._meta,*.settings.index.number_of_shards"
        params = {"filter_path": parts}
        if "*" in pattern:
            # Not for names: those that the user may not see would count as missing, too.
            params["ignore_unavailable"] = "true"
        try:
            response = self._request("GET", f"/{quoted(pattern)}", params=params)
        except IndexMissing:
            return {}
        return rest.index_entries(response)

    def latest_version(self, index: str) -> int:
        # Each shard counts its own writes: the last of one may have a smaller number.
        body = {
            "size": LATEST_WRITES,
            "sort": [{"_seq_no": {"order": "desc"}}],
            "version": True,
            "_source": False,
            "track_total_hits": False,
        }
        hits = self.search(index, body)["hits"]["hits"]
        return max((int(hit["_version"]) for hit in hits), default=0)

    def search_activity(self, index: str) -> SearchActivity:
        return rest.search_activity(self._request("GET", f"/{quoted(index)}/_stats/search"))

    def swap_alias(self, alias: str, index: str) -> set[str]:
        # Whatever their names are.
        current = {name for name, aliases in self.indices(alias).items() if alias in aliases}
        actions: list[dict[str, Any]] = [
            {"remove": {"index": name, "alias": alias}} for name in sorted(current - {index})
        ]
        actions.append({"add": {"index": index, "alias": alias}})
        self._write("POST", "/_aliases", {"actions": actions})
        return current - {index}

    def get_mapping(self, name: str) -> Optional[dict[str, Any]]:
        try:
            response = self._request("GET", f"/{quoted(name)}/_mapping")
        except IndexMissing:
            return None
        if len(response) != 1:
            raise BackendRejected(409, f"{name} refers to {sorted(response)}: one index expected")
        (entry,) = response.values()
        return dict(entry["mappings"])

    def put_mapping(self, index: str, mappings: dict[str, Any]) -> None:
        body = {key: mappings[key] for key in ("properties", "_meta") if key in mappings}
        self._write("PUT", f"/{quoted(index)}/_mapping", body)

    def put_settings(self, index: str, settings: dict[str, Any]) -> None:
        self._write("PUT", f"/{quoted(index)}/_settings", settings)

    def refresh(self, index: str) -> None:
        self._request("POST", f"/{quoted(index)}/_refresh")

    def unknown_analyzers(self, names: Iterable[str], settings: dict[str, Any]) -> dict[str, str]:
        unknown = {}
        for name in names:
            body = analysis.probe_body(settings, name)
            if body is None:
                continue
            try:
                self._request("POST", "/_analyze", {**body, "text": ""})
            except BackendDenied as error:
                # That says nothing about the analyzer; creating the index will check it.
                log.info("the analyzer '%s' was not checked: %s", name, error)
            except BackendRejected as error:
                unknown[name] = error.reason
        return unknown

    # Documents

    def bulk(
        self, actions: Iterable[BulkAction], chunk_size: int, timeout: Optional[float] = None
    ) -> Iterator[BulkItemResult]:
        return self._bulk(actions, chunk_size, timeout, rest.VERSIONED)

    def write(
        self, writes: Iterable[ConditionalWrite], chunk_size: int, timeout: Optional[float] = None
    ) -> Iterator[WriteResult]:
        return self._bulk(writes, chunk_size, timeout, rest.CONDITIONAL)

    def _bulk(
        self,
        writes: Iterable[Write],
        chunk_size: int,
        timeout: Optional[float],
        form: rest.BulkForm[Write, rest.Result],
    ) -> Iterator[rest.Result]:
        seconds = self.connection.write_timeout if timeout is None else timeout
        for chunk in chunks(writes, chunk_size):
            error = rest.too_long_error(chunk[0].body)
            if error is not None:
                yield form.result(chunk[0], HTTP_TOO_LONG, error)
                continue
            response = self._request("POST", form.path, form.body(chunk), seconds, headers=NDJSON)
            for result in form.results(chunk, response):
                if (denial := self._denial(result.status, result.error)) is not None:
                    # Not the document's fault: it stays to be written once that is allowed.
                    raise denial
                yield result

    def get_realtime(self, index: str, ids: Iterable[str]) -> dict[str, Optional[StoredDocument]]:
        return self._multi_get(index, ids, rest.stored_documents)

    def search(
        self, index: str, body: dict[str, Any], timeout: Optional[float] = None
    ) -> dict[str, Any]:
        limited = self._limited(body, timeout)
        response = self._request("POST", f"/{quoted(index)}/_search", limited, timeout)
        return rest.require_complete(response)

    def multi_search(
        self, searches: Sequence[tuple[str, dict[str, Any]]], timeout: Optional[float] = None
    ) -> list[dict[str, Any]]:
        if not searches:
            return []
        limited = [(index, self._limited(each, timeout)) for index, each in searches]
        body = rest.multi_search_body(limited)
        response = self._request("POST", "/_msearch", body, timeout, headers=NDJSON)
        results = []
        for each in rest.responses(response, len(searches)):
            if "error" in each:
                raise self._failure(each.get("status", 500), each, str(each["error"]))
            results.append(rest.require_complete(each))
        return results

    def multi_get(self, index: str, ids: Iterable[str]) -> dict[str, Optional[dict[str, Any]]]:
        return self._multi_get(index, ids, rest.sources)

    def _multi_get(
        self, index: str, ids: Iterable[str], decode: Callable[[Any], dict[str, Decoded]]
    ) -> dict[str, Decoded]:
        keys = list(ids)
        if not keys:
            return {}
        return decode(self._request("POST", f"/{quoted(index)}/_mget", {"ids": keys}))

    def scan(
        self, index: str, body: dict[str, Any], chunk_size: int, timeout: Optional[float] = None
    ) -> Iterator[list[dict[str, Any]]]:
        deadline = None if timeout is None else time.monotonic() + timeout

        def search(page: dict[str, Any]) -> Any:
            if deadline is None:
                return self._request("POST", "/_search", page)
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise BackendTimeout(f"the scan took longer than {timeout:g} seconds")
            limited = self._limited(page, remaining)
            return self._request("POST", "/_search", limited, remaining)

        keep_alive = rest.POINT_IN_TIME_KEEP_ALIVE
        pit = {"id": self._open_point_in_time(index, keep_alive), "keep_alive": keep_alive}
        try:
            yield from rest.pages(search, pit, body, chunk_size)
        finally:
            try:
                self._close_point_in_time(pit["id"])
            except BackendError as error:
                # The server closes it after its keep-alive; the caller's result is valid.
                log.info("a point in time was not closed: %s", error)

    def ping(self) -> bool:
        try:
            self.require_supported(PING_TIMEOUT_SECONDS)
            self._request("GET", "/_cluster/health", timeout=PING_TIMEOUT_SECONDS)
        except BackendDenied:
            # It responds: users of applications often may not see the cluster's health.
            return True
        except BackendError:
            return False
        return True

    # Requests

    _highlight_limit = "max_analyzed_offset"

    def _limited(self, body: dict[str, Any], timeout: Optional[float]) -> dict[str, Any]:
        seconds = self.timeout if timeout is None else timeout
        return rest.limited(body, seconds, self._highlight_limit)

    def _write(
        self, method: str, path: str, body: Any = None, params: Optional[dict[str, str]] = None
    ) -> Any:
        return self._request(method, path, body, self.connection.write_timeout, params)

    def _request(
        self,
        method: str,
        path: str,
        body: Any = None,
        timeout: Optional[float] = None,
        params: Optional[dict[str, str]] = None,
        headers: Optional[dict[str, str]] = None,
    ) -> Any:
        """Send one request and return its response; every failure is a :class:`BackendError`.

        :param timeout: seconds; None: the time-out of searches.
        """
        seconds = self.timeout if timeout is None else timeout
        try:
            response = self._send(Request(method, path, body, seconds, params or {}, headers or {}))
        except BackendUnavailable:
            # What answers next may be another server.
            self._supported = False
            raise
        if self._to_sniff:
            self._sniff()
        return response

    def _sniff(self) -> None:
        """Find the nodes, once a server has responded.

        The clients would do it when they are created: then an application could not start while
        its server is down.
        """
        if time.monotonic() < self._next_sniff or not self._sniffing.acquire(blocking=False):
            return
        try:
            self._find_nodes()
            self._to_sniff = False
        except Exception as error:  # noqa: BLE001 - the configured nodes suffice
            log.warning("the other nodes of the search cluster were not found: %s", error)
            self._next_sniff = time.monotonic() + SNIFF_PAUSE_SECONDS
        finally:
            self._sniffing.release()

    def _failure(self, status: int, details: Any, message: str) -> BackendError:
        """Return the error for a response of *status*."""
        return self._denial(status, details) or rest.failure(status, details, message)

    def _denial(self, status: int, details: Any) -> Optional[BackendDenied]:
        """Return the error for a response of *status* that denies a request, else None."""
        if rest.is_block(status, details):
            return BackendBlocked(status, details, BLOCKED)
        if status in (401, 403):
            return BackendDenied(status, details, self.connection.denial(status))
        return None
