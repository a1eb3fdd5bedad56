"""Where this engine's documents are: indices of the backend, read and written as a database.

* A write is applied if the document is as it was read, and not at all otherwise (see
  ``Conditional`` in backends/base.py). When it returns, the backend has it on disk.
* A read by key sees the last write. A search refreshes the index first, so that it sees every
  write that was answered before it began, by any process.
"""

from __future__ import annotations

import logging
import random
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
)
from nefertari_search_tween.mirror.mapping import digest
from nefertari_search_tween.mirror.mirror import Mirror, write_alias
from nefertari_search_tween.mirror.registry import MirrorRegistry
from nefertari_search_tween.settings.index_files import window_settings
from nefertari_search_tween.settings.settings import Settings

log = logging.getLogger(__name__)

ALREADY_EXISTS = "resource_already_exists_exception"
#: of the index of counters and reservations; no model's name becomes one with a hyphen in it
KEYS = "engine-keys"
# Others are served in between: so often a counter is tried before the caller is told to wait.
COUNTER_TRIES = 200
SCAN_CHUNK = 500


class Database:
    """The documents of one application.

    :param settings: the application's.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.backend = make_backend(*settings.backend, settings.connection)
        self.mirrors = MirrorRegistry(
            self.backend,
            settings.index_name,
            {
                **window_settings(settings.max_result_window),
                **settings.index_settings_file,
            },
            settings.model_index_settings,
            settings.index_settings_file.path,
        )
        self.chunk_size = settings.chunk_size
        self._lock = threading.RLock()
        self._indices: dict[str, tuple[Any, Mirror, str]] = {}
        self._keys: Optional[str] = None

    # Indices

    def prepare(self) -> None:
        """Make the indices of all models.

        :raises ConfigurationError: an index is there, and does not fit its model.
        """
        try:
            for model in model_registry.models().values():
                self._place(model)
            self._keys_alias()
        except (SearchUnavailable, SearchTimeout) as error:
            log.warning("the database could not be looked at: %s", error)

    def mirror(self, model: Any) -> Mirror:
        """What is known of the index of *model*; without asking the backend."""
        with self._lock:
            mirror = self.mirrors.get(model.__name__)
            if mirror is None or mirror.document_cls is not model:
                mirror = self.mirrors.add(model, model, None)  # type: ignore[arg-type]
                mirror.mapping["properties"][PACKED] = {"type": "object", "enabled": False}
                meta = mirror.mapping["_meta"]
                meta["fingerprint"] = digest([meta["fingerprint"], PACKED])
                mirror.fingerprint = meta["fingerprint"]
            return mirror

    def _place(self, model: Any) -> tuple[str, str]:
        """Names to read and to write *model* by; its index is made if there is none."""
        held = self._indices.get(model.__name__)
        if held is None or held[0] is not model:
            with self._lock, self.available():
                mirror = self.mirror(model)
                name = f"{mirror.alias}-000001"
                self._make(mirror, name)
                held = (model, mirror, write_alias(name))
                self._indices[model.__name__] = held
        return held[1].alias, held[2]

    def _make(self, mirror: Mirror, name: str) -> None:
        mapping = self.backend.get_mapping(mirror.alias)
        if mapping is None:
            try:
                self.mirrors.create(mirror, name, live=True)
            except BackendRejected as error:
                # Another process that starts at the same time was faster.
                if error.kind != ALREADY_EXISTS:
                    raise
            mapping = self.backend.get_mapping(mirror.alias)
        if mapping is None:
            raise ConfigurationError(
                f"the index {name} is there, but is not reached as {mirror.alias}"
            )
        if mapping.get("_meta", {}).get("fingerprint") != mirror.fingerprint:
            try:
                self.backend.put_mapping(name, mirror.mapping)
            except BackendRejected as error:
                raise ConfigurationError(
                    f"the index {name} holds documents of {mirror.name} as it was declared "
                    f"before, and {self.backend.name} can't add what is new: {error.reason}"
                ) from error
            log.warning("fields were added to the index of %s", mirror.name)
        mirror.check()

    def _keys_alias(self) -> str:
        if self._keys is None:
            with self._lock, self.available():
                alias = f"{self.mirrors.prefix}-{KEYS}"
                name = f"{alias}-000001"
                if self.backend.get_mapping(alias) is None:
                    try:
                        self.backend.create_index(
                            name,
                            {"dynamic": False, "properties": {}},
                            self.mirrors.index_settings,
                            [alias, write_alias(name)],
                        )
                    except BackendRejected as error:
                        if error.kind != ALREADY_EXISTS:
                            raise
                self._keys = alias
        return self._keys

    # Documents

    def stored(self, model: Any, ids: Iterable[str]) -> dict[str, Optional[StoredDocument]]:
        """The documents of *model* with these ids, as of the last write."""
        alias, _ = self._place(model)
        with self.available(model):
            return self.backend.get_realtime(alias, ids)

    def write(
        self, model: Any, writes: Iterable[tuple[str, Optional[bytes], Optional[SequenceVersion]]]
    ) -> list[WriteResult]:
        """Apply writes of *model*: id, body (None: a delete) and the state that is expected."""
        _, alias = self._place(model)
        given = [ConditionalWrite(alias, *each) for each in writes]
        with self.available(model):
            written = list(self.backend.write(given, self.chunk_size))
        if any(each.target_missing for each in written):
            self._indices.pop(model.__name__, None)
            raise SearchUnavailable(Reason.NO_INDEX, f"The index of {model.__name__} is gone.")
        return written

    def refresh(self, model: Any) -> None:
        """Make every write that was answered visible to searches."""
        alias, _ = self._place(model)
        with self.available(model):
            self.backend.refresh(alias)

    def search(self, model: Any, body: dict[str, Any]) -> dict[str, Any]:
        """One search of *model* that sees every write that was answered before."""
        alias, _ = self._place(model)
        with self.available(model):
            self.backend.refresh(alias)
            return self.backend.search(alias, body)

    def searches(self, asked: list[tuple[Any, dict[str, Any]]]) -> list[dict[str, Any]]:
        """The same of several models, in one request."""
        if len(asked) == 1:
            return [self.search(*asked[0])]
        for model in dict.fromkeys(model for model, _ in asked):
            self.refresh(model)
        places = [(self._place(model)[0], body) for model, body in asked]
        with self.available():
            return self.backend.multi_search(places)

    def scan(self, model: Any, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """All hits of *body*, at one point in time, however many."""
        alias, _ = self._place(model)
        with self.available(model):
            self.backend.refresh(alias)
            for chunk in self.backend.scan(alias, body, SCAN_CHUNK):
                yield from chunk

    # Counters and reservations

    def key(self, identity: str) -> Optional[StoredDocument]:
        """One document of the index of keys."""
        alias = self._keys_alias()
        with self.available():
            return self.backend.get_realtime(alias, [identity])[identity]

    def write_key(
        self, identity: str, body: Optional[bytes], expected: Optional[SequenceVersion]
    ) -> Optional[SequenceVersion]:
        """Write it; None: it is not as expected."""
        alias = write_alias(f"{self._keys_alias()}-000001")
        with self.available():
            (written,) = self.backend.write([ConditionalWrite(alias, identity, body, expected)], 1)
        if written.version is None and not written.conflict:
            if written.target_missing:
                self._keys = None
                raise SearchUnavailable(Reason.NO_INDEX, "The index of keys is gone.")
            raise BackendRejected(written.status, written.error)
        return written.version

    def next_number(self, model: Any) -> int:
        """A number that no other caller is given for *model*, larger than those before.

        :raises SearchUnavailable: too many ask at the same time.
        """
        identity = f"counter:{model.__name__}"
        for tries in range(COUNTER_TRIES):
            found = self.key(identity)
            number = 1 if found is None else int(found.source["last"]) + 1
            body = b'{"last": %d}' % number
            if self.write_key(identity, body, None if found is None else found.version):
                return number
            # Whoever lost goes on at a moment of its own.
            time.sleep(random.uniform(0, min(0.001 * 2 ** min(tries, 6), 0.05)))
        raise SearchUnavailable(Reason.BUSY, f"Too many documents of {model.__name__} are created.")

    # Faults

    @contextmanager
    def available(self, model: Any = None) -> Iterator[None]:
        """The backend's failures become errors over HTTP."""
        breaker = self.mirrors.breaker
        breaker.check()
        try:
            yield
        except IndexMissing as error:
            if model is not None:
                self._indices.pop(model.__name__, None)
            raise SearchUnavailable(
                Reason.NO_INDEX, f"An index of the database is gone: {error}"
            ) from (error)
        except BackendTimeout as error:
            if not self.backend.ping():
                breaker.record_failure()
            raise SearchTimeout("The database did not answer in time.") from error
        except BackendUnavailable as error:
            breaker.record_failure()
            raise SearchUnavailable(Reason.UNAVAILABLE, "The database does not answer.") from error
        except BackendDenied as error:
            breaker.record_denied(error)
            raise SearchUnavailable(Reason.DENIED, "The database does not allow this.") from error
        except BackendRejected:
            breaker.record_response()
            raise
        except BackendError as error:
            raise SearchUnavailable(Reason.UNAVAILABLE, str(error)) from error


_current: list[Database] = []


def bind(database: Database) -> None:
    """Make *database* the one that all models are in; nefertari's engines are global."""
    _current[:] = [database]


def current() -> Database:
    """The database of the application that was set up last.

    :raises ConfigurationError: none was.
    """
    if not _current:
        raise ConfigurationError("the engine has no database yet: call engine.setup_database")
    return _current[0]
