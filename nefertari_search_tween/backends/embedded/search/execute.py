"""Execute a search: from its body to its response, both in Elasticsearch's shape."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, Callable, Optional

from nefertari_search_tween.backends.embedded.aggregations import HANDLERS
from nefertari_search_tween.backends.embedded.aggregations.run import AggregationRun
from nefertari_search_tween.backends.embedded.deadline import Deadline
from nefertari_search_tween.backends.embedded.errors import rejected, unsupported
from nefertari_search_tween.backends.embedded.query.nodes import (
    Bool,
    MatchAll,
    Node,
    count_matches,
)
from nefertari_search_tween.backends.embedded.query.parser import QueryParser
from nefertari_search_tween.backends.embedded.search.highlight import Highlighter
from nefertari_search_tween.backends.embedded.search.sort import SCORE, Sort
from nefertari_search_tween.backends.embedded.search.source_filter import (
    filter_source,
    single_precision,
)
from nefertari_search_tween.backends.embedded.sql import IN_JSON, TRUE, Sql, all_of, any_of, joined
from nefertari_search_tween.backends.embedded.storage.fields import Field
from nefertari_search_tween.backends.embedded.storage.mapping import Index
from nefertari_search_tween.backends.embedded.storage.writer import as_sequence_version
from nefertari_search_tween.backends.embedded.text.bm25 import SINGLE, single

DEFAULT_SIZE = 10
# Documents beyond a page that are read with it, for the case that they score as its last one does.
SPARE = 100
_SUPPORTED = (
    *("query", "sort", "from", "size", "search_after", "track_total_hits", "_source", "aggs"),
    *("aggregations", "highlight", "timeout", "track_scores", "min_score", "post_filter"),
    *("version", "seq_no_primary_term"),
)
#: field -> the sorted terms of a text, or values of a keyword
Vocabulary = Callable[[Field], Sequence[str]]


class Search:
    """One search on one index.

    :param connection: inside a transaction: everything is read at one point in time.
    :raises BackendRejected: it is malformed or unsupported.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        index: Index,
        body: dict[str, Any],
        vocabulary: Vocabulary,
        deadline: Deadline,
        unbounded: bool = False,
    ) -> None:
        for name in body:
            if name not in _SUPPORTED:
                raise unsupported(f"'{name}' in a search")
        self.connection = connection
        self.index = index
        self.body = body
        self.deadline = deadline
        self.parser = QueryParser(connection, index, vocabulary, deadline)
        root = index.root.level
        self.node: Node = self.parser.parse(body["query"]) if body.get("query") else MatchAll(root)
        self.start = int(body.get("from", 0))
        self.size = int(body.get("size", DEFAULT_SIZE))
        if self.start < 0 or self.size < 0:
            raise rejected("[from] and [size] must be non-negative")
        if not unbounded and self.start + self.size > index.window:
            raise rejected(
                "Result window is too large, from + size must be less than or equal to: "
                f"[{index.window}] but was [{self.start + self.size}]"
            )
        sort = Sort(index, self.parser, body.get("sort"))
        self.keys, self.scored, self.by_score = sort.keys, sort.scored, sort.best_first
        # As servers do: in a search with a sort, only if scores are requested.
        self.best_first = sort.best_first and (
            not body.get("sort") or bool(body.get("track_scores"))
        )
        self.min_score = body.get("min_score")
        if body.get("track_scores") or self.min_score is not None:
            self.scored = True
        post_filter = body.get("post_filter")
        self.post_filter = self.parser.parse(post_filter) if post_filter else None

    # SQL

    @cached_property
    def _score(self) -> Sql:
        """Return the SQL of a row's score: of its own, or the one that all matches have."""
        if not self.scored:
            return Sql("NULL")
        uniform = self.node.uniform_score(1.0)
        return SCORE if uniform is None else Sql("?", (single(uniform),))

    def _scores(self) -> Sql:
        """Return the SELECT of ``doc`` and ``s``, in single precision."""
        return f"SELECT doc, {SINGLE} AS s FROM (" + self.node.scores(1.0) + " LIMIT -1)"

    def _tables(self) -> Sql:
        table = f"{self.index.root.level.table} d"
        if self._score != SCORE:
            return Sql(table)
        return "(" + self._scores() + f") x CROSS JOIN {table} ON d.doc = x.doc"

    def _conditions(self) -> list[Sql]:
        score = self._score
        parts = [] if score == SCORE else [self.node.where("d")]
        if self.min_score is not None:
            parts.append(score + Sql(" >= ?", (self.min_score,)))
        if self.post_filter is not None:
            parts.append(self.post_filter.where("d"))
        return parts

    def _columns(self) -> Sql:
        score = self._score
        values = [key.with_score(score).value for key in self.keys]
        return "SELECT " + joined(", ", [Sql("d.doc"), score, *values])

    def _page(self, after: Optional[list[Any]], limited: bool) -> Sql:
        conditions = self._conditions()
        if after is not None:
            conditions.append(self._after(after))
        condition = all_of(conditions)
        sql = self._columns() + " FROM " + self._tables() + " WHERE " + condition
        # A score that all have orders nothing.
        keys = [key for key in self.keys if key.value != SCORE or self._score == SCORE]
        # Of all documents an index of the table has the order, if it need not place missing values.
        # With a condition it would be a poor choice: rows are read one by one until some match.
        ordered = [key.order(condition != TRUE or key.has_nulls(self.connection)) for key in keys]
        sql += " ORDER BY " + joined(", ", [*ordered, Sql("d.doc")])
        if limited:
            sql += Sql(" LIMIT ? OFFSET ?", (self.size, self.start))
        return sql

    def _page_rows(self, after: Optional[list[Any]]) -> list[tuple[Any, ...]]:
        """Return the rows of the page."""
        by_score = self.by_score and self._score == SCORE
        if not by_score or after is not None or self.post_filter is not None:
            return self._page(after, limited=True).run(self.connection).fetchall()
        scores, end = self._scores(), self.start + self.size
        if self.min_score is not None:
            scores = "SELECT doc, s FROM (" + scores + Sql(") WHERE s >= ?", (self.min_score,))
        best = "SELECT doc, s FROM (" + scores + Sql(") ORDER BY s DESC LIMIT ?", (end + SPARE,))
        rows = self._rows_of(best, end + SPARE)
        if len(rows) == end + SPARE and rows[-1][1] == rows[end - 1][1]:
            # More than these have the page's last score, and any of them may be on it.
            ties = "SELECT doc, s FROM (" + scores + Sql(") WHERE s >= ?", (rows[-1][1],))
            rows = self._rows_of(ties, end)
        return rows[self.start : end]

    def _rows_of(self, scores: Sql, count: int) -> list[tuple[Any, ...]]:
        """Return the first *count* rows of the documents of *scores*.

        The table of documents, which has the values to sort by, is read for these alone.
        """
        sql = self._columns() + " FROM (" + scores + ") x "
        sql += f"CROSS JOIN {self.index.root.level.table} d ON d.doc = x.doc ORDER BY "
        sql += joined(", ", [*(key.order() for key in self.keys), Sql("d.doc")])
        return (sql + Sql(" LIMIT ?", (count,))).run(self.connection).fetchall()

    def _after(self, values: list[Any]) -> Sql:
        if len(values) != len(self.keys):
            raise rejected("search_after has to have one value for each sort key")
        branches: list[Sql] = []
        equal: list[Sql] = []
        score = self._score
        for key, value in zip([key.with_score(score) for key in self.keys], values):
            behind, same = key.after(key.parse(value))
            branches.append(all_of([*equal, behind]))
            equal.append(same)
        return any_of(branches)

    # Running

    def total(self) -> int:
        """Return how many documents match; scores are computed only if they decide it."""
        if self.min_score is None:
            node = self.node
            if self.post_filter is not None:
                node = Bool(node.level, [], [], [node, self.post_filter], [], 0)
            return count_matches(node, self.connection)
        sql = "SELECT count(*) FROM " + self._tables() + " WHERE " + all_of(self._conditions())
        (count,) = sql.run(self.connection).fetchone()
        return int(count)

    def hits(self, rows: list[tuple[Any, ...]]) -> list[dict[str, Any]]:
        """Return the hits of a page's rows, with their sources."""
        if not rows:
            return []
        source_filter = self.body.get("_source", True)
        whole = source_filter is True or source_filter == "true"
        pick = None if whole else filter_source(source_filter)
        source = "NULL" if source_filter is False else "source"
        query = f"SELECT doc, id, version, {source} FROM {self.index.docs} WHERE doc IN {IN_JSON}"
        numbers = json.dumps([row[0] for row in rows])
        cursor = self.connection.execute(query, (numbers,))
        options = self.body.get("highlight")
        highlighter = self._highlighter(options) if options else None
        documents = {}
        # Each is reduced as it is read: of large documents memory holds one.
        for doc, identity, version, source in self.deadline.each(cursor):
            # A long document takes as many steps as it has kilobytes.
            self.deadline.step(len(source or b"") // 1024)
            parsed = None if source is None else json.loads(source)
            fragments = None
            if parsed is not None:
                fragments = None if highlighter is None else highlighter.fragments(parsed)
                parsed = parsed if pick is None else pick(parsed)
            documents[doc] = identity, version, parsed, fragments
        explicit = bool(self.body.get("sort"))
        hits = []
        for doc, score, *values in self.deadline.each(rows):
            identity, version, parsed, fragments = documents[doc]
            hit: dict[str, Any] = {
                "_index": self.index.name_of(doc),
                "_id": identity,
                "_score": None if score is None else single_precision(score),
            }
            if self.body.get("version"):
                hit["_version"] = version
            if self.body.get("seq_no_primary_term"):
                hit["_seq_no"], hit["_primary_term"] = as_sequence_version(version)
            if parsed is not None:
                hit["_source"] = parsed
            if explicit:
                hit["sort"] = [key.render(value) for key, value in zip(self.keys, values)]
            if fragments:
                hit["highlight"] = fragments
            hits.append(hit)
        return hits

    def _highlighter(self, options: dict[str, Any]) -> Highlighter:
        parser = self.parser
        query = options.get("highlight_query")
        if query is not None:
            parser = QueryParser(self.connection, self.index, parser.vocabulary, self.deadline)
            parser.parse(query, self.index.root.level)
        return Highlighter(options, self.index, parser.searched_terms, self.deadline)

    def run(self) -> dict[str, Any]:
        """Return the response."""
        began = time.monotonic()
        after = self.body.get("search_after")
        if after is not None and self.start > 0:
            raise rejected("[from] parameter must be set to 0 when [search_after] is used")
        rows: list[Any] = []
        self.deadline.check()
        if self.size > 0:
            rows = self._page_rows(after)
        track_total = self.body.get("track_total_hits", True)
        hits: dict[str, Any] = {}
        if track_total is not False:
            # A page that is not full determines the total.
            whole = len(rows) < self.size and after is None and (rows or not self.start)
            total = self.start + len(rows) if whole else self.total()
            hits["total"] = {"value": total, "relation": "eq"}
        best = rows[0][1] if rows and self.best_first and not self.start else None
        hits["max_score"] = None if best is None else single_precision(best)
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
                self.deadline,
            )
            must = [self.node] if inner.scored else []
            inner.node = Bool(scope.level, must, [], [scope], [], 0)
            return inner.run()["hits"]

        run = AggregationRun(self.connection, self.index, self.parser, HANDLERS, top_hits)
        return run.run(requested, self.node)

    def pages(self, chunk_size: int) -> Iterator[list[dict[str, Any]]]:
        """Yield all hits, chunk by chunk."""
        sql = self._page(None, limited=False)
        cursor = sql.run(self.connection)
        while True:
            self.deadline.check()
            rows = cursor.fetchmany(chunk_size)
            if not rows:
                return
            yield self.hits(rows)
