"""Aggregations over several indices, which are merged into one in temporary tables.

Results of separate indices can't be combined (an average, a percentile, the ten commonest terms
of each). So the rows that aggregations read are copied, SQL to SQL, into tables that are dropped
with the search; nothing is analysed again.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

from nefertari_search_tween.backends.embedded.deadline import Deadline
from nefertari_search_tween.backends.embedded.errors import rejected, unsupported
from nefertari_search_tween.backends.embedded.query.nodes import Condition
from nefertari_search_tween.backends.embedded.query.parser import QueryParser
from nefertari_search_tween.backends.embedded.search.execute import Search, Vocabulary
from nefertari_search_tween.backends.embedded.sql import Sql
from nefertari_search_tween.backends.embedded.storage.fields import Field, Level
from nefertari_search_tween.backends.embedded.storage.mapping import Index
from nefertari_search_tween.backends.embedded.storage.tables import create_term_tables

# Aggregations that read more than the matching documents.
_BEYOND = ("global",)
_NUMBERS = frozenset({"integer", "float"})


class MergedIndex(Index):
    """Several indices as one; the remainder of a row's number by their count is its index.

    :param members: the indices.
    :param requested: the aggregations as JSON; costly fields that it does not name are left out.
    """

    def __init__(self, members: Sequence[Index], requested: str) -> None:
        self._members = list(members)
        self._conflicting: set[str] = set()
        properties = self._merge([index.mapping.get("properties", {}) for index in members], "")
        for name in sorted(self._conflicting):
            if json.dumps(name) in requested:
                raise rejected(f"[{name}] is of different types in the indices")
        layout: dict[str, Any] = {"levels": {}, "fields": {}, "multi": []}
        super().__init__(0, "several", {"properties": properties}, {}, layout)
        self.requested = requested
        self.docs, self.post, self.multi, self.stats = (
            f"several_{name}" for name in ("docs", "post", "multi", "stats")
        )
        for level in self.levels.values():
            level.table = f"several_r{level.number}"
        for field in self.fields.values():
            field.multi = any(self._of(index, field).multi for index in self._members_with(field))

    @property
    def members(self) -> list[Index]:
        return self._members

    def _merge(self, mappings: Sequence[dict[str, Any]], prefix: str) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for name in dict.fromkeys(name for properties in mappings for name in properties):
            specs = [properties[name] for properties in mappings if name in properties]
            kinds = {spec.get("type", "object") for spec in specs}
            if kinds == {"long", "double"}:
                result[name] = next(spec for spec in specs if spec["type"] == "double")
            elif len(kinds) > 1:
                self._conflicting.add(prefix + name)
            elif kinds <= {"object", "nested"}:
                inner = [spec.get("properties", {}) for spec in specs]
                result[name] = {**specs[0], "properties": self._merge(inner, f"{prefix}{name}.")}
            else:
                result[name] = specs[0]
        return result

    def _members_with(self, field: Field) -> list[Index]:
        return [index for index in self.members if field.name in index.fields]

    @staticmethod
    def _of(index: Index, field: Field) -> Field:
        return index.fields[field.name]

    def name_of(self, doc: int) -> str:
        return self.members[doc % len(self.members)].name

    # Tables

    def create(self, connection: sqlite3.Connection) -> None:
        """Create the empty tables; they are dropped with the transaction."""
        execute = connection.execute
        execute(f"CREATE TEMP TABLE {self.docs} (doc INTEGER PRIMARY KEY, id, version, source)")
        create_term_tables(connection, self, "CREATE TEMP TABLE")
        execute("CREATE TEMP TABLE several_found (doc INTEGER PRIMARY KEY)")
        for level in self.levels.values():
            columns = "".join(f", {field.column}" for field in level.fields)
            execute(
                f"CREATE TEMP TABLE {level.table} "
                f"(doc INTEGER PRIMARY KEY, parent INTEGER, root INTEGER{columns})"
            )
            if level.parent is not None:
                execute(f"CREATE INDEX temp.{level.table}_root ON {level.table} (root)")

    def fill(self, connection: sqlite3.Connection, position: int, matches: Sql) -> None:
        """Copy the needed rows of the member at *position*.

        :param matches: SELECT of its matching documents.
        """
        index, count = self.members[position], len(self.members)

        def new(column: str) -> str:
            return f"{column} * {count} + {position}"

        (f"SELECT {new('doc')} FROM (" + matches + ")").run(
            connection, "INSERT INTO several_found "
        )
        whole_index = any(json.dumps(name) in self.requested for name in _BEYOND)
        for level in self.levels.values():
            source = index.levels.get(level.path)
            if source is None:
                continue
            owner = "doc" if level.parent is None else "root"
            connection.execute(
                f"INSERT INTO {level.table} SELECT {new('doc')}, {new('parent')}, {new('root')}"
                + "".join(f", {self._column(index, source, field)}" for field in level.fields)
                + f" FROM {source.table}"
                + ("" if whole_index else f" WHERE {new(owner)} IN several_found")
            )
        if '"top_hits"' in self.requested:
            connection.execute(
                f"INSERT INTO {self.docs} SELECT {new('doc')}, id, version, source "
                f"FROM {index.docs}"
                + ("" if whole_index else f" WHERE {new('doc')} IN several_found")
            )
        for field in self.fields.values():
            if field.name not in index.fields or json.dumps(field.name)[1:-1] not in self.requested:
                continue
            old, within = self._of(index, field), f"(SELECT doc FROM {field.level.table})"
            if field.kind == "text":
                connection.execute(
                    f"INSERT INTO {self.post} SELECT {field.number}, term, {new('doc')}, tf, "
                    f"length, positions FROM {index.post} WHERE field = {old.number} "
                    f"AND {new('doc')} IN {within}"
                )
                connection.execute(
                    f"INSERT INTO {self.stats} SELECT {field.number}, docs, terms FROM "
                    f"{index.stats} WHERE field = {old.number} ON CONFLICT (field) DO UPDATE "
                    "SET docs = docs + excluded.docs, terms = terms + excluded.terms"
                )
            elif old.multi:
                connection.execute(
                    f"INSERT INTO {self.multi} SELECT {field.number}, {new('doc')}, place, value "
                    f"FROM {index.multi} WHERE field = {old.number} AND {new('doc')} IN {within}"
                )

    @staticmethod
    def _column(index: Index, source: Level, field: Field) -> str:
        old = index.fields.get(field.name)
        return old.column if old is not None and old.level is source else "NULL"


def aggregate(
    connection: sqlite3.Connection,
    indices: Sequence[Index],
    body: dict[str, Any],
    vocabularies: Sequence[Vocabulary],
    deadline: Deadline,
) -> dict[str, Any]:
    """Return the response to *body*, a search of several *indices* without hits.

    :param vocabularies: of the indices.
    :raises BackendRejected: it requests hits.
    """
    if body.get("size") != 0:
        raise unsupported("hits of several indices in one search (but multi_search)")
    body = dict(body)
    query = body.pop("query", None) or {"match_all": {}}
    requested = body.get("aggs", body.get("aggregations")) or {}
    merged = MergedIndex(indices, json.dumps(requested))
    merged.create(connection)
    for position, (index, terms_of) in enumerate(zip(indices, vocabularies)):
        node = QueryParser(connection, index, terms_of, deadline).parse(query)
        root = index.root.level
        matches = f"SELECT d.doc AS doc FROM {root.table} d WHERE " + node.where("d")
        merged.fill(connection, position, matches)

    def vocabulary(field: Field) -> list[str]:
        rows = connection.execute(merged.vocabulary_query(field))
        return [term for (term,) in deadline.each(rows)]

    search = Search(connection, merged, body, vocabulary, deadline)
    search.node = Condition(
        merged.root.level, lambda alias: Sql(f"{alias}.doc IN (SELECT doc FROM several_found)")
    )
    response = search.run()
    response["_shards"].update(total=len(indices), successful=len(indices))
    return response
