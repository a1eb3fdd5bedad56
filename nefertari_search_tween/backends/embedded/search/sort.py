"""The sort of a search, as SQL."""

from __future__ import annotations

import sqlite3
from typing import Any, Optional

from nefertari_search_tween.backends.embedded.errors import (
    no_field_data,
    reject_unknown,
    rejected,
    unsupported,
)
from nefertari_search_tween.backends.embedded.query.nested import climbing
from nefertari_search_tween.backends.embedded.query.parser import QueryParser
from nefertari_search_tween.backends.embedded.sql import Sql, all_of, any_of
from nefertari_search_tween.backends.embedded.storage.fields import Field, Malformed, decode_float
from nefertari_search_tween.backends.embedded.storage.mapping import Index

#: SQL of the score that is computed for each row
SCORE = Sql("x.s")
_MODES = {"min": "min", "max": "max", "avg": "avg", "sum": "total"}


class SortKey:
    """One key of a sort.

    :param value: SQL of the value of a row ``d``.
    """

    def __init__(
        self, value: Sql, descending: bool, nulls_first: bool, field: Optional[Field] = None
    ) -> None:
        self.value = value
        self.descending = descending
        self.nulls_first = nulls_first
        self.field = field

    def order(self, has_nulls: bool = True) -> Sql:
        """Return the term of an ORDER BY.

        :param has_nulls: rows without a value may be among them.
        """
        direction = "DESC" if self.descending else "ASC"
        # SQLite's default is not spelled out, so that indices of the table serve it.
        if self.nulls_first == (not self.descending) or not has_nulls:
            return self.value + f" {direction}"
        return self.value + f" {direction} NULLS {'FIRST' if self.nulls_first else 'LAST'}"

    def has_nulls(self, connection: sqlite3.Connection) -> bool:
        """Return False if the key is a column of the table, and no row has none of its values."""
        field = self.field
        if field is None or self.value.text != f"d.{field.column}":
            return True
        nulls = f"SELECT 1 FROM {field.level.table} WHERE {field.column} IS NULL LIMIT 1"
        return connection.execute(nulls).fetchone() is not None

    def with_score(self, score: Sql) -> SortKey:
        """Return the key with *score* in the place of :data:`SCORE`."""
        if self.value != SCORE:
            return self
        return SortKey(score, self.descending, self.nulls_first)

    def after(self, value: Any) -> tuple[Sql, Sql]:
        """Return two conditions: this key sorts after *value*, and it is equal."""
        if value is None:
            equal = self.value + " IS NULL"
            return (self.value + " IS NOT NULL" if self.nulls_first else Sql("0")), equal
        sign = "<" if self.descending else ">"
        behind = self.value + Sql(f" {sign} ?", (value,))
        if not self.nulls_first:
            behind = any_of([behind, self.value + " IS NULL"])
        return behind, self.value + Sql(" = ?", (value,))

    def parse(self, value: Any) -> Any:
        """Return a value of ``search_after`` as the column holds it."""
        if self.field is not None and value is not None:
            try:
                return self.field.value(value)
            except Malformed:
                return value
        return value

    def render(self, value: Any) -> Any:
        if self.field is not None and self.field.kind == "float" and value is not None:
            return decode_float(value)
        return value


class Sort:
    """The keys of a sort.

    :param sort: the ``sort`` of a search, None for by score.
    :ivar scored: a key is the score.
    :ivar best_first: the first key is the score, in descending order.
    """

    def __init__(self, index: Index, parser: QueryParser, sort: Any) -> None:
        self.index = index
        self.parser = parser
        self.scored = False
        clauses = self._clauses(sort)
        self.keys = [self._key(each) for each in clauses]
        self.best_first = clauses[0][0] == "_score" and self.keys[0].descending

    @staticmethod
    def _clauses(sort: Any) -> list[tuple[str, dict[str, Any]]]:
        if not sort:
            return [("_score", {})]
        clauses = []
        for each in sort if isinstance(sort, list) else [sort]:
            if isinstance(each, str):
                name, _, order = each.partition(":")
                clauses.append((name, {"order": order} if order else {}))
                continue
            for name, options in each.items():
                clauses.append((name, {"order": options} if isinstance(options, str) else options))
        return clauses

    def _key(self, clause: tuple[str, dict[str, Any]]) -> SortKey:
        name, options = clause[0], dict(clause[1])
        descending = options.pop("order", "desc" if name == "_score" else "asc") == "desc"
        if name == "_score":
            self.scored = True
            return SortKey(SCORE, descending, not descending)
        if name in ("_doc", "_shard_doc"):
            return SortKey(Sql("d.doc"), descending, not descending)
        missing = options.pop("missing", "_last")
        mode = options.pop("mode", "max" if descending else "min")
        nested = options.pop("nested", None)
        unmapped = options.pop("unmapped_type", None)
        options.pop("numeric_type", None)
        options.pop("format", None)
        reject_unknown(options, (), "a sort")
        if name == "_id":
            value = Sql(f"(SELECT id FROM {self.index.docs} i WHERE i.doc = d.doc)")
            return SortKey(value, descending, False)
        field = self.index.fields.get(name)
        if field is None:
            if unmapped is not None:
                return SortKey(Sql("NULL"), descending, missing == "_first")
            raise rejected(
                f"No mapping found for [{name}] in order to sort on", "query_shard_exception"
            )
        if field.kind == "text":
            raise no_field_data(name)
        value = self._sort_value(field, mode, nested)
        if missing not in ("_first", "_last"):
            value = "coalesce(" + value + Sql(", ?)", (field.value(missing),))
            return SortKey(value, descending, False, field)
        return SortKey(value, descending, missing == "_first", field)

    def _sort_value(self, field: Field, mode: str, nested: Optional[dict[str, Any]]) -> Sql:
        if mode not in _MODES:
            raise unsupported(f"sort mode '{mode}'")
        level = field.level
        if level.parent is None:
            if not field.multi or mode == "min":
                return Sql(f"d.{field.column}")
            return Sql(
                f"coalesce((SELECT {_MODES[mode]}(+value) FROM {self.index.multi} WHERE "
                f"field = {field.number} AND doc = d.doc), d.{field.column})"
            )
        path, condition = (nested or {}).get("path"), Sql("1")
        if nested is None:
            # Without a path Elasticsearch reads the document itself, which has no such value.
            return Sql("NULL")
        reject_unknown(nested, ("path", "filter"), "a nested sort")
        if path not in self.index.levels:
            raise rejected(f"[nested] failed to find nested object under path [{path}]")
        if self.index.levels[path] is not level:
            return Sql("NULL")
        if nested.get("filter"):
            condition = self.parser.parse(nested["filter"], level).where("n")
        owner, climb = climbing(level, self.index.root.level, "n")
        rows = f"{level.table} n INDEXED BY {level.table}_root"
        values = Sql(f"SELECT n.{field.column} AS value FROM {rows}{climb} WHERE ")
        values += all_of([Sql(f"{owner} = d.doc"), condition])
        if field.multi:
            values += Sql(
                f" UNION ALL SELECT m.value FROM {self.index.multi} m JOIN {level.table} n ON "
                f"n.doc = m.doc{climb} WHERE m.field = {field.number} AND m.place > 0 AND "
            )
            values += all_of([Sql(f"{owner} = d.doc"), condition])
        return f"(SELECT {_MODES[mode]}(value) FROM (" + values + "))"
