"""Mirrors in files of one directory, without a server.

One SQLite database holds everything: documents and their versions, the catalog of indices and
aliases, a table per index with one column per field, and an inverted index of the texts, from
which searches are scored as Lucene scores them. What follows from having it all in one place
that has transactions:

* a bulk is one transaction: a process that is killed at any point leaves all of it or nothing,
  what was acknowledged is on disk, and there is nothing to repair or to catch up with at start;
* a search reads one snapshot, so its hits, total and aggregations are of one moment, an alias
  is swapped between two searches and never inside one, and a scan sees no later change;
* whatever is committed is seen by the next search of every thread and process; ``refresh`` has
  nothing to do;
* filters, sorts, pages and totals are SQL over indexed columns, exact by construction.

Why not a search library (tantivy, say) beside the database: two stores that commit separately
need a log between them, a lock over the processes and a catch-up after every crash, and a
search that joins the two has to leave out what changed in between. Such a library sorts by one
key, and its scores, regular expressions and fuzzy matches are its own; here they are Lucene's,
so that an application ranks the same when it moves on to a server. What a library does better
is the speed of scoring: here a word that a third of 60,000 documents have costs tens of
milliseconds, a rare one less than one. That is the trade: this backend is for one machine and
up to some hundred thousand documents.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Callable, Optional

from nefertari_search_tween.backends.analysis import flat_settings
from nefertari_search_tween.backends.base import (
    BulkAction,
    BulkItemResult,
    ConditionalWrite,
    IndexEntry,
    StoredDocument,
    WriteResult,
    chunks,
)
from nefertari_search_tween.backends.embedded.deadline import Deadline
from nefertari_search_tween.backends.embedded.errors import error, rejected
from nefertari_search_tween.backends.embedded.search.execute import Search
from nefertari_search_tween.backends.embedded.search.multi_index import aggregate
from nefertari_search_tween.backends.embedded.storage.document_rows import prepare
from nefertari_search_tween.backends.embedded.storage.fields import Field
from nefertari_search_tween.backends.embedded.storage.mapping import Index, merge_properties
from nefertari_search_tween.backends.embedded.storage.store import NEVER, Store
from nefertari_search_tween.backends.embedded.storage.tables import begin_filling
from nefertari_search_tween.backends.embedded.storage.writer import Writer, as_sequence_version
from nefertari_search_tween.exceptions import BackendError, IndexMissing

# Terms of vocabularies (those of one field) that are cached for the next pattern: some 70 MB.
MAX_CACHED_TERMS = 1_000_000
_REFRESH_INTERVAL = "index.refresh_interval"
_NAME = re.compile(r"[^A-Z\s\\/*?\"<>|,#:_+-][^A-Z\s\\/*?\"<>|,#:]{0,254}\Z")
# Names of aliases may have upper case letters.
_ALIAS = re.compile(r"[^\s\\/*?\"<>|,#:_+-][^\s\\/*?\"<>|,#:]{0,254}\Z")


class EmbeddedBackend:
    """See :class:`~nefertari_search_tween.backends.base.Backend`.

    :param directory: of the files; created if it does not exist. Threads and processes of one
        machine may share it. Do not put it on a network file system.
    :param timeout: seconds that a search may take.
    """

    name = "embedded"
    # A bulk rewrites the pages of its terms, which are all over the file: fewer, larger ones.
    backfill_chunks = 10

    def __init__(self, directory: str, timeout: float = 5.0) -> None:
        self.timeout = timeout
        self.store = Store(directory)
        self.directory = os.path.realpath(self.store.directory)
        self.location = self.store.file
        self._vocabularies: dict[tuple[int, int], tuple[int, list[str]]] = {}

    def require_supported(self, timeout: Optional[float] = None) -> None:
        """Return: the format of the files is checked whenever they are opened."""

    # Indices

    def create_index(
        self, name: str, mappings: dict[str, Any], settings: dict[str, Any], aliases: Iterable[str]
    ) -> None:
        aliases = list(aliases)
        if not _NAME.match(name):
            raise rejected(f"Invalid index name [{name}]", "invalid_index_name_exception")
        with self.store.writing() as connection:
            exists = connection.execute(
                "SELECT 1 FROM indices WHERE name = ?1 "
                "UNION SELECT 1 FROM aliases WHERE alias = ?1",
                (name,),
            ).fetchone()
            if exists:
                raise rejected(
                    f"index [{name}] already exists", "resource_already_exists_exception"
                )
            index = self.store.create_index(connection, name, mappings, flat_settings(settings))
            for alias in aliases:
                _check_alias(connection, alias)
                connection.execute("INSERT INTO aliases VALUES (?, ?)", (alias, index.number))

    def delete_index(self, name: str) -> None:
        with self.store.writing() as connection:
            try:
                index = self.store.resolve_one(connection, name)
            except IndexMissing:
                return
            if index.name != name:
                raise rejected(
                    f"The provided expression [{name}] matches an alias, specify the "
                    "corresponding concrete indices instead."
                )
            self.store.drop_index(connection, index)

    def indices(self, pattern: str) -> dict[str, set[str]]:
        return {name: entry.aliases for name, entry in self.entries(pattern).items()}

    def entries(self, pattern: str) -> dict[str, IndexEntry]:
        names = re.compile(
            "|".join(re.escape(part).replace(r"\*", ".*") for part in pattern.split(","))
        )
        rows: dict[str, tuple[set[str], str]] = {}
        with self.store.reading(NEVER) as connection:
            for name, alias, mapping in connection.execute(
                "SELECT name, alias, mapping FROM indices LEFT JOIN aliases USING (number) "
                "ORDER BY name"
            ):
                aliases, _ = rows.setdefault(name, (set(), mapping))
                if alias is not None:
                    aliases.add(alias)
        return {
            name: IndexEntry(aliases, json.loads(mapping).get("_meta", {}), 1)
            for name, (aliases, mapping) in rows.items()
            if names.fullmatch(name) or any(names.fullmatch(alias) for alias in aliases)
        }

    def latest_version(self, index: str) -> int:
        with self.store.reading(NEVER) as connection:
            target = self.store.resolve_one(connection, index)
            (version,) = connection.execute(
                "SELECT latest_version FROM indices WHERE number = ?", (target.number,)
            ).fetchone()
        return int(version)

    def search_activity(self, index: str) -> None:
        """Return None: a search reads a snapshot, in which the index is still there."""

    def swap_alias(self, alias: str, index: str) -> set[str]:
        self.store.end_filling(index)
        with self.store.writing() as connection:
            target = self.store.resolve_one(connection, index)
            _check_alias(connection, alias)
            rows = connection.execute(
                "SELECT name FROM indices JOIN aliases USING (number) WHERE alias = ?", (alias,)
            ).fetchall()
            connection.execute("DELETE FROM aliases WHERE alias = ?", (alias,))
            connection.execute("INSERT INTO aliases VALUES (?, ?)", (alias, target.number))
        return {name for (name,) in rows} - {target.name}

    def get_mapping(self, name: str) -> Optional[dict[str, Any]]:
        with self.store.reading(NEVER) as connection:
            try:
                return self.store.load_one(connection, name).mapping
            except IndexMissing:
                return None

    def put_mapping(self, index: str, mappings: dict[str, Any]) -> None:
        with self.store.writing() as connection:
            changed = self.store.load_one(connection, index)
            properties = merge_properties(
                changed.mapping.get("properties", {}), mappings.get("properties") or {}
            )
            changed.mapping["properties"] = properties
            if mappings.get("_meta") is not None:
                changed.mapping["_meta"] = mappings["_meta"]
            # Built again, so that the added fields and levels get their numbers.
            self.store.save_index(
                connection,
                Index(
                    changed.number, changed.name, changed.mapping, changed.settings, changed.layout
                ),
            )

    def unknown_analyzers(self, names: Iterable[str], settings: dict[str, Any]) -> dict[str, str]:
        reason = "the embedded backend has 'standard' only, Elasticsearch and OpenSearch have more"
        return {
            name: reason
            for name in names
            if name != "standard" or f"index.analysis.analyzer.{name}.type" in settings
        }

    def put_settings(self, index: str, settings: dict[str, Any]) -> None:
        flat = flat_settings(settings)
        # An index that is not refreshed is filled, and searched later, as on a server.
        filling = str(flat.get(_REFRESH_INTERVAL)) == "-1"
        if _REFRESH_INTERVAL in flat and not filling:
            self.store.end_filling(index)
        with self.store.writing() as connection:
            changed = self.store.load_one(connection, index)
            if filling:
                begin_filling(connection, changed)
            for key, value in flat.items():
                if value is None:
                    changed.settings.pop(key, None)
                else:
                    changed.settings[key] = value
            self.store.save_index(connection, changed)

    # Writing

    def bulk(
        self, actions: Iterable[BulkAction], chunk_size: int, timeout: Optional[float] = None
    ) -> Iterator[BulkItemResult]:
        for chunk in chunks(actions, chunk_size):
            yield from self._apply(chunk, Writer.apply, BulkItemResult)

    def write(
        self, writes: Iterable[ConditionalWrite], chunk_size: int, timeout: Optional[float] = None
    ) -> Iterator[WriteResult]:
        for chunk in chunks(writes, chunk_size):
            yield from self._apply(chunk, Writer.write, WriteResult)

    def _apply(
        self,
        chunk: list[Any],
        apply: Callable[..., Any],
        rejected_result: Callable[[Any, int, Any], Any],
    ) -> list[Any]:
        """Apply *chunk* in one transaction; documents are read and analysed before it.

        :param apply: applies one action by a writer.
        :param rejected_result: builds the result of an action whose alias is missing.
        """
        with self.store.reading(NEVER) as connection:
            targets = {name: self._target(connection, name) for name in {a.index for a in chunk}}
        prepared = [prepare(action.body, targets[action.index]) for action in chunk]
        results = []
        with self.store.writing() as connection:
            current = {name: self._target(connection, name) for name in targets}
            writers: dict[str, Writer] = {}
            for action, (row, problem) in zip(chunk, prepared):
                index = current[action.index]
                if isinstance(index, dict):
                    results.append(rejected_result(action, 404, index))
                    continue
                if index is not targets[action.index]:
                    # The mapping has changed since, or the alias has moved.
                    row, problem = prepare(action.body, index)
                if index.name not in writers:
                    writers[index.name] = Writer(connection, index)
                results.append(apply(writers[index.name], action, row, problem))
            for writer in writers.values():
                writer.finish()
        return results

    def _target(self, connection: Any, name: str) -> Any:
        """Return the index behind the alias *name*; an error object if it does not exist."""
        try:
            index = self.store.resolve_one(connection, name)
        except IndexMissing:
            index = None
        if index is None or index.name == name:
            reason = f"no such index [{name}] and [require_alias] request flag is [true]"
            return error("index_not_found_exception", reason)
        return index

    # Reading

    def search(
        self, index: str, body: dict[str, Any], timeout: Optional[float] = None
    ) -> dict[str, Any]:
        deadline = self._deadline(timeout)
        with self.store.reading(deadline) as connection:
            targets = self.store.resolve(connection, index)
            if len(targets) == 1:
                return self._search(connection, targets[0], body, deadline).run()
            vocabularies = [
                partial(self._vocabulary, connection, target, deadline) for target in targets
            ]
            return aggregate(connection, targets, body, vocabularies, deadline)

    def multi_search(
        self, searches: Sequence[tuple[str, dict[str, Any]]], timeout: Optional[float] = None
    ) -> list[dict[str, Any]]:
        deadline = self._deadline(timeout)
        # One snapshot for all.
        with self.store.reading(deadline) as connection:
            return [
                self._search(
                    connection, self.store.resolve_one(connection, index), body, deadline
                ).run()
                for index, body in searches
            ]

    def _deadline(self, timeout: Optional[float]) -> Deadline:
        """Return the deadline of a search that begins now."""
        return Deadline(self.timeout if timeout is None else timeout)

    def _search(
        self,
        connection: sqlite3.Connection,
        index: Index,
        body: dict[str, Any],
        deadline: Deadline,
        unbounded: bool = False,
    ) -> Search:
        vocabulary = partial(self._vocabulary, connection, index, deadline)
        return Search(connection, index, body, vocabulary, deadline, unbounded)

    def _vocabulary(
        self, connection: sqlite3.Connection, index: Index, deadline: Deadline, field: Field
    ) -> Sequence[str]:
        (writes,) = connection.execute(
            "SELECT writes FROM indices WHERE number = ?", (index.number,)
        ).fetchone()
        key = (index.number, field.number)
        cached = self._vocabularies.get(key)
        if cached is not None and cached[0] == writes:
            return cached[1]
        rows = deadline.each(connection.execute(index.vocabulary_query(field)))
        terms = [term for (term,) in rows]
        cached_terms = sum(len(each) for _, each in self._vocabularies.values())
        if cached_terms + len(terms) > MAX_CACHED_TERMS:
            self._vocabularies.clear()
        self._vocabularies[key] = (writes, terms)
        return terms

    def multi_get(self, index: str, ids: Iterable[str]) -> dict[str, Optional[dict[str, Any]]]:
        documents = self.get_realtime(index, ids)
        return {key: None if each is None else each.source for key, each in documents.items()}

    def get_realtime(self, index: str, ids: Iterable[str]) -> dict[str, Optional[StoredDocument]]:
        keys = list(ids)
        documents: dict[str, Optional[StoredDocument]] = dict.fromkeys(keys)
        with self.store.reading(self._deadline(None)) as connection:
            if not keys:
                return documents
            target = self.store.resolve_one(connection, index)
            for first in range(0, len(keys), 500):
                part = keys[first : first + 500]
                marks = ", ".join("?" * len(part))
                for identity, version, source in connection.execute(
                    f"SELECT id, version, source FROM {target.docs} WHERE id IN ({marks}) "
                    "AND source IS NOT NULL",
                    part,
                ):
                    documents[identity] = StoredDocument(
                        json.loads(source), as_sequence_version(version)
                    )
        return documents

    def scan(
        self, index: str, body: dict[str, Any], chunk_size: int, timeout: Optional[float] = None
    ) -> Iterator[list[dict[str, Any]]]:
        deadline = Deadline(timeout)
        # A separate connection: its snapshot stays while this thread uses its other one.
        with self.store.reading(deadline, separate=True) as connection:
            target = self.store.resolve_one(connection, index)
            search = self._search(connection, target, body, deadline, unbounded=True)
            yield from search.pages(chunk_size)

    def refresh(self, index: str) -> None:
        """Check that the index exists; committed writes are visible without a refresh."""
        with self.store.reading(NEVER) as connection:
            self.store.resolve(connection, index)

    def ping(self) -> bool:
        try:
            with self.store.reading(NEVER) as connection:
                connection.execute("SELECT count(*) FROM indices").fetchone()
        except BackendError:
            return False
        return True

    def close(self) -> None:
        """Close this thread's files."""
        self.store.close()


def _check_alias(connection: sqlite3.Connection, alias: str) -> None:
    if not _ALIAS.match(alias):
        raise rejected(f"Invalid alias name [{alias}]", "invalid_alias_name_exception")
    if connection.execute("SELECT 1 FROM indices WHERE name = ?", (alias,)).fetchone():
        raise rejected(
            f"Invalid alias name [{alias}]: an index exists with the same name as the alias",
            "invalid_alias_name_exception",
        )
