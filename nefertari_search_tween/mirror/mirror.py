"""The mirror of one model, and what this process knows of its index."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from typing import Any, Optional

from nefertari_search_tween.backends.base import Backend, IndexEntry
from nefertari_search_tween.concurrency.forks import PerProcess
from nefertari_search_tween.documents.format import COMPOSED, FOLDED
from nefertari_search_tween.documents.mirror_document import BaseDocument
from nefertari_search_tween.documents.search_fields import WeightedName
from nefertari_search_tween.exceptions import ConfigurationError, Reason, SearchUnavailable
from nefertari_search_tween.interfaces.primary import Hook, Reader, RequestHooks
from nefertari_search_tween.mirror.circuit_breaker import CircuitBreaker
from nefertari_search_tween.mirror.identity import conflict
from nefertari_search_tween.mirror.mapping import analyzers, index_mapping

log = logging.getLogger(__name__)

# How long an index that is missing, or was built for another schema, is not checked again.
RECHECK_SECONDS = 1.0


#: Why an index can't be searched, for callers; with the name of the model.
PROBLEMS = {
    Reason.NO_INDEX: "The search index of {} has not been built yet.",
    Reason.SCHEMA_MISMATCH: "The search index of {} was built for another schema.",
    Reason.FOREIGN_INDEX: "The search index of {} belongs to another database.",
    Reason.NAME_CONFLICT: "The name of the search index of {} is that of another or of several.",
}


class Mirror(PerProcess):
    """The mirror of one model.

    :param model: the primary's model class.
    :param document_cls: the generated mirror model.
    :param reader: reads the primary's current state.
    :param alias: name under which the index is searched.
    :param settings: of its indices, under their full names.
    :param hooks: what may make the primary's answers depend on the request.
    :ivar untracked: what documents show that may change without a notice, a line for each member
        (see ``interfaces.primary_engine.Dependencies``); those that the application reports itself
        are left out.
    :ivar search_fields: the fields that texts are looked for in; empty for all.
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
        hooks: RequestHooks,
    ) -> None:
        self.model = model
        self.name: str = model.__name__
        self.document_cls = document_cls
        self.reader = reader
        self.alias = alias
        self.settings = settings
        self.hooks = hooks
        self.untracked: list[str] = []
        self.search_fields: tuple[WeightedName, ...] = ()
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
        self._shards = 0
        self._location: Any = None
        # A version: what was settled with it or before it is visible to searches.
        self._visible = 0
        self._logged_hooks: set[Hook] = set()
        self.watch_forks()

    def after_fork_in_child(self) -> None:
        # What is known of the index stays true. The lock is held during requests.
        self._lock = threading.Lock()

    # Is there one answer for all requests?

    def hook(self) -> Optional[Hook]:
        """Return what may answer each request in another way, None if nothing does."""
        return self._logged(self.hooks.first())

    def require_searchable(self) -> None:
        """Return if all requests may be answered by the same documents.

        :raises SearchUnavailable: each may have its own.
        """
        hook = self._logged(self.hooks.of_searches())
        if hook is not None:
            raise SearchUnavailable(
                hook.reason,
                f"{self.name} can't be searched: its answers may depend on the request.",
            )

    def _logged(self, hook: Optional[Hook]) -> Optional[Hook]:
        """Return *hook*, which is logged once."""
        if hook is not None and hook not in self._logged_hooks:
            self._logged_hooks.add(hook)
            log.warning(
                "%s is read from the primary only, and can't be searched: %s may answer each "
                "request in another way (%s); if it does not, name it in "
                "nefertari_search.trusted_hooks (docs/privacy.rst)",
                self.name,
                hook.name,
                hook.reason,
            )
        return hook

    # Is there an index that this process can read?

    def require_ready(self) -> None:
        """Return if the index can be searched.

        :raises SearchUnavailable: it is down, not built, or built from another schema or another
            database.
        """
        if self._ready:
            if self.backend.location() == self._location:
                return
            self.invalidate()
        with self._lock:
            if not self._ready and time.monotonic() - self._checked >= RECHECK_SECONDS:
                self.check()
        if not self._ready:
            raise SearchUnavailable(self._problem, PROBLEMS[self._problem].format(self.name))

    def check(self) -> bool:
        """Check the index now, and return True if it can be searched.

        :raises BackendError: the backend does not answer.
        """
        self.backend.require_supported()
        location = self.backend.location()
        entries = self.backend.entries(self.alias)
        # Read before, unless it was made by this very look-up.
        self._location = location or self.backend.location()
        self._checked = time.monotonic()
        self._shards = sum(entry.shards for entry in entries.values())
        problem = self._problem_of(entries)
        self._ready = problem is None
        self._problem = problem or self._problem
        return self._ready

    def _problem_of(self, entries: dict[str, IndexEntry]) -> Optional[Reason]:
        """Return why the indices behind the alias can't be searched, None if they can."""
        if not entries:
            return Reason.NO_INDEX
        if len(entries) > 1 or self.alias in entries:
            return Reason.NAME_CONFLICT
        (entry,) = entries.values()
        if conflict(self.mapping["_meta"], entry.meta) is not None:
            return Reason.FOREIGN_INDEX
        if entry.meta.get("fingerprint") != self.fingerprint:
            return Reason.SCHEMA_MISMATCH
        return None

    def invalidate(self) -> None:
        """Check the index again before the next read: it has changed."""
        self._ready = False
        self._checked = 0.0

    def answered_by(self, index: str) -> None:
        """Note that a hit came from *index*; if it is another one than before, check it.

        :raises SearchUnavailable: a new version of the application has built it, for other
            fields than this process knows.
        """
        if index != self._index:
            if self._index is not None:
                self.invalidate()
                self.require_ready()
            self._index = index

    @property
    def shards(self) -> int:
        """How many parts a search of the index has (as of the last check)."""
        return self._shards

    @property
    def problem(self) -> Optional[Reason]:
        """Why the index can't be searched (as of the last check), None if it can."""
        return None if self._ready else self._problem

    # Visibility of writes

    def ensure_visible(self, version: int) -> None:
        """Refresh the index unless it was refreshed after *version* was taken.

        Any number of writes is made visible by one refresh, and concurrent readers share it.

        :param version: the latest of the model, that of a claim or of its settling, read when
            nothing was pending that the reader may know of.
        """
        if self._visible >= version:
            return
        with self._lock:
            if self._visible < version:
                self.backend.refresh(self.alias)
                self._visible = version

    # What its index needs of the backend

    def check_analyzers(self) -> None:
        """Return if the backend has all analyzers of the mirror.

        :raises ConfigurationError: it does not have one of them.
        """
        if not self.analyzers:
            return
        unknown = self.backend.unknown_analyzers(sorted(self.analyzers), self.settings)
        for name, reason in unknown.items():
            fields = ", ".join(_fields_with(name, self.mapping, f"{self.name}."))
            raise ConfigurationError(
                f"nefertari_search.analyzer: {self.backend.name} has no analyzer '{name}', which "
                f"{fields or f'the index of {self.name}'} asks for: {reason}"
            )


def _fields_with(analyzer: str, mapping: dict[str, Any], prefix: str) -> Iterator[str]:
    """Yield the full names of the fields that *mapping* gives an analyzer."""
    for name, spec in mapping.get("properties", {}).items():
        if name in (COMPOSED, FOLDED):
            # Other forms of the same fields.
            continue
        if spec.get("analyzer") == analyzer:
            yield prefix + name
        yield from _fields_with(analyzer, spec, f"{prefix}{name}.")


def write_alias(index: str) -> str:
    """Return the name that writes to *index* use: after a delete, a write to it creates no index.

    Upper-case letters, because a delete can't be told to require an alias: a server would create
    the missing index, but none of that name.
    """
    return f"{index}-WRITE"
