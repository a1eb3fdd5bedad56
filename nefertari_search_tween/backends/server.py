"""A backend that is a server: what Elasticsearch and OpenSearch answer in the same way."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Optional
from urllib.parse import quote

from nefertari_search_tween.backends import analysis, rest
from nefertari_search_tween.backends.base import (
    BulkAction,
    BulkItemResult,
    ConditionalWrite,
    StoredDocument,
    WriteResult,
    chunks,
)
from nefertari_search_tween.backends.connection import Connection
from nefertari_search_tween.exceptions import (
    BackendDenied,
    BackendError,
    BackendRejected,
    IndexMissing,
)

log = logging.getLogger(__name__)

PROBE_TIMEOUT_SECONDS = 1.0
SNIFF_TIMEOUT_SECONDS = 1.0
# How soon a search for nodes that failed is tried again.
SNIFF_PAUSE_SECONDS = 10.0
HTTP_TOO_LONG = 413
NDJSON = {"content-type": "application/x-ndjson"}


class ServerBackend:
    """See :class:`~nefertari_search_tween.backends.base.Backend`.

    A subclass says how its client sends one request (:meth:`_send`), how it finds nodes, and
    how its server keeps a point in time.

    :param connection: where the server is, and how it is spoken to.
    """

    name = "server"

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.timeout = connection.search_timeout
        self._to_sniff = connection.sniff
        self._next_sniff = 0.0
        self._sniffing = threading.Lock()

    # What a subclass says

    def _send(
        self,
        method: str,
        path: str,
        body: Any,
        timeout: float,
        params: dict[str, str],
        headers: dict[str, str],
    ) -> Any:
        """One request and its JSON answer.

        :raises BackendError: every failure, translated.
        """
        raise NotImplementedError

    def _find_nodes(self) -> None:
        """Ask the cluster for its nodes; any exception means: not now."""
        raise NotImplementedError

    def _open_point_in_time(self, index: str, keep_alive: str) -> str:
        raise NotImplementedError

    def _close_point_in_time(self, identity: str) -> None:
        raise NotImplementedError

    # Indices

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
        answer = self._ask(
            "GET", f"/{quoted(pattern)}/_alias", params={"ignore_unavailable": "true"}
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
            answer = self._ask("GET", f"/{quoted(name)}/_mapping")
        except IndexMissing:
            return None
        if len(answer) != 1:
            raise BackendRejected(409, f"{name} stands for {sorted(answer)}: one index expected")
        (entry,) = answer.values()
        return dict(entry["mappings"])

    def put_mapping(self, index: str, mappings: dict[str, Any]) -> None:
        body = {key: mappings[key] for key in ("properties", "_meta") if key in mappings}
        self._write("PUT", f"/{quoted(index)}/_mapping", body)

    def put_settings(self, index: str, settings: dict[str, Any]) -> None:
        self._write("PUT", f"/{quoted(index)}/_settings", settings)

    def refresh(self, index: str) -> None:
        self._ask("POST", f"/{quoted(index)}/_refresh")

    def unknown_analyzers(self, names: Iterable[str], settings: dict[str, Any]) -> dict[str, str]:
        unknown = {}
        for name in names:
            body = analysis.trial(settings, name)
            if body is None:
                continue
            try:
                self._ask("POST", "/_analyze", {**body, "text": ""})
            except BackendDenied as error:
                # Nothing to be said against the analyzer; the creation of the index will tell.
                log.info("the analyzer '%s' was not tried: %s", name, error)
            except BackendRejected as error:
                unknown[name] = error.reason
        return unknown

    # Documents

    def bulk(
        self, actions: Iterable[BulkAction], chunk_size: int, timeout: Optional[float] = None
    ) -> Iterator[BulkItemResult]:
        seconds = self.connection.write_timeout if timeout is None else timeout
        for chunk in chunks(actions, chunk_size):
            refused = rest.too_long(chunk[0].body)
            if refused is not None:
                yield BulkItemResult(chunk[0], HTTP_TOO_LONG, refused)
                continue
            answer = self._ask(
                "POST", rest.BULK_PATH, rest.bulk_body(chunk), seconds, headers=NDJSON
            )
            for outcome in rest.outcomes(chunk, answer):
                if outcome.status in (401, 403):
                    # Not the document's fault: it is to be written when the user may.
                    raise self._denied(outcome.status, outcome.error)
                yield outcome

    def write(
        self, writes: Iterable[ConditionalWrite], chunk_size: int, timeout: Optional[float] = None
    ) -> Iterator[WriteResult]:
        seconds = self.connection.write_timeout if timeout is None else timeout
        for chunk in chunks(writes, chunk_size):
            refused = rest.too_long(chunk[0].body)
            if refused is not None:
                yield WriteResult(chunk[0], HTTP_TOO_LONG, refused, None)
                continue
            answer = self._ask(
                "POST", rest.WRITE_PATH, rest.write_body(chunk), seconds, headers=NDJSON
            )
            for written in rest.written(chunk, answer):
                if written.status in (401, 403):
                    raise self._denied(written.status, written.error)
                yield written

    def get_realtime(self, index: str, ids: Iterable[str]) -> dict[str, Optional[StoredDocument]]:
        wanted = list(ids)
        if not wanted:
            return {}
        return rest.stored(self._ask("POST", f"/{quoted(index)}/_mget", {"ids": wanted}))

    def search(
        self, index: str, body: dict[str, Any], timeout: Optional[float] = None
    ) -> dict[str, Any]:
        seconds = self.timeout if timeout is None else timeout
        # The server gives up by itself, too: a search whose caller has gone costs nothing more.
        limited = {"timeout": f"{int(seconds * 1000)}ms", **body}
        return rest.complete(self._ask("POST", f"/{quoted(index)}/_search", limited, seconds))

    def multi_search(
        self, searches: Sequence[tuple[str, dict[str, Any]]], timeout: Optional[float] = None
    ) -> list[dict[str, Any]]:
        if not searches:
            return []
        seconds = self.timeout if timeout is None else timeout
        limit = {"timeout": f"{int(seconds * 1000)}ms"}
        body = rest.searches_body([(index, {**limit, **body}) for index, body in searches])
        answer = self._ask("POST", "/_msearch", body, seconds, headers=NDJSON)
        found = []
        for each in rest.responses(answer, len(searches)):
            if "error" in each:
                raise self._failure(each.get("status", 500), each, str(each["error"]))
            found.append(rest.complete(each))
        return found

    def multi_get(self, index: str, ids: Iterable[str]) -> dict[str, Optional[dict[str, Any]]]:
        wanted = list(ids)
        if not wanted:
            return {}
        return rest.sources(self._ask("POST", f"/{quoted(index)}/_mget", {"ids": wanted}))

    def scan(
        self, index: str, body: dict[str, Any], chunk_size: int
    ) -> Iterator[list[dict[str, Any]]]:
        keep_alive = rest.POINT_IN_TIME_KEEP_ALIVE
        pit = {"id": self._open_point_in_time(index, keep_alive), "keep_alive": keep_alive}
        try:
            yield from rest.pages(
                lambda page: self._ask("POST", "/_search", page), pit, body, chunk_size
            )
        finally:
            try:
                self._close_point_in_time(pit["id"])
            except BackendError as error:
                # It ends by itself after its keep-alive; the caller's result stands.
                log.info("point in time was not closed: %s", error)

    def ping(self) -> bool:
        try:
            self._ask("GET", "/_cluster/health", timeout=PROBE_TIMEOUT_SECONDS)
        except BackendDenied:
            # An answer, too: users of applications seldom may see how the cluster is.
            return True
        except BackendError:
            return False
        return True

    # Requests

    def _write(
        self, method: str, path: str, body: Any = None, params: Optional[dict[str, str]] = None
    ) -> Any:
        return self._ask(method, path, body, self.connection.write_timeout, params)

    def _ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        timeout: Optional[float] = None,
        params: Optional[dict[str, str]] = None,
        headers: Optional[dict[str, str]] = None,
    ) -> Any:
        """One request and its answer; every failure is a :class:`BackendError`.

        :param timeout: seconds; None: what a search may take.
        """
        answer = self._send(
            method,
            path,
            body,
            self.timeout if timeout is None else timeout,
            params or {},
            headers or {},
        )
        if self._to_sniff:
            self._sniff()
        return answer

    def _sniff(self) -> None:
        """Find the nodes, once a server has answered.

        The clients would do it when they are made: then an application could not start while
        its server is down.
        """
        if time.monotonic() < self._next_sniff or not self._sniffing.acquire(blocking=False):
            return
        try:
            self._find_nodes()
            self._to_sniff = False
        except Exception as error:  # noqa: BLE001 - the nodes that are known will do
            log.warning("the other nodes of the search cluster were not found: %s", error)
            self._next_sniff = time.monotonic() + SNIFF_PAUSE_SECONDS
        finally:
            self._sniffing.release()

    def _failure(self, status: int, details: Any, message: str) -> BackendError:
        """The error that an answer of *status* stands for."""
        if status in (401, 403):
            return self._denied(status, details)
        return rest.failure(status, details, message)

    def _denied(self, status: int, details: Any) -> BackendDenied:
        return BackendDenied(status, details, self.connection.refusal(status))


def quoted(name: str) -> str:
    """Names of indices as a part of a path; ``*`` and ``,`` keep their meaning."""
    return quote(name, safe="*,")
