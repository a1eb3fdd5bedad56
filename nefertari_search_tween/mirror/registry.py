"""The mirrors of one application, and what is known of each one's index."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any, Callable, Optional

from nefertari_search_tween.backends.base import Backend
from nefertari_search_tween.documents.mirror_document import BaseDocument
from nefertari_search_tween.exceptions import (
    BackendDenied,
    BackendError,
    BackendRejected,
    BackendUntrusted,
    ConfigurationError,
    Reason,
    SearchUnavailable,
)
from nefertari_search_tween.interfaces.primary import Reader
from nefertari_search_tween.mirror.circuit_breaker import CircuitBreaker
from nefertari_search_tween.mirror.mapping import analyzers, digest, index_mapping

log = logging.getLogger(__name__)

# How long an index that is not there, or not ours, is taken for that.
RECHECK_SECONDS = 1.0
# A server forgets the version of a deleted document after this; an indexer that was frozen
# for longer could bring it back.
GC_DELETES = "1h"
HTTP_BAD_REQUEST = 400
HTTP_UNAUTHORIZED = 401
ALREADY_EXISTS = "resource_already_exists_exception"


class Mirror:
    """The mirror of one model.

    :param model: the primary's model class.
    :param document_cls: the generated mirror model.
    :param reader: reads the primary's current state.
    :param alias: name under which the index is searched.
    :param settings: of its indices, under their full names.
    """

    def __init__(
        self,
        model: Any,
        document_cls: type[BaseDocument],
        reader: Reader,
        alias: str,
        backend: Backend,
        breaker: CircuitBreaker,
        settings: dict[str, Any],
    ) -> None:
        self.model = model
        self.name: str = model.__name__
        self.document_cls = document_cls
        self.reader = reader
        self.alias = alias
        self.settings = settings
        self.mapping = index_mapping(document_cls, settings)
        self.analyzers = analyzers(self.mapping, settings)
        self.fingerprint: str = self.mapping["_meta"]["fingerprint"]
        self.backend = backend
        self.breaker = breaker
        self._lock = threading.Lock()
        self._ready = False
        self._problem = Reason.NO_INDEX
        self._checked = 0.0
        self._index: Optional[str] = None
        # Number of a claim: it, and all before it, are seen by searches.
        self._visible = 0

    # Is there an index that this process can read?

    def require_ready(self) -> None:
        """Return when the index can be searched.

        :raises SearchUnavailable: it is down, not built, or built from another schema.
        """
        if self._ready:
            return
        with self._lock:
            if not self._ready and time.monotonic() - self._checked >= RECHECK_SECONDS:
                self.check()
        if not self._ready:
            raise SearchUnavailable(
                self._problem,
                {
                    Reason.NO_INDEX: f"The search index of {self.name} has not been built yet.",
                    Reason.SCHEMA_MISMATCH: (
                        f"The search index of {self.name} was built for another schema."
                    ),
                }[self._problem],
            )

    def check(self) -> bool:
        """Look at the index; True when it can be searched.

        :raises BackendError: the backend does not answer.
        """
        mapping = self.backend.get_mapping(self.alias)
        self._checked = time.monotonic()
        if mapping is None:
            self._ready, self._problem = False, Reason.NO_INDEX
        elif mapping.get("_meta", {}).get("fingerprint") != self.fingerprint:
            self._ready, self._problem = False, Reason.SCHEMA_MISMATCH
        else:
            self._ready = True
        return self._ready

    def invalidate(self) -> None:
        """The index is not what it was: look again before the next read."""
        self._ready = False
        self._checked = 0.0

    def answered_by(self, index: str) -> None:
        """A hit came from *index*: when it is another one than before, look at it.

        :raises SearchUnavailable: a new version of the application has built it, for other
            fields than this process knows.
        """
        if index != self._index:
            if self._index is not None:
                self.invalidate()
                self.require_ready()
            self._index = index

    @property
    def problem(self) -> Optional[Reason]:
        """Why the index can't be searched (as of the last look), None when it can."""
        return None if self._ready else self._problem

    # Visibility of writes

    def ensure_visible(self, number: int) -> None:
        """Refresh the index unless it was since the claim *number* was settled.

        Any number of writes is made visible by one refresh, and concurrent readers share it.

        :param number: of the last claim of the model, read when nothing waited.
        """
        if self._visible >= number:
            return
        with self._lock:
            if self._visible < number:
                self.backend.refresh(self.alias)
                self._visible = number


class MirrorRegistry:
    """All mirrors of an application, by name of the model.

    :param prefix: the ``elasticsearch.index_name`` setting.
    :param index_settings: of all indices, under their full names.
    :param own_settings: of the indices of one model, by its name; they go before.
    :param path: the file that the settings of all come from, for messages.
    """

    def __init__(
        self,
        backend: Backend,
        prefix: str,
        index_settings: dict[str, Any],
        own_settings: Optional[Mapping[str, dict[str, Any]]] = None,
        path: str = "",
    ) -> None:
        self.backend = backend
        self.breaker = CircuitBreaker(backend.ping)
        self.prefix = prefix
        self.index_settings = {"index.gc_deletes": GC_DELETES, **index_settings}
        self.own_settings = own_settings or {}
        self.path = path
        self._by_name: dict[str, Mirror] = {}

    def add(self, model: Any, document_cls: type[BaseDocument], reader: Reader) -> Mirror:
        mirror = Mirror(
            model,
            document_cls,
            reader,
            self.alias_of(model.__name__),
            self.backend,
            self.breaker,
            {**self.index_settings, **self.own_settings.get(model.__name__, {})},
        )
        mirror.mapping["_meta"]["settings"] = digest(mirror.settings)
        self._by_name[mirror.name] = mirror
        return mirror

    def alias_of(self, model_name: str, prefix: str = "") -> str:
        """Name of the alias of a model: index names are lower case, ``FilmScore`` is
        ``{prefix}-film_score``.

        :param prefix: of another application on the same server; empty: this one's.
        """
        snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", model_name).lower()
        return f"{prefix or self.prefix}-{snake}"

    def get(self, model_name: str) -> Optional[Mirror]:
        return self._by_name.get(model_name)

    def __iter__(self) -> Iterator[Mirror]:
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)

    def __contains__(self, model_name: object) -> bool:
        return model_name in self._by_name

    # Indices

    def indices_of(self, mirror: Mirror) -> dict[str, set[str]]:
        """Indices of *mirror* (live, being built, left over) with their aliases."""
        pattern = re.compile(re.escape(mirror.alias) + r"-\d{6}\Z")
        return {
            name: aliases
            for name, aliases in self.backend.indices(f"{mirror.alias}-*").items()
            if pattern.match(name)
        }

    def next_name(self, mirror: Mirror, used: str = "") -> str:
        """Name of the next index of *mirror*.

        :param used: a name that was given before, whether or not its index is still there. No
            name is given twice: what somebody may still send to an index of old must not
            arrive in another one.
        """
        numbers = [int(name[-6:]) for name in (*self.indices_of(mirror), used) if name]
        return f"{mirror.alias}-{max(numbers, default=0) + 1:06d}"

    def create(self, mirror: Mirror, name: str, live: bool = False) -> None:
        """Create the index *name* of *mirror*.

        :param live: make it the one that is searched.
        :raises ConfigurationError: the backend does not know its analyzers, or refuses its
            settings.
        """
        self.check_analyzers(mirror)
        aliases = [write_alias(name)] + ([mirror.alias] if live else [])
        try:
            self.backend.create_index(name, mirror.mapping, mirror.settings, aliases)
        except BackendRejected as error:
            if error.status != HTTP_BAD_REQUEST or error.kind == ALREADY_EXISTS:
                raise
            files = " and ".join(self._files(mirror)) or "no file"
            raise ConfigurationError(
                f"{self.backend.name} refuses to make the index of {mirror.name} (with settings "
                f"from {files}): {error.reason}"
            ) from error

    def check_analyzers(self, mirror: Mirror) -> None:
        """Return when the backend has all analyzers of *mirror*.

        :raises ConfigurationError: it does not know one.
        """
        if not mirror.analyzers:
            return
        unknown = self.backend.unknown_analyzers(sorted(mirror.analyzers), mirror.settings)
        for name, reason in unknown.items():
            raise ConfigurationError(
                f"nefertari_search.analyzer: {self.backend.name} has no analyzer '{name}', which "
                f"{_asked_by(mirror, name)} asks for: {reason}"
            )

    def _files(self, mirror: Mirror) -> list[str]:
        """Paths of the files that the settings of *mirror* come from."""
        own = self.own_settings.get(mirror.name)
        return [path for path in (self.path, getattr(own, "path", "")) if path]

    def is_current(self, mirror: Mirror, name: str) -> bool:
        """True when the index *name* was created with the mapping and the settings of today."""
        mapping = self.backend.get_mapping(name)
        return mapping is not None and mapping.get("_meta") == mirror.mapping["_meta"]

    def restore_setting(self, mirror: Mirror, index: str, name: str) -> None:
        """Give *index* of *mirror* the value of a setting that it was created with."""
        self.backend.put_settings(index, {name: mirror.settings.get(name)})

    def prepare(
        self,
        schema: str = "create",
        waits: Callable[[Mirror], bool] = lambda mirror: False,
        late: Callable[[Mirror], None] = lambda mirror: None,
    ) -> None:
        """At start: look at the indices.

        A backend that does not answer is no error: the application starts and reads from the
        primary. One that refuses the credentials, or that can't be trusted, will do so until a
        setting is changed.

        :param schema: "create": make indices of empty tables, warn of what else is missing;
            "validate": make none; "none": do not look.
        :param waits: whether all objects of a mirror wait to be indexed: then its table is as
            good as empty.
        :param late: called for a mirror whose index was made here, and whose table is not empty
            after that: somebody may have settled a change of it a moment before.
        :raises ConfigurationError: credentials or certificates are wrong; "validate", and an
            index is missing or of another schema.
        """
        if schema == "none":
            return
        problems = []
        for mirror in self:
            try:
                self.check_analyzers(mirror)
                if mirror.check():
                    continue
                new = schema == "create" and mirror.problem == Reason.NO_INDEX
                if new and (self._empty(mirror) or waits(mirror)):
                    self._create_empty(mirror)
                    # What is committed from here on finds the index: its indexer looks for it
                    # after the commit, and takes none for none for no longer than that.
                    if not self._empty(mirror):
                        late(mirror)
                    continue
            except BackendUntrusted as error:
                raise ConfigurationError(
                    "no safe connection to the search server (see elasticsearch.hosts and "
                    f"elasticsearch.ca_certs): {error}"
                ) from error
            except BackendDenied as error:
                if error.status == HTTP_UNAUTHORIZED:
                    raise ConfigurationError(str(error)) from error
                log.warning("the mirror of %s could not be looked at: %s", mirror.name, error)
                continue
            except BackendError as error:
                self.breaker.record_failure()
                log.warning("mirrors could not be looked at: %s", error)
                break
            problem = "not built" if mirror.problem == Reason.NO_INDEX else "of another schema"
            problems.append(f"the search index of {mirror.name} is {problem}")
        if problems and schema == "validate":
            raise ConfigurationError(
                f"nefertari_search.schema = validate: {', '.join(problems)}: "
                "run `nefertari-search rebuild`"
            )
        for problem in problems:
            log.warning(
                "%s: run `nefertari-search rebuild`; until then its collections are read from "
                "the primary",
                problem,
            )

    def _create_empty(self, mirror: Mirror) -> None:
        try:
            self.create(mirror, self.next_name(mirror), live=True)
        except BackendRejected:
            # Another process that starts at the same time was faster.
            if self.backend.get_mapping(mirror.alias) is None:
                raise
        mirror.check()

    @staticmethod
    def _empty(mirror: Mirror) -> bool:
        try:
            return mirror.reader.count() == 0
        except Exception as error:  # noqa: BLE001 - e.g. a table that does not exist yet
            log.info("%s can't be counted: %s", mirror.name, error)
            return False


def _asked_by(mirror: Mirror, analyzer: str) -> str:
    """The fields of *mirror* that an analyzer was chosen for."""

    def fields(spec: dict[str, Any], prefix: str) -> Iterator[str]:
        for name, each in spec.get("properties", {}).items():
            if each.get("analyzer") == analyzer:
                yield prefix + name
            yield from fields(each, f"{prefix}{name}.")

    return ", ".join(fields(mirror.mapping, f"{mirror.name}.")) or f"the index of {mirror.name}"


def write_alias(index: str) -> str:
    """Name that writes to *index* use: a write to a name that is gone creates no index.

    Upper-case letters, because a delete can't be told to ask for an alias: a server would make
    the missing index, but none of that name.
    """
    return f"{index}-WRITE"
