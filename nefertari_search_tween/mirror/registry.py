"""The mirrors of one application, by name of the model."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Optional

from nefertari_search_tween.backends.base import Backend, IndexEntry
from nefertari_search_tween.documents.mirror_document import BaseDocument
from nefertari_search_tween.exceptions import (
    BackendRejected,
    ConfigurationError,
    ForeignIndex,
    MappingRefused,
    NameConflict,
)
from nefertari_search_tween.interfaces.identity import Identity
from nefertari_search_tween.interfaces.primary import NoRequestHooks, Reader, RequestHooks
from nefertari_search_tween.mirror.circuit_breaker import CircuitBreaker
from nefertari_search_tween.mirror.identity import (
    DATABASE,
    MODEL,
    conflict,
    database_entry,
    is_current,
)
from nefertari_search_tween.mirror.mapping import digest
from nefertari_search_tween.mirror.mirror import Mirror, write_alias

# A server forgets the version of a deleted document after this; an indexer that was frozen
# for longer could bring it back.
GC_DELETES = "1h"
HTTP_BAD_REQUEST = 400
# Of an index or alias.
MAX_NAME_BYTES = 255
ALREADY_EXISTS = "resource_already_exists_exception"


class MirrorRegistry:
    """All mirrors of an application, by name of the model.

    :param prefix: the ``elasticsearch.index_name`` setting.
    :param index_settings: of all indices, under their full names.
    :param own_settings: of the indices of one model, by its name; they take precedence.
    :ivar database: what new indices remember of the database; None until it is known.
    """

    def __init__(
        self,
        backend: Backend,
        prefix: str,
        index_settings: dict[str, Any],
        own_settings: Optional[Mapping[str, dict[str, Any]]] = None,
    ) -> None:
        self.backend = backend
        self.breaker = CircuitBreaker(backend.ping)
        self.prefix = prefix
        self.index_settings = {"index.gc_deletes": GC_DELETES, **index_settings}
        self.own_settings = own_settings or {}
        self._path = getattr(index_settings, "path", "")
        self._by_name: dict[str, Mirror] = {}
        self.database: Optional[dict[str, str]] = None

    def identify(self, identity: Identity) -> None:
        """Let the indices of all mirrors be those of the primary database *identity*."""
        self.database = database_entry(identity, self.backend.directory)
        for mirror in self:
            mirror.mapping["_meta"][DATABASE] = self.database

    def add(
        self,
        model: Any,
        document_cls: type[BaseDocument],
        reader: Reader,
        hooks: RequestHooks = NoRequestHooks(),  # noqa: B008 - it has no state
    ) -> Mirror:
        """Make the mirror of *model*, in place of an earlier one of that name.

        :raises ConfigurationError: the index of another model has the same name, or the name is
            too long.
        """
        alias = self.alias_of(model.__name__)
        longest = write_alias(f"{alias}-{1:06d}")
        if len(longest.encode()) > MAX_NAME_BYTES:
            raise ConfigurationError(
                f"elasticsearch.index_name = {self.prefix}: with the name of {model.__name__} it "
                f"is longer than the {MAX_NAME_BYTES} bytes of an index's name"
            )
        for other in self:
            if other.alias == alias and other.name != model.__name__:
                raise ConfigurationError(
                    f"the models {other.name} and {model.__name__} would share one index, {alias}: "
                    "rename one of them, or leave one out of nefertari_search.models"
                )
        mirror = Mirror(
            model,
            document_cls,
            reader,
            alias,
            self.backend,
            self.breaker,
            {**self.index_settings, **self.own_settings.get(model.__name__, {})},
            hooks,
        )
        mirror.mapping["_meta"]["settings"] = digest(mirror.settings)
        if self.database is not None:
            mirror.mapping["_meta"][DATABASE] = self.database
        self._by_name[mirror.name] = mirror
        return mirror

    def alias_of(self, model_name: str, prefix: str = "") -> str:
        """Return the alias of a model: index names are lower case, ``FilmScore`` is
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
        """Return the indices of *mirror* (live, being built, left over) with their aliases.

        :raises ForeignIndex: one of them belongs to another database.
        :raises NameConflict: an index of another name is in the way.
        """
        return {name: entry.aliases for name, entry in self._own_entries(mirror).items()}

    def write_targets(self, mirror: Mirror) -> list[str]:
        """Return the names to write to: of the live index and of one that is being built."""
        return [
            write_alias(index)
            for index, aliases in self.indices_of(mirror).items()
            if write_alias(index) in aliases
        ]

    def _own_entries(self, mirror: Mirror) -> dict[str, IndexEntry]:
        entries = self._entries(mirror)
        for name, entry in entries.items():
            problem = conflict(mirror.mapping["_meta"], entry.meta)
            if problem is not None:
                # A reader may have found it ready before another application took it over.
                mirror.invalidate()
                raise ForeignIndex(f"the search index {name} of {mirror.name} {problem}")
        return entries

    def _entries(self, mirror: Mirror) -> dict[str, IndexEntry]:
        pattern = re.compile(re.escape(mirror.alias) + r"-\d{6}\Z")
        entries = self.backend.entries(f"{mirror.alias},{mirror.alias}-*")
        if mirror.alias in entries:
            raise NameConflict(
                f"an index is called {mirror.alias}, which must be the alias of the index of "
                f"{mirror.name}, and no rebuild can make it one: delete or rename that index, or "
                "set another elasticsearch.index_name"
            )
        return {name: entry for name, entry in entries.items() if pattern.match(name)}

    def claim(self, mirror: Mirror) -> list[str]:
        """Note our database in the indices of *mirror* that have none, or that have moved with it.

        :returns: the names of indices of before, which had none.
        :raises ForeignIndex: an index belongs to another database.
        """
        claimed = []
        for name, entry in self._own_entries(mirror).items():
            if not is_current(mirror.mapping["_meta"], entry.meta):
                self._note(mirror, name, entry.meta)
                if DATABASE not in entry.meta:
                    claimed.append(name)
        return claimed

    def adopt(self, mirror: Mirror) -> list[str]:
        """Take over the indices of *mirror*, whosoever they are, and return their names.

        What another database has left in them is not ours: they count as built for another schema,
        so that nothing is read from them until they are rebuilt.
        """
        adopted = []
        own = mirror.mapping["_meta"]
        for name, entry in self._entries(mirror).items():
            if conflict(own, entry.meta) is not None:
                former = entry.meta.get(DATABASE, {}).get("identifier")
                same = (former, entry.meta.get(MODEL)) == (own[DATABASE]["identifier"], mirror.name)
                unread = {} if same else {"fingerprint": "of another database"}
                self._note(mirror, name, {**entry.meta, **unread})
                adopted.append(name)
        mirror.invalidate()
        return adopted

    def _note(self, mirror: Mirror, index: str, meta: dict[str, Any]) -> None:
        noted = {**meta, MODEL: mirror.name, DATABASE: mirror.mapping["_meta"][DATABASE]}
        self.backend.put_mapping(index, {"_meta": noted})

    def next_name(self, mirror: Mirror, used: str = "") -> str:
        """Return the name of the next index of *mirror*.

        :param used: a name that was given before, whether or not its index still exists. No name is
            given twice: what a process may still write to an old index must not arrive in another.
        """
        numbers = [int(name[-6:]) for name in (*self.indices_of(mirror), used) if name]
        return f"{mirror.alias}-{max(numbers, default=0) + 1:06d}"

    def create(self, mirror: Mirror, name: str, live: bool = False) -> None:
        """Create the index *name* of *mirror*.

        :param live: let searches use it at once.
        :raises MappingRefused: the backend can't hold documents of this model (more fields than
            its limit, a name that it has for itself).
        :raises ConfigurationError: it does not know its analyzers, or rejects its settings.
        """
        mirror.check_analyzers()
        aliases = [write_alias(name)] + ([mirror.alias] if live else [])
        try:
            self.backend.create_index(name, mirror.mapping, mirror.settings, aliases)
        except BackendRejected as error:
            if error.status != HTTP_BAD_REQUEST or error.kind == ALREADY_EXISTS:
                raise
            refusal = f"{self.backend.name} refuses to make the index of {mirror.name}"
            if self._accepts_settings(mirror):
                raise MappingRefused(f"{refusal}: {error.reason}") from error
            files = " and ".join(self._files(mirror)) or "no file"
            raise ConfigurationError(
                f"{refusal} (with settings from {files}): {error.reason}"
            ) from error

    def _accepts_settings(self, mirror: Mirror) -> bool:
        """Return True if the backend makes an index with the settings and analyzers of *mirror*,
        without its fields.

        An error does not say whether it is the settings' or the mapping's.
        """
        # No name of an index of ours: other processes must not see it as one that was left over.
        name = f"{mirror.alias}-probe"
        fields = {
            f"field_{number}": {"type": "text", "analyzer": analyzer}
            for number, analyzer in enumerate(sorted(mirror.analyzers))
        }
        mapping = {"dynamic": False, "properties": fields}
        try:
            self.backend.create_index(name, mapping, mirror.settings, [])
        except BackendRejected as error:
            # Another process is just trying the same.
            return error.kind == ALREADY_EXISTS
        self.backend.delete_index(name)
        return True

    def _files(self, mirror: Mirror) -> list[str]:
        """Return the paths of the files that the settings of *mirror* come from."""
        own = self.own_settings.get(mirror.name)
        return [path for path in (self._path, getattr(own, "path", "")) if path]
