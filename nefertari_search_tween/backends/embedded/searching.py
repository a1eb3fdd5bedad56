"""A search body -> a response, both as Elasticsearch shapes them."""

from __future__ import annotations

import fnmatch
import json
import math
import sqlite3
import struct
import time
from collections.abc import Iterator, Sequence
from typing import Any, Callable, Optional

from nefertari_search_tween.backends.embedded import highlighting
from nefertari_search_tween.backends.embedded.aggregations import Aggregations
from nefertari_search_tween.backends.embedded.errors import refused, unsupported
from nefertari_search_tween.backends.embedded.fields import (
    Field,
    Index,
    Malformed,
    shown_float,
)
from nefertari_search_tween.backends.embedded.nodes import Bool, Everything, Node, climbing
from nefertari_search_tween.backends.embedded.query import QueryParser
from nefertari_search_tween.backends.embedded.sql import Sql, all_of, any_of, joined

DEFAULT_SIZE = 10
_KNOWN = frozenset(
    [
        "query",
        "sort",
        "from",
        "size",
        "search_after",
        "track_total_hits",
        "_source",
        "aggs",
        "aggregations",
        "highlight",
        "timeout",
        "track_scores",
        "min_score",
        "post_filter",
        "version",
    ]
)
_MODES = {"min": "min", "max": "max", "avg": "avg", "sum": "total"}
#: gives the sorted terms of a text, or values of a keyword
Vocabulary = Callable[[Field], Sequence[str]]


class SortKey:
    """One key of a sort.

    :param value: SQL of the value of a row ``d`` (and its score ``x.s``).
    """

    def __init__(
        self, value: Sql, descending: bool, nulls_first: bool, field: Optional[Field] = None
    ) -> None:
        self.value = value
        self.descending = descending
        self.nulls_first = nulls_first
        self.field = field

    def order(self) -> Sql:
        direction = "DESC" if self.descending else "ASC"
        # What SQLite does by itself is left unsaid: indices of the table serve it.
        if self.nulls_first == (not self.descending):
            return self.value + f" {direction}"
        return self.value + f" {direction} NULLS {'FIRST' if self.nulls_first else 'LAST'}"

    def after(self, value: Any) -> tuple[Sql, Sql]:
        """Conditions: this key is behind *value*, and equal to it."""
        if value is None:
            equal = self.value + " IS NULL"
            return (self.value + " IS NOT NULL" if self.nulls_first else Sql("0")), equal
        sign = "<" if self.descending else ">"
        behind = self.value + Sql(f" {sign} ?", (value,))
        if not self.nulls_first:
            behind = any_of([behind, self.value + " IS NULL"])
        return behind, self.value + Sql(" = ?", (value,))

    def read(self, value: Any) -> Any:
        """A value of ``search_after`` as the column holds it."""
        if self.field is not None and value is not None:
            try:
                return self.field.value(value)
            except Malformed:
                return value
        return value

    def shown(self, value: Any) -> Any:
        if self.field is not None and self.field.kind == "float" and value is not None:
            return shown_float(value)
        return value


class Search:
    """One search on one index.

    :param connection: inside a transaction: everything is read at one point in time.
    :raises BackendRejected: it can't be read, or not be executed here.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        index: Index,
        body: dict[str, Any],
        vocabulary: Vocabulary,
        unbounded: bool = False,
    ) -> None:
        for name in body:
            if name not in _KNOWN:
                raise unsupported(f"'{name}' in a search")
        self.connection = connection
        self.index = index
        self.body = body
        self.parser = QueryParser(connection, index, vocabulary)
        root = index.root.level
        self.node: Node = (
            self.parser.parse(body["query"]) if body.get("query") else Everything(root)
        )
        self.start = int(body.get("from", 0))
        self.size = int(body.get("size", DEFAULT_SIZE))
        if self.start < 0 or self.size < 0:
            raise refused("[from] and [size] must be non-negative")
        if not unbounded and self.start + self.size > index.window:
            raise refused(
                "Result window is too large, from + size must be less than or equal to: "
                f"[{index.window}] but was [{self.start + self.size}]"
            )
        self.scored = False
        self.keys = [self._key(each) for each in self._clauses()]
        self.min_score = body.get("min_score")
        if body.get("track_scores") or self.min_score is not None:
            self.scored = True
        post_filter = body.get("post_filter")
        self.post_filter = self.parser.parse(post_filter) if post_filter else None

    # Sort

    def _clauses(self) -> list[tuple[str, dict[str, Any]]]:
        given = self.body.get("sort")
        if not given:
            return [("_score", {})]
        clauses = []
        for each in given if isinstance(given, list) else [given]:
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
            return SortKey(Sql("x.s"), descending, not descending)
        if name in ("_doc", "_shard_doc"):
            return SortKey(Sql("d.doc"), descending, not descending)
        missing = options.pop("missing", "_last")
        mode = options.pop("mode", "max" if descending else "min")
        nested = options.pop("nested", None)
        unmapped = options.pop("unmapped_type", None)
        options.pop("numeric_type", None)
        options.pop("format", None)
        if options:
            raise unsupported(f"option '{next(iter(options))}' of a sort")
        if name == "_id":
            value = Sql(f"(SELECT id FROM {self.index.docs} i WHERE i.doc = d.doc)")
            return SortKey(value, descending, False)
        field = self.index.fields.get(name)
        if field is None:
            if unmapped is not None:
                return SortKey(Sql("NULL"), descending, missing == "_first")
            raise refused(
                f"No mapping found for [{name}] in order to sort on", "query_shard_exception"
            )
        if field.kind == "text":
            raise refused(
                f"Fielddata is disabled on [{name}]: text fields can't be sorted or aggregated; "
                "use a keyword field instead"
            )
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
            if not field.multi:
                return Sql(f"d.{field.column}")
            if mode == "min":
                return Sql(f"d.{field.column}")
            return Sql(
                f"coalesce((SELECT {_MODES[mode]}(value) FROM {self.index.multi} WHERE "
                f"field = {field.number} AND doc = d.doc), d.{field.column})"
            )
        path, condition = (nested or {}).get("path"), Sql("1")
        if nested is None:
            # Without a path Elasticsearch looks at the document itself, which has no such value.
            return Sql("NULL")
        unknown = set(nested) - {"path", "filter"}
        if unknown:
            raise unsupported(f"option '{min(unknown)}' of a nested sort")
        if path not in self.index.levels:
            raise refused(f"[nested] failed to find nested object under path [{path}]")
        if self.index.levels[path] is not level:
            return Sql("NULL")
        if nested.get("filter"):
            condition = self.parser.parse(nested["filter"], level).where("n")
        owner, climb = climbing(level, self.index.root.level, "n")
        values = Sql(f"SELECT n.{field.column} AS value FROM {level.table} n{climb} WHERE ")
        values += all_of([Sql(f"{owner} = d.doc"), condition])
        if field.multi:
            values += Sql(
                f" UNION ALL SELECT m.value FROM {self.index.multi} m JOIN {level.table} n ON "
                f"n.doc = m.doc{climb} WHERE m.field = {field.number} AND m.place > 0 AND "
            )
            values += all_of([Sql(f"{owner} = d.doc"), condition])
        return f"(SELECT {_MODES[mode]}(value) FROM (" + values + "))"

    # SQL

    def _tables(self) -> Sql:
        table = f"{self.index.root.level.table} d"
        if not self.scored:
            return Sql(table)
        return "(" + self.node.scores(1.0) + f") x CROSS JOIN {table} ON d.doc = x.doc"

    def _conditions(self, with_post_filter: bool) -> list[Sql]:
        parts = [] if self.scored else [self.node.where("d")]
        if self.min_score is not None:
            parts.append(Sql("x.s >= ?", (self.min_score,)))
        if with_post_filter and self.post_filter is not None:
            parts.append(self.post_filter.where("d"))
        return parts

    def _page(self, after: Optional[list[Any]], limited: bool) -> Sql:
        conditions = self._conditions(True)
        if after is not None:
            conditions.append(self._after(after))
        score = "x.s" if self.scored else "NULL"
        values = "".join(", " + key.value.text for key in self.keys)
        params = tuple(param for key in self.keys for param in key.value.params)
        sql = Sql(f"SELECT d.doc, {score}{values} FROM ", params) + self._tables()
        sql += " WHERE " + all_of(conditions)
        order = joined(", ", [*(key.order() for key in self.keys), Sql("d.doc")])
        sql += " ORDER BY " + order
        if limited:
            sql += Sql(" LIMIT ? OFFSET ?", (self.size, self.start))
        return sql

    def _after(self, values: list[Any]) -> Sql:
        if len(values) != len(self.keys):
            raise refused("search_after has to have one value for each sort key")
        branches: list[Sql] = []
        equal: list[Sql] = []
        for key, value in zip(self.keys, values):
            behind, same = key.after(key.read(value))
            branches.append(all_of([*equal, behind]))
            equal.append(same)
        return any_of(branches)

    # Running

    def total(self) -> int:
        """How many documents match; without their scores, if these don't decide it."""
        table = f"{self.index.root.level.table} d"
        if self.min_score is not None:
            tables, conditions = self._tables(), self._conditions(True)
        else:
            tables, conditions = Sql(table), [self.node.where("d")]
            if self.post_filter is not None:
                conditions.append(self.post_filter.where("d"))
        sql = "SELECT count(*) FROM " + tables + " WHERE " + all_of(conditions)
        (count,) = self.connection.execute(sql.text, sql.params).fetchone()
        return int(count)

    def hits(self, rows: list[tuple[Any, ...]]) -> list[dict[str, Any]]:
        """Rows of a page -> hits with their sources."""
        if not rows:
            return []
        chosen = self.body.get("_source", True)
        picked = None if chosen is True or chosen == "true" else picker(chosen)
        documents: dict[int, Any] = {}
        for first in range(0, len(rows), 500):
            part = [row[0] for row in rows[first : first + 500]]
            marks = ", ".join("?" * len(part))
            columns = "doc, id, version" + (", NULL" if chosen is False else ", source")
            for doc, *rest in self.connection.execute(
                f"SELECT {columns} FROM {self.index.docs} WHERE doc IN ({marks})", part
            ):
                documents[doc] = rest
        lit = self.body.get("highlight")
        lighter = highlighting.Highlighter(lit, self.index, self.parser.sought) if lit else None
        explicit = bool(self.body.get("sort"))
        found = []
        for doc, score, *values in rows:
            identity, version, source = documents[doc]
            hit: dict[str, Any] = {
                "_index": self.index.name,
                "_id": identity,
                "_score": None if score is None else single(score),
            }
            if self.body.get("version"):
                hit["_version"] = version
            parsed = None if source is None else json.loads(source)
            if parsed is not None:
                hit["_source"] = parsed if picked is None else picked(parsed)
            if explicit:
                hit["sort"] = [key.shown(value) for key, value in zip(self.keys, values)]
            if lighter is not None and parsed is not None:
                fragments = lighter.fragments(parsed)
                if fragments:
                    hit["highlight"] = fragments
            found.append(hit)
        return found

    def run(self) -> dict[str, Any]:
        """The response."""
        began = time.monotonic()
        after = self.body.get("search_after")
        if after is not None and self.start > 0:
            raise refused("[from] parameter must be set to 0 when [search_after] is used")
        rows: list[Any] = []
        if self.size > 0:
            sql = self._page(after, limited=True)
            rows = self.connection.execute(sql.text, sql.params).fetchall()
        wanted = self.body.get("track_total_hits", True)
        hits: dict[str, Any] = {}
        if wanted is not False:
            # A page that is not full has told the total already.
            if (
                self.size > 0
                and after is None
                and (rows or not self.start)
                and (len(rows) < self.size)
            ):
                total = self.start + len(rows)
            else:
                total = self.total()
            hits["total"] = {"value": total, "relation": "eq"}
        by_score = self.scored and rows and not self.body.get("sort")
        hits["max_score"] = single(rows[0][1]) if by_score and not self.start else None
        hits["hits"] = self.hits(rows)
        response: dict[str, Any] = {
            "took": 0,
            "timed_out": False,
            "_shards": {"total": 1, "successful": 1, "skipped": 0, "failed": 0},
            "hits": hits,
        }
        requested = self.body.get("aggs", self.body.get("aggregations"))
        if requested:
            response["aggregations"] = self._aggregations(requested)
        response["took"] = round((time.monotonic() - began) * 1000)
        return response

    def _aggregations(self, requested: dict[str, Any]) -> dict[str, Any]:
        if self.min_score is not None:
            raise unsupported("min_score with aggregations")

        def top_hits(scope: Node, options: dict[str, Any]) -> dict[str, Any]:
            if scope.level.parent is not None:
                raise unsupported("top_hits of nested documents")
            inner = Search(
                self.connection,
                self.index,
                {"size": 3, **options, "track_total_hits": True},
                self.parser.vocabulary,
            )
            must = [self.node] if inner.scored else []
            inner.node = Bool(scope.level, must, [], [scope], [], 0)
            return inner.run()["hits"]

        run = Aggregations(self.connection, self.index, self.parser, top_hits)
        return run.run(requested, self.node)

    def pages(self, chunk_size: int) -> Iterator[list[dict[str, Any]]]:
        """All hits, chunk by chunk."""
        sql = self._page(None, limited=False)
        cursor = self.connection.execute(sql.text, sql.params)
        while True:
            rows = cursor.fetchmany(chunk_size)
            if not rows:
                return
            yield self.hits(rows)


def single(score: float) -> float:
    """In single precision, as Lucene has it."""
    if not math.isfinite(score):
        return score
    return float(struct.unpack("f", struct.pack("f", score))[0])


def picker(chosen: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """What ``_source`` asks for, as a function of the whole source."""
    if chosen is False:
        return lambda source: source
    excludes: list[str] = []
    if isinstance(chosen, str):
        includes = [chosen]
    elif isinstance(chosen, list):
        includes = chosen
    else:
        includes = _names(chosen.get("includes", chosen.get("include")))
        excludes = _names(chosen.get("excludes", chosen.get("exclude")))

    def pick(source: dict[str, Any]) -> dict[str, Any]:
        return _picked(source, "", includes, excludes, not includes)

    return pick


def _names(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value or [])


def _fits(name: str, patterns: list[str]) -> bool:
    return any(name == each or fnmatch.fnmatchcase(name, each) for each in patterns)


def _picked(
    value: dict[str, Any], prefix: str, includes: list[str], excludes: list[str], all_in: bool
) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, each in value.items():
        name = prefix + key
        if _fits(name, excludes):
            continue
        inside = all_in or _fits(name, includes)
        inner = any(
            pattern.startswith(name + ".") or "*" in pattern for pattern in includes + excludes
        )
        if isinstance(each, dict) and (inner or inside):
            part = _picked(each, name + ".", includes, excludes, inside) if inner else each
            if part or inside:
                result[key] = part
        elif isinstance(each, list) and any(isinstance(item, dict) for item in each) and inner:
            parts = [
                _picked(item, name + ".", includes, excludes, inside)
                if isinstance(item, dict)
                else item
                for item in each
            ]
            if inside or any(parts):
                result[key] = [part for part in parts if part or inside]
        elif inside:
            result[key] = each
    return result
