"""The indices of the backend that store this engine's documents, used as a database.

* A write is applied only if the document is unchanged since it was read (see
  ``ConditionalWrite`` in backends/base.py). When it returns, the backend has it on disk.
* A read by key sees the last write. A search refreshes the index first, so that it sees every
  write that any process acknowledged before it began.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Optional

from nefertari_search_tween.backends import make_backend
from nefertari_search_tween.backends.base import (
    ConditionalWrite,
    SequenceVersion,
    StoredDocument,
    WriteResult,
)
from nefertari_search_tween.backoff import Backoff
from nefertari_search_tween.concurrency.forks import PerProcess
from nefertari_search_tween.documents.format import PACKED
from nefertari_search_tween.engine import model_registry
from nefertari_search_tween.exceptions import (
    BackendDenied,
    BackendError,
    BackendRejected,
    BackendTimeout,
    BackendUnavailable,
    ConfigurationError,
    IndexMissing,
    Reason,
    SearchTimeout,
    SearchUnavailable,
    UnsupportedServer,
)
from nefertari_search_tween.interfaces.identity import Identity
from nefertari_search_tween.mirror.identity import (
    DATABASE,
    MODEL,
    conflict,
    is_current,
)
from nefertari_search_tween.mirror.mapping import digest
from nefertari_search_tween.mirror.mirror import Mirror, write_alias
from nefertari_search_tween.mirror.registry import MirrorRegistry
from nefertari_search_tween.settings.settings import Settings

log = logging.getLogger(__name__)

ALREADY_EXISTS = "resource_already_exists_exception"
#: name of the index of counters and reservations; no model's name has a hyphen in it
KEYS = "engine-keys"
# How often a counter is tried, while other callers get numbers, before the caller has to wait.
MAX_COUNTER_ATTEMPTS = 200
SCAN_CHUNK = 500
#: What indices remember as their database: they are it themselves, so there is nothing else that
#: two applications could be told apart by, but mirrors of other databases are.
IDENTIFIER = "nefertari_search_tween.engine"
# Pauses of those that compete for a document: random, so that one of them comes first.
FIRST_PAUSE_SECONDS = 0.001
MAX_PAUSE_SECONDS = 0.05


class Database(PerProcess):
    """The documents of one application.

    :param settings: the application's.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.backend = make_backend(*settings.backend, settings.connection)
        self.mirrors = MirrorRegistry(
            self.backend,
            settings.index_name,
            settings.index_settings,
            settings.model_index_settings,
        )
        self.mirrors.identify(Identity(IDENTIFIER, "", settings.where))
        self.chunk_size = settings.chunk_size
        self._lock = threading.RLock()
        self._indices: dict[str, tuple[Any, Mirror, str]] = {}
        self._keys: Optional[str] = None
        self.watch_forks()

    def after_fork_in_child(self) -> None:
        # The indices that are known exist for all processes. The lock is held during requests.
        self._lock = threading.RLock()

    # Indices

    def prepare(self) -> None:
        """Create the missing indices of all models.

        :raises ConfigurationError: an index exists and does not fit its model.
        """
        try:
            for model in model_registry.models().values():
                self._aliases(model)
            self._prepare_keys()
        except (SearchUnavailable, SearchTimeout) as error:
            if isinstance(error.__cause__, UnsupportedServer):
                raise ConfigurationError(f"elasticsearch.hosts: {error.__cause__}") from error
            log.warning("the database could not be checked: %s", error.__cause__ or error)

    def mirror(self, model: Any) -> Mirror:
        """Return the mirror of *model* without a request to the backend."""
        with self._lock:
            mirror = self.mirrors.get(model.__name__)
            if mirror is None or mirror.document_cls is not model:
                mirror = self.mirrors.add(model, model, None)  # type: ignore[arg-type]
                mirror.mapping["properties"][PACKED] = {"type": "object", "enabled": False}
                meta = mirror.mapping["_meta"]
                meta["fingerprint"] = digest([meta["fingerprint"], PACKED])
                mirror.fingerprint = meta["fingerprint"]
            return mirror

    def _aliases(self, model: Any) -> tuple[str, str]:
        """Return the aliases to read and to write *model*; create its index if it is missing."""
        cached = self._indices.get(model.__name__)
        if cached is None or cached[0] is not model:
            with self._lock, self.available():
                mirror = self.mirror(model)
                name = f"{mirror.alias}-000001"
                self._make(mirror, name)
                cached = (model, mirror, write_alias(name))
                self._indices[model.__name__] = cached
        return cached[1].alias, cached[2]

    def _make(self, mirror: Mirror, name: str) -> None:
        mapping = self.backend.get_mapping(mirror.alias)
        if mapping is None:
            with _unless_another_was_faster():
                self.mirrors.create(mirror, name, live=True)
            mapping = self.backend.get_mapping(mirror.alias)
        if mapping is None:
            raise ConfigurationError(
                f"the index {name} exists, but is not reached as {mirror.alias}"
            )
        meta = mapping.get("_meta", {})
        if MODEL not in meta:
            # Perhaps not an index of this package: then its name may be in the way.
            self.mirrors.indices_of(mirror)
        self._require_own(name, mirror.mapping["_meta"], meta)
        if meta.get("fingerprint") != mirror.fingerprint or not is_current(
            mirror.mapping["_meta"], meta
        ):
            try:
                self.backend.put_mapping(name, mirror.mapping)
            except BackendRejected as error:
                raise ConfigurationError(
                    f"the index {name} holds documents of {mirror.name} as it was declared "
                    f"before, and {self.backend.name} can't add what is new: {error.reason}"
                ) from error
            if meta.get("fingerprint") != mirror.fingerprint:
                log.warning("fields were added to the index of %s", mirror.name)
        mirror.check()

    def _require_own(self, name: str, own: dict[str, Any], meta: dict[str, Any]) -> None:
        """Return if the index *name* with this ``_meta`` is no mirror of another database."""
        problem = conflict(own, meta)
        if problem is not None:
            raise ConfigurationError(f"the index {name} {problem}")

    def _prepare_keys(self) -> str:
        if self._keys is None:
            with self._lock, self.available():
                alias = f"{self.mirrors.prefix}-{KEYS}"
                name = f"{alias}-000001"
                meta = {MODEL: KEYS, DATABASE: self.mirrors.database}
                mapping = self.backend.get_mapping(alias)
                if mapping is not None:
                    self._require_own(name, meta, mapping.get("_meta", {}))
                else:
                    with _unless_another_was_faster():
                        self.backend.create_index(
                            name,
                            {"dynamic": False, "properties": {}, "_meta": meta},
                            self.mirrors.index_settings,
                            [alias, write_alias(name)],
                        )
                self._keys = alias
        return self._keys

    # Documents

    def stored(self, model: Any, ids: Iterable[str]) -> dict[str, Optional[StoredDocument]]:
        """Return the documents of *model* with these ids, as of the last write."""
        alias, _ = self._aliases(model)
        with self.available(model):
            return self.backend.get_realtime(alias, ids)

    def write(
        self, model: Any, writes: Iterable[tuple[str, Optional[bytes], Optional[SequenceVersion]]]
    ) -> list[WriteResult]:
        """Apply writes of *model*: id, body (None deletes) and the version that is expected."""
        _, alias = self._aliases(model)
        conditional = [ConditionalWrite(alias, *each) for each in writes]
        with self.available(model):
            written = list(self.backend.write(conditional, self.chunk_size))
        if any(each.target_missing for each in written):
            self._indices.pop(model.__name__, None)
            raise SearchUnavailable(Reason.NO_INDEX, f"The index of {model.__name__} is missing.")
        return written

    def refresh(self, model: Any) -> None:
        """Make every acknowledged write visible to searches."""
        alias, _ = self._aliases(model)
        with self.available(model):
            self.backend.refresh(alias)

    def search(self, model: Any, body: dict[str, Any]) -> dict[str, Any]:
        """Search *model*; the search sees every write that was acknowledged before."""
        alias, _ = self._aliases(model)
        with self.available(model):
            self.backend.refresh(alias)
            return self.backend.search(alias, body)

    def searches(self, searches: list[tuple[Any, dict[str, Any]]]) -> list[dict[str, Any]]:
        """Run searches of models, given with their bodies, in one request."""
        if len(searches) == 1:
            return [self.search(*searches[0])]
        for model in dict.fromkeys(model for model, _ in searches):
            self.refresh(model)
        places = [(self._aliases(model)[0], body) for model, body in searches]
        with self.available():
            return self.backend.multi_search(places)

    def scan(self, model: Any, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield all hits of *body* as of one point in time."""
        alias, _ = self._aliases(model)
        with self.available(model):
            self.backend.refresh(alias)
            for chunk in self.backend.scan(alias, body, SCAN_CHUNK):
                yield from chunk

    # Counters and reservations

    def key(self, identity: str) -> Optional[StoredDocument]:
        """Return one document of the index of keys, None if it does not exist."""
        alias = self._prepare_keys()
        with self.available():
            return self.backend.get_realtime(alias, [identity])[identity]

    def write_key(
        self, identity: str, body: Optional[bytes], expected: Optional[SequenceVersion]
    ) -> Optional[SequenceVersion]:
        """Write one document of the index of keys.

        :returns: its new version; None if its version is not the expected one.
        """
        alias = write_alias(f"{self._prepare_keys()}-000001")
        with self.available():
            (written,) = self.backend.write([ConditionalWrite(alias, identity, body, expected)], 1)
        if written.version is None and not written.conflict:
            if written.target_missing:
                self._keys = None
                raise SearchUnavailable(Reason.NO_INDEX, "The index of keys is missing.")
            raise BackendRejected(written.status, written.error)
        return written.version

    def next_id(self, model: Any) -> int:
        """Return a number that no other caller gets for *model*, larger than those before.

        :raises SearchUnavailable: too many callers ask at the same time.
        """
        identity = f"counter:{model.__name__}"
        for _ in attempts(MAX_COUNTER_ATTEMPTS):
            counter = self.key(identity)
            number = 1 if counter is None else int(counter.source["last"]) + 1
            body = b'{"last": %d}' % number
            if self.write_key(identity, body, None if counter is None else counter.version):
                return number
        raise SearchUnavailable(Reason.BUSY, f"Too many documents of {model.__name__} are created.")

    # Faults

    @contextmanager
    def available(self, model: Any = None) -> Iterator[None]:
        """Translate failures of the backend into HTTP errors."""
        breaker = self.mirrors.breaker
        breaker.check()
        try:
            yield
        except IndexMissing as error:
            if model is not None:
                self._indices.pop(model.__name__, None)
            raise SearchUnavailable(
                Reason.NO_INDEX, f"An index of the database is missing: {error}"
            ) from error
        except BackendTimeout as error:
            if not self.backend.ping():
                breaker.record_failure(error)
            raise SearchTimeout("The database did not answer in time.") from error
        except BackendUnavailable as error:
            breaker.record_failure(error)
            raise SearchUnavailable(Reason.UNAVAILABLE, "The database does not answer.") from error
        except BackendDenied as error:
            breaker.record_denied(error)
            raise SearchUnavailable(Reason.DENIED, "The database does not allow this.") from error
        except BackendRejected:
            breaker.record_response()
            raise
        except BackendError as error:
            raise SearchUnavailable(Reason.UNAVAILABLE, str(error)) from error


def attempts(count: int) -> Iterator[None]:
    """Yield up to *count* times, after a pause each time but the first."""
    backoff = Backoff(FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS, jitter=1.0)
    for _ in range(count):
        yield
        time.sleep(backoff.next_seconds())


@contextmanager
def _unless_another_was_faster() -> Iterator[None]:
    """Accept that another process has created the index at the same time."""
    try:
        yield
    except BackendRejected as error:
        if error.kind != ALREADY_EXISTS:
            raise


_current: list[Database] = []


def bind(database: Database) -> None:
    """Make *database* the one that stores all models; nefertari's engines are global."""
    _current[:] = [database]


def current() -> Database:
    """Return the database of the application that was set up last.

    :raises ConfigurationError: no database was set up.
    """
    if not _current:
        raise ConfigurationError("the engine has no database yet: call engine.setup_database")
    return _current[0]
