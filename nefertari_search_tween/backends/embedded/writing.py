"""Documents -> rows: values into columns, texts into the table of terms."""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any, Optional

from nefertari_search_tween.backends.base import Action, Outcome
from nefertari_search_tween.backends.embedded import analysis, phrases
from nefertari_search_tween.backends.embedded.errors import error
from nefertari_search_tween.backends.embedded.fields import (
    INT64_MAX,
    SKIPPED,
    Field,
    Index,
    Level,
    Malformed,
    Node,
    guessed,
)
from nefertari_search_tween.backends.embedded.store import Store

MAX_ID_BYTES = 512
# What a document has posted, as a text: for each of its rows, the row's number, and then field
# and term by turns. These two characters are in no term.
_ITEM, _PART = "\x01", "\x02"
_SCALARS = frozenset({str, int, float, bool})


class NewField(Exception):
    """The document has a field that the mapping has not (yet)."""


@dataclass
class Row:
    """One document of one level, ready to be written.

    :param posts: (field, term, frequency, length of the text, positions).
    :param posted: which terms these are, as a text.
    """

    level: Level
    values: dict[int, Any] = field(default_factory=dict)
    lists: dict[int, list[Any]] = field(default_factory=dict)
    posts: list[tuple[int, str, int, int, Any]] = field(default_factory=list)
    posted: str = ""
    lengths: dict[int, int] = field(default_factory=dict)
    children: list[Row] = field(default_factory=list)


class Reader:
    """Reads documents as the mapping of *index* says.

    :param grow: put unknown fields into the mapping (else :class:`NewField`).
    """

    def __init__(self, index: Index, grow: bool = False) -> None:
        self.index = index
        self.grow = grow
        self.grown = False

    def row(self, body: bytes) -> Row:
        """The row of a document, its nested documents' rows under it.

        :raises Malformed: it does not fit the mapping.
        """
        try:
            source = json.loads(body)
            body.decode("utf-8")
        except (ValueError, RecursionError) as problem:
            raise Malformed(f"failed to parse: {problem}") from problem
        if not isinstance(source, dict):
            raise Malformed("failed to parse: a document is a JSON object")
        return self._level_row(source, self.index.root)

    def _level_row(self, source: dict[str, Any], node: Node) -> Row:
        row = Row(node.level)
        raw: dict[int, tuple[Field, list[Any]]] = {}
        self._object(source, node, row, raw)
        for made, values in raw.values():
            _fill(row, made, values)
        row.posted = _PART.join([f"{post[0]}{_PART}{post[1]}" for post in row.posts])
        return row

    def _object(
        self,
        source: dict[str, Any],
        node: Node,
        row: Row,
        raw: dict[int, tuple[Field, list[Any]]],
    ) -> None:
        for key, value in source.items():
            if value is None:
                child = node.children.get(key)
                if not isinstance(child, Field) or child.null_value is None:
                    continue
            child = node.children.get(key) or self._unknown(node, key, value)
            if child is SKIPPED or child is None:
                continue
            if isinstance(child, Field):
                if type(value) in _SCALARS and child.number not in raw:
                    raw[child.number] = (child, [value])
                else:
                    self._leaf(child, value, raw)
                continue
            for each in _flat(value):
                if each is None:
                    continue
                if not isinstance(each, dict):
                    raise Malformed(
                        f"object mapping for [{node.prefix}{key}] tried to parse field "
                        f"[{node.prefix}{key}] as object, but found a concrete value"
                    )
                if child.level is node.level:
                    self._object(each, child, row, raw)
                else:
                    row.children.append(self._level_row(each, child))

    def _unknown(self, node: Node, key: str, value: Any) -> Any:
        if "." in key:
            first, _, rest = key.partition(".")
            child = node.children.get(first)
            if isinstance(child, Node) and rest in child.children:
                return child.children[rest]
        if node.dynamic == "strict":
            raise Malformed(
                f"mapping set to strict, dynamic introduction of [{key}] within "
                f"[{node.prefix[:-1] or '_doc'}] is not allowed"
            )
        if node.dynamic == "false":
            return None
        spec = guessed(value)
        if spec is None:
            return None
        if not self.grow:
            raise NewField(key)
        self.grown = True
        return self.index.add(node, key, spec)

    @staticmethod
    def _leaf(made: Field, value: Any, raw: dict[int, tuple[Field, list[Any]]]) -> None:
        values = raw.setdefault(made.number, (made, []))[1]
        for each in _flat(value):
            if each is None:
                each = made.null_value
                if each is None:
                    continue
            if isinstance(each, dict):
                if made.ignore_malformed:
                    continue
                raise Malformed(
                    f"failed to parse field [{made.name}] of type [{made.type}]: an object"
                )
            values.append(each)


def _flat(value: Any) -> list[Any]:
    if not isinstance(value, list):
        return [value]
    if any(isinstance(each, list) for each in value):
        return [leaf for each in value for leaf in _flat(each)]
    return value


def _fill(row: Row, made: Field, raw: list[Any]) -> None:
    """Index the values *raw* of one field, and its subfields."""
    values = []
    for each in raw:
        try:
            value = made.value(each)
        except Malformed as problem:
            if made.ignore_malformed:
                continue
            raise Malformed(
                f"failed to parse field [{made.name}] of type [{made.type}]: {problem}"
            ) from problem
        if value is not None:
            values.append(value)
    for sub in made.subfields:
        _fill(row, sub, raw)
    if not values:
        return
    if made.kind == "text":
        _post(row, made, values)
    elif len(values) == 1:
        row.values[made.number] = values[0]
    else:
        if made.kind in ("keyword", "boolean"):
            values = list(set(values))
        values.sort()
        row.values[made.number] = values[0]
        if len(values) > 1:
            row.lists[made.number] = values


def _post(row: Row, made: Field, values: list[str]) -> None:
    found: dict[str, list[int]] = {}
    base, count = 0, 0
    for value in values:
        terms = analysis.terms(value)
        for position, term in enumerate(terms, base):
            places = found.get(term)
            if places is None:
                found[term] = [position]
            else:
                places.append(position)
        count += len(terms)
        base += len(terms) + analysis.POSITION_GAP
    number, length = made.number, quantized(count)
    row.lengths[number] = row.values[number] = count
    row.posts.extend(
        [
            (number, term, len(places), length, phrases.encode(places))
            for term, places in found.items()
        ]
    )


def quantized(length: int) -> int:
    """A text's length as Lucene keeps it, in one byte: exact up to 40, then coarser.

    ``SmallFloat.intToByte4`` and back.
    """
    if length < 40:
        return length
    rest = length - 24
    shift = max(rest.bit_length() - 4, 0)
    return 24 + ((rest >> shift) << shift)


class Writer:
    """Applies prepared actions to one index inside one transaction."""

    def __init__(self, connection: sqlite3.Connection, index: Index) -> None:
        self.connection = connection
        self.index = index
        self.changed = False
        self._private = False
        self._next: dict[str, int] = {}
        self._inserts: dict[str, list[Any]] = defaultdict(list)
        self._seen: set[str] = set()
        self._stats: dict[int, list[int]] = defaultdict(lambda: [0, 0])

    def apply(self, action: Action, row: Optional[Row], problem: Optional[Malformed]) -> Outcome:
        """Apply one action.

        :param row: of the document, None when it needs fields that the mapping has not.
        :param problem: why it can't be indexed.
        """
        if not action.id or len(action.id.encode("utf-8", "replace")) > MAX_ID_BYTES:
            reason = f"id is empty or longer than {MAX_ID_BYTES} bytes"
            return Outcome(action, 400, error("illegal_argument_exception", reason))
        if action.version < 0 or action.version > INT64_MAX:
            reason = f"illegal version value [{action.version}] for version type [EXTERNAL_GTE]"
            return Outcome(action, 400, error("action_request_validation_exception", reason))
        if problem is None and action.body is not None and row is None:
            try:
                row = self._grow(action.body)
            except Malformed as found:
                problem = found
        if problem is not None:
            return Outcome(action, 400, error("document_parsing_exception", str(problem)))
        if action.id in self._seen:
            self.flush()
        self._seen.add(action.id)
        known = self.connection.execute(
            f"SELECT doc, version, posted FROM {self.index.docs} WHERE id = ?", (action.id,)
        ).fetchone()
        if known is not None and known[1] > action.version:
            reason = (
                f"[{action.id}]: version conflict, current version [{known[1]}] is higher "
                f"than the one provided [{action.version}]"
            )
            return Outcome(action, 409, error("version_conflict_engine_exception", reason))
        self.changed = True
        live = known is not None and known[2] is not None
        if live:
            self._remove(known[0], known[2])
        doc = known[0] if known is not None else self._number(self.index.docs)
        if row is None:
            self._inserts[self.index.docs].append((doc, action.id, action.version, None, None))
            return Outcome(action, 200 if live else 404, None)
        posted: list[str] = []
        self._insert(row, doc, doc, None, posted)
        self._inserts[self.index.docs].append(
            (doc, action.id, action.version, _ITEM.join(posted), action.body)
        )
        return Outcome(action, 200 if live else 201, None)

    def _grow(self, body: bytes) -> Row:
        """The row of a document with new fields: they are put into the mapping."""
        # Not the index that other threads read from; a refused document changes nothing.
        trial = Store.load(self.connection, self.index.number)
        reader = Reader(trial, grow=True)
        row = reader.row(body)
        if reader.grown:
            self.flush()
            self.index, self._private = trial, True
            Store.save(self.connection, trial)
        return row

    def _number(self, table: str) -> int:
        number = self._next.get(table)
        if number is None:
            (number,) = self.connection.execute(
                f"SELECT coalesce(max(doc), 0) + 1 FROM {table}"
            ).fetchone()
        self._next[table] = number + 1
        return int(number)

    def _insert(
        self, row: Row, doc: int, root: int, parent: Optional[int], posted: list[str]
    ) -> None:
        values = row.values
        fields = self.index.levels[row.level.path].fields
        self._inserts[row.level.table].append(
            (doc, parent, root, *[values.get(each.number) for each in fields])
        )
        for number, length in row.lengths.items():
            stats = self._stats[number]
            stats[0] += length > 0
            stats[1] += length
        if row.posts:
            self._inserts[self.index.post].extend(
                [(number, term, doc, *rest) for number, term, *rest in row.posts]
            )
            posted.append(f"{doc}{_PART}{row.posted}")
        for number, several in row.lists.items():
            if number not in self.index.layout["multi"]:
                self._make_multi(number)
            self._inserts[self.index.multi].extend(
                (number, doc, place, value) for place, value in enumerate(several)
            )
        for child in row.children:
            self._insert(child, self._number(child.level.table), root, doc, posted)

    def _make_multi(self, number: int) -> None:
        if not self._private:
            self.index = Store.load(self.connection, self.index.number)
            self._private = True
        self.index.layout["multi"].append(number)
        Store.save(self.connection, self.index)

    def _remove(self, doc: int, posted: str) -> None:
        """Take a document's rows away, its nested documents' too."""
        execute = self.connection.execute
        for level in self.index.levels.values():
            where = "doc" if level.parent is None else "root"
            texts = [each for each in level.fields if each.kind == "text"]
            if texts:
                columns = ", ".join(each.column for each in texts)
                for found in execute(
                    f"SELECT {columns} FROM {level.table} WHERE {where} = ?", (doc,)
                ):
                    for each, length in zip(texts, found):
                        if length is not None:
                            stats = self._stats[each.number]
                            stats[0] -= length > 0
                            stats[1] -= length
            for each in level.fields:
                if each.number in self.index.layout["multi"]:
                    execute(
                        f"DELETE FROM {self.index.multi} WHERE field = ? AND doc IN "
                        f"(SELECT doc FROM {level.table} WHERE {where} = ?)",
                        (each.number, doc),
                    )
            execute(f"DELETE FROM {level.table} WHERE {where} = ?", (doc,))
        for item in posted.split(_ITEM) if posted else ():
            owner, *parts = item.split(_PART)
            self.connection.executemany(
                f"DELETE FROM {self.index.post} WHERE field = ? AND term = ? AND doc = ?",
                [(number, term, owner) for number, term in zip(parts[::2], parts[1::2])],
            )

    def flush(self) -> None:
        """Write the rows that wait."""
        for level in self.index.levels.values():
            rows = self._inserts.pop(level.table, None)
            if rows:
                columns = ["doc", "parent", "root", *[each.column for each in level.fields]]
                marks = ", ".join("?" * len(columns))
                self.connection.executemany(
                    f"INSERT INTO {level.table} ({', '.join(columns)}) VALUES ({marks})", rows
                )
        docs = self._inserts.pop(self.index.docs, None)
        if docs:
            self.connection.executemany(
                f"INSERT OR REPLACE INTO {self.index.docs} (doc, id, version, posted, source) "
                "VALUES (?, ?, ?, ?, ?)",
                docs,
            )
        posts = self._inserts.pop(self.index.post, None)
        if posts:
            # In the order of the table, which makes its pages cheaper to fill.
            posts.sort()
            self.connection.executemany(
                f"INSERT INTO {self.index.post} VALUES (?, ?, ?, ?, ?, ?)", posts
            )
        lists = self._inserts.pop(self.index.multi, None)
        if lists:
            self.connection.executemany(
                f"INSERT INTO {self.index.multi} VALUES (?, ?, ?, ?)", lists
            )
        self.connection.executemany(
            f"INSERT INTO {self.index.stats} VALUES (?1, ?2, ?3) ON CONFLICT (field) "
            "DO UPDATE SET docs = docs + ?2, terms = terms + ?3",
            [(number, *change) for number, change in self._stats.items()],
        )
        self._stats.clear()
        self._seen.clear()

    def finish(self) -> None:
        """Write everything; the caller commits."""
        self.flush()
        if self.changed:
            self.connection.execute(
                "UPDATE indices SET writes = writes + 1 WHERE number = ?", (self.index.number,)
            )
