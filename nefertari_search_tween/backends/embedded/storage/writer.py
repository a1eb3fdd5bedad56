"""Write the rows of documents into tables, in the transaction of a bulk."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from typing import Any, Optional

from nefertari_search_tween.backends.base import (
    BulkAction,
    BulkItemResult,
    ConditionalWrite,
    SequenceVersion,
    WriteResult,
)
from nefertari_search_tween.backends.embedded.errors import error
from nefertari_search_tween.backends.embedded.storage.document_rows import NewField, Reader, Row
from nefertari_search_tween.backends.embedded.storage.fields import INT64_MAX, Malformed
from nefertari_search_tween.backends.embedded.storage.mapping import Index
from nefertari_search_tween.backends.embedded.storage.store import Store

MAX_ID_BYTES = 512


def as_sequence_version(version: int) -> SequenceVersion:
    """Return the version of a document's state.

    None occurs twice, because a deleted document keeps its version.
    """
    return SequenceVersion(version, 1)


class Writer:
    """Applies prepared actions to one index inside one transaction."""

    def __init__(self, connection: sqlite3.Connection, index: Index) -> None:
        self.connection = connection
        self.index = index
        self.changed = False
        self._latest_version = 0
        self._private = False
        self._next: dict[str, int] = {}
        self._inserts: dict[str, list[Any]] = defaultdict(list)
        self._pending_ids: set[str] = set()
        self._stats: dict[int, list[int]] = defaultdict(lambda: [0, 0])

    def apply(
        self, action: BulkAction, row: Optional[Row], problem: Optional[Malformed]
    ) -> BulkItemResult:
        """Apply one action.

        :param row: of the document, None if it needs fields that the mapping lacks.
        :param problem: why it can't be indexed.
        """
        if action.version < 0 or action.version > INT64_MAX:
            reason = f"illegal version value [{action.version}] for version type [EXTERNAL_GTE]"
            return BulkItemResult(action, 400, error("action_request_validation_exception", reason))
        row, invalid = self._check(action, row, problem)
        if invalid is not None:
            return BulkItemResult(action, 400, invalid)
        current = self._current(action.id)
        if current is not None and current[1] > action.version:
            reason = (
                f"[{action.id}]: version conflict, current version [{current[1]}] is higher "
                f"than the one provided [{action.version}]"
            )
            return BulkItemResult(action, 409, error("version_conflict_engine_exception", reason))
        return BulkItemResult(action, self._put(action, current, row, action.version), None)

    def write(
        self, write: ConditionalWrite, row: Optional[Row], problem: Optional[Malformed]
    ) -> WriteResult:
        """Apply one conditional write; see :meth:`apply`."""
        row, invalid = self._check(write, row, problem)
        if invalid is not None:
            return WriteResult(write, 400, invalid)
        current = self._current(write.id)
        live = current is not None and current[2]
        stored = as_sequence_version(current[1]) if current is not None and live else None
        if stored != write.expected:
            expected = "no document" if write.expected is None else f"{write.expected}"
            reason = f"[{write.id}]: version conflict, expected {expected}, there is {stored}"
            return WriteResult(write, 409, error("version_conflict_engine_exception", reason))
        version = current[1] + 1 if current is not None else 1
        status = self._put(write, current, row, version)
        return WriteResult(write, status, None, as_sequence_version(version))

    def _check(
        self, action: Any, row: Optional[Row], problem: Optional[Malformed]
    ) -> tuple[Optional[Row], Optional[dict[str, Any]]]:
        """Return the row to write, and the error of an action whose id or document is invalid."""
        if not action.id or len(action.id.encode("utf-8", "replace")) > MAX_ID_BYTES:
            reason = f"id is empty or longer than {MAX_ID_BYTES} bytes"
            return None, error("illegal_argument_exception", reason)
        if problem is None and action.body is not None and row is None:
            try:
                row = self._grow(action.body)
            except Malformed as malformed:
                problem = malformed
        if problem is not None:
            return None, error("document_parsing_exception", str(problem))
        return row, None

    def _current(self, identity: str) -> Any:
        """Return the document *identity*, also a deleted one: number, version, whether it lives."""
        if identity in self._pending_ids:
            self.flush()
        self._pending_ids.add(identity)
        return self.connection.execute(
            f"SELECT doc, version, source IS NOT NULL FROM {self.index.docs} WHERE id = ?",
            (identity,),
        ).fetchone()

    def _put(self, action: Any, current: Any, row: Optional[Row], version: int) -> int:
        """Replace, add or delete a document; return the status."""
        self.changed = True
        self._latest_version = max(self._latest_version, version)
        live = current is not None and current[2]
        if live:
            self._remove(current[0])
        doc = current[0] if current is not None else self._number(self.index.docs)
        if row is None:
            self._inserts[self.index.docs].append((doc, action.id, version, None))
            return 200 if live else 404
        self._insert(row, doc, doc, None)
        self._inserts[self.index.docs].append((doc, action.id, version, action.body))
        return 200 if live else 201

    def _grow(self, body: bytes) -> Row:
        """Return the row of a document with new fields, after adding them to the mapping."""
        # Not the index that other threads read from; a rejected document changes nothing.
        grown = Store.load_index(self.connection, self.index.number)
        reader = Reader(grown, grow=True)
        row = reader.row(body)
        if reader.grown:
            self.flush()
            self.index, self._private = grown, True
            Store.save_index(self.connection, grown)
        return row

    def _number(self, table: str) -> int:
        number = self._next.get(table)
        if number is None:
            (number,) = self.connection.execute(
                f"SELECT coalesce(max(doc), 0) + 1 FROM {table}"
            ).fetchone()
        self._next[table] = number + 1
        return int(number)

    def _insert(self, row: Row, doc: int, root: int, parent: Optional[int]) -> None:
        by_field = row.values
        fields = self.index.levels[row.level.path].fields
        self._inserts[row.level.table].append(
            (doc, parent, root, *[by_field.get(each.number) for each in fields])
        )
        for number, length in row.lengths.items():
            stats = self._stats[number]
            stats[0] += length > 0
            stats[1] += length
        if row.posts:
            self._inserts[self.index.post].extend(
                [
                    (number, term, doc, frequency, length, positions)
                    for number, term, frequency, length, positions in row.posts
                ]
            )
        for number, values in row.lists.items():
            if number not in self.index.layout["multi"]:
                self._make_multi(number)
            self._inserts[self.index.multi].extend(
                (number, doc, position, value) for position, value in enumerate(values)
            )
        for child in row.children:
            self._insert(child, self._number(child.level.table), root, doc)

    def _make_multi(self, number: int) -> None:
        if not self._private:
            self.index = Store.load_index(self.connection, self.index.number)
            self._private = True
        self.index.layout["multi"].append(number)
        Store.save_index(self.connection, self.index)

    def _remove(self, doc: int) -> None:
        """Delete a document's rows and those of its nested documents."""
        execute = self.connection.execute
        analysed = self._analysed(doc)
        for level in self.index.levels.values():
            where = "doc" if level.parent is None else "root"
            texts = [each for each in level.fields if each.kind == "text"]
            if texts:
                columns = ", ".join(["doc", *(each.column for each in texts)])
                rows = execute(
                    f"SELECT {columns} FROM {level.table} WHERE {where} = ? ORDER BY doc", (doc,)
                ).fetchall()
                again = analysed[level.path]
                for number, (row, *lengths) in enumerate(rows):
                    stored = {
                        each.number: length
                        for each, length in zip(texts, lengths)
                        if length is not None
                    }
                    posts = again[number].posts if len(again) == len(rows) else []
                    self._remove_terms(row, stored, posts)
            for each in level.fields:
                if each.number in self.index.layout["multi"]:
                    execute(
                        f"DELETE FROM {self.index.multi} WHERE field = ? AND doc IN "
                        f"(SELECT doc FROM {level.table} WHERE {where} = ?)",
                        (each.number, doc),
                    )
            execute(f"DELETE FROM {level.table} WHERE {where} = ?", (doc,))

    def _analysed(self, doc: int) -> dict[str, list[Row]]:
        """Return the rows that the stored document has by the mapping of today, by level."""
        (source,) = self.connection.execute(
            f"SELECT source FROM {self.index.docs} WHERE doc = ?", (doc,)
        ).fetchone()
        rows: dict[str, list[Row]] = defaultdict(list)
        try:
            for row in Reader(self.index).row(source).each():
                rows[row.level.path].append(row)
        except (Malformed, NewField):
            # The mapping was another one when it was written.
            rows.clear()
        return rows

    def _remove_terms(self, row: int, lengths: dict[int, int], posts: list[Any]) -> None:
        """Delete the terms of a row.

        They are looked up as they come of the document now. They were others, if it was analysed
        by another Python, say, whose Unicode is another. All were deleted if each of *posts* was
        there with its frequency, and the frequencies add up to the lengths of the texts. Otherwise
        the row's terms are searched in all the terms of its fields.

        :param lengths: field number -> number of terms, of the texts that the row has.
        :param posts: the terms that the row has by the mapping of today.
        """
        for number, length in lengths.items():
            stats = self._stats[number]
            stats[0] -= length > 0
            stats[1] -= length
        rest, keys = dict(lengths), []
        for number, term, frequency, *_ in posts:
            # The document may have had a field before the mapping had it.
            if number in rest:
                rest[number] -= frequency
                keys.append((number, term, row, frequency))
        deleted = self.connection.executemany(
            f"DELETE FROM {self.index.post} WHERE field = ? AND term = ? AND doc = ? AND tf = ?",
            keys,
        ).rowcount
        if any(rest.values()) or deleted != len(keys):
            fields = ", ".join(map(str, lengths))
            self.connection.execute(
                f"DELETE FROM {self.index.post} WHERE field IN ({fields}) AND doc = ?", (row,)
            )

    def flush(self) -> None:
        """Write the pending rows."""
        executemany = self.connection.executemany
        for level in self.index.levels.values():
            rows = self._inserts.pop(level.table, None)
            if rows:
                columns = ["doc", "parent", "root", *[each.column for each in level.fields]]
                marks = ", ".join("?" * len(columns))
                executemany(
                    f"INSERT INTO {level.table} ({', '.join(columns)}) VALUES ({marks})", rows
                )
        executemany(
            f"INSERT OR REPLACE INTO {self.index.docs} (doc, id, version, source) "
            "VALUES (?, ?, ?, ?)",
            self._inserts.pop(self.index.docs, ()),
        )
        # In the order of the table, so that its pages fill one after the other.
        posts = sorted(self._inserts.pop(self.index.post, ()))
        executemany(f"INSERT INTO {self.index.post} VALUES (?, ?, ?, ?, ?, ?)", posts)
        lists = self._inserts.pop(self.index.multi, ())
        executemany(f"INSERT INTO {self.index.multi} VALUES (?, ?, ?, ?)", lists)
        executemany(
            f"INSERT INTO {self.index.stats} VALUES (?1, ?2, ?3) ON CONFLICT (field) "
            "DO UPDATE SET docs = docs + ?2, terms = terms + ?3",
            [(number, *change) for number, change in self._stats.items()],
        )
        self._stats.clear()
        self._pending_ids.clear()

    def finish(self) -> None:
        """Write all pending changes; the caller commits."""
        self.flush()
        if self.changed:
            self.connection.execute(
                "UPDATE indices SET writes = writes + 1, latest_version = max(latest_version, ?) "
                "WHERE number = ?",
                (self._latest_version, self.index.number),
            )
