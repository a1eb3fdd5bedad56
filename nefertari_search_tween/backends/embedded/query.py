"""The query DSL -> SQL: each query as a condition, and as a table of scores.

A query is parsed into nodes, which say what they match in one *level* (see fields.py) in two
forms: :meth:`Node.where`, a condition on the row called ``d`` (or any other alias), and
:meth:`Node.scores`, a SELECT of ``doc`` and ``s``. The second is only made when scores count.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Sequence
from typing import Any, Callable, Optional

from nefertari_search_tween.backends.embedded import analysis, automata, dates
from nefertari_search_tween.backends.embedded.errors import refused, unsupported
from nefertari_search_tween.backends.embedded.fields import (
    INT64_MAX,
    Field,
    Index,
    Level,
    Malformed,
    number_of,
    text_of,
)
from nefertari_search_tween.backends.embedded.scoring import Statistics, idf
from nefertari_search_tween.backends.embedded.sql import (
    FALSE,
    TRUE,
    Sql,
    all_of,
    any_of,
    joined,
    negated,
)

MAX_DEPTH = 60
# Terms that a fuzzy word may stand for, as in Elasticsearch.
MAX_EXPANSIONS = 50
# Terms that a pattern may match, so that one query has an end.
MAX_PATTERN_TERMS = 200_000
_IN_JSON = "(SELECT value FROM json_each(?))"


class Node:
    """A query on one level."""

    def __init__(self, level: Level) -> None:
        self.level = level

    def where(self, alias: str) -> Sql:
        """The condition that the row *alias* of the level's table is matched."""
        raise NotImplementedError

    def scores(self, boost: float) -> Sql:
        """SELECT of the matching rows' ``doc`` and score ``s``; unless it is better known, all
        of them have the same."""
        return (
            Sql("SELECT d.doc AS doc, ? AS s ", (self.constant() * boost,))
            + f"FROM {self.level.table} d WHERE "
            + self.where("d")
        )

    def constant(self) -> float:
        return 1.0


class Everything(Node):
    def where(self, alias: str) -> Sql:
        return TRUE


class Nothing(Node):
    def where(self, alias: str) -> Sql:
        return FALSE


class Condition(Node):
    """Compares values.

    :param make: gives the condition for an alias.
    :param weight: gives the score, 1.0 without.
    """

    def __init__(
        self,
        level: Level,
        make: Callable[[str], Sql],
        weight: Optional[Callable[[], float]] = None,
    ) -> None:
        super().__init__(level)
        self.make = make
        self.weight = weight

    def where(self, alias: str) -> Sql:
        return self.make(alias)

    def constant(self) -> float:
        return self.weight() if self.weight is not None else 1.0


class Terms(Node):
    """Texts that hold one term, or one of several with weights of their own."""

    def __init__(
        self, index: Index, stats: Statistics, field: Field, terms: Sequence[tuple[str, float]]
    ) -> None:
        super().__init__(field.level)
        self.index = index
        self.stats = stats
        self.field = field
        self.terms = terms

    def where(self, alias: str) -> Sql:
        if len(self.terms) == 1:
            test = Sql("= ?", (self.terms[0][0],))
        else:
            test = Sql("IN " + _IN_JSON, (json.dumps([term for term, _ in self.terms]),))
        return (
            f"{alias}.doc IN (SELECT doc FROM {self.index.post} "
            + Sql("WHERE field = ? AND term ", (self.field.number,))
            + test
            + ")"
        )

    def scores(self, boost: float) -> Sql:
        docs, _ = self.stats.field(self.field)
        frequencies = [self.stats.term(self.field, term) for term, _ in self.terms]
        # Variants of one word count as one term, as rare as the commonest of them.
        weight = idf(max(frequencies), docs) if frequencies else 0.0
        parts = [
            "SELECT doc, "
            + self.stats.bm25(self.field, weight * boost * share, "CAST(tf AS REAL)")
            + " AS s "
            + f"FROM {self.index.post} "
            + Sql("WHERE field = ? AND term = ?", (self.field.number, term))
            for term, share in self.terms
        ]
        if len(parts) == 1:
            return parts[0]
        return "SELECT doc, sum(s) AS s FROM (" + joined(" UNION ALL ", parts) + ") GROUP BY doc"


class Matches(Node):
    """Texts that hold any of many terms; all score the same."""

    def __init__(self, index: Index, field: Field, terms: list[str]) -> None:
        super().__init__(field.level)
        self.index = index
        self.field = field
        self.terms = json.dumps(terms)

    def where(self, alias: str) -> Sql:
        return f"{alias}.doc IN (SELECT doc FROM {self.index.post} " + Sql(
            f"WHERE field = ? AND term IN {_IN_JSON})", (self.field.number, self.terms)
        )


class Phrase(Node):
    """Texts that hold terms in a row.

    :param terms: for each place, the terms that may stand there.
    """

    def __init__(
        self,
        index: Index,
        stats: Statistics,
        field: Field,
        terms: list[str],
        slop: int,
        last: Optional[list[str]] = None,
    ) -> None:
        super().__init__(field.level)
        self.index = index
        self.stats = stats
        self.field = field
        self.terms = terms
        self.slop = slop
        self.last = last

    def _table(self, columns: str) -> Sql:
        """SELECT of the texts that hold all terms, with the frequency of the phrase as ``f``."""
        count = len(self.terms)
        order = sorted(range(count), key=lambda i: self.stats.term(self.field, self.terms[i]))
        first = order[0]
        tables = [f"{self.index.post} p{i}" for i in order]
        conditions = [
            Sql(f"p{i}.field = ? AND p{i}.term = ?", (self.field.number, self.terms[i]))
            + (f" AND p{i}.doc = p{first}.doc" if i != first else "")
            for i in order
        ]
        positions = ", ".join(f"p{i}.positions" for i in range(count))
        return (
            Sql(
                f"SELECT doc, {columns} f FROM (SELECT p{first}.doc AS doc, "
                f"p{first}.length AS length, phrase_frequency(?, {positions}) AS f FROM ",
                (self.slop,),
            )
            + " CROSS JOIN ".join(tables)
            + " WHERE "
            + joined(" AND ", conditions)
            + ") WHERE f > 0"
        )

    def where(self, alias: str) -> Sql:
        return f"{alias}.doc IN (SELECT doc FROM (" + self._table("") + "))"

    def scores(self, boost: float) -> Sql:
        docs, _ = self.stats.field(self.field)
        weight = sum(idf(self.stats.term(self.field, term), docs) for term in self.terms)
        return (
            "SELECT doc, "
            + self.stats.bm25(self.field, weight * boost, "f")
            + " AS s FROM ("
            + self._table("length,")
            + ")"
        )


class Bool(Node):
    def __init__(
        self,
        level: Level,
        must: list[Node],
        should: list[Node],
        filters: list[Node],
        must_not: list[Node],
        least: int,
    ) -> None:
        super().__init__(level)
        self.must = must
        self.should = should
        self.filters = filters
        self.must_not = must_not
        self.least = least

    def where(self, alias: str) -> Sql:
        parts = [node.where(alias) for node in [*self.filters, *self.must]]
        if self.least == 1:
            parts.append(any_of(node.where(alias) for node in self.should))
        elif self.least > 1:
            counted = joined(
                " + ", ("ifnull(" + node.where(alias) + ", 0)" for node in self.should)
            )
            parts.append("(" + counted + f") >= {self.least}")
        parts.extend(self._unwanted(alias))
        return all_of(parts)

    def _unwanted(self, alias: str) -> list[Sql]:
        return [negated(node.where(alias)) for node in self.must_not]

    def constant(self) -> float:
        return 0.0

    def scores(self, boost: float) -> Sql:
        if not self.must and not self.should:
            return super().scores(boost)
        rest = [node.where("d") for node in self.filters] + self._unwanted("d")
        parts = [("1 AS m, 0 AS o", node.scores(boost)) for node in self.must]
        parts += [("0 AS m, 1 AS o", node.scores(boost)) for node in self.should]
        if not self.must and self.least == 0:
            unscored = Sql(f"SELECT doc, 0.0 AS s FROM {self.level.table} d WHERE ") + all_of(rest)
            parts.append(("0 AS m, 0 AS o", unscored))
        if len(parts) == 1:
            scored = parts[0][1]
        else:
            tables = (f"SELECT doc, s, {marks} FROM (" + table + ")" for marks, table in parts)
            scored = (
                "SELECT doc, sum(s) AS s FROM ("
                + joined(" UNION ALL ", tables)
                + ") GROUP BY doc HAVING "
                + Sql("sum(m) = ? AND sum(o) >= ?", (len(self.must), self.least))
            )
        if not rest:
            return scored
        return (
            "SELECT x.doc AS doc, x.s AS s FROM ("
            + scored
            + f") x CROSS JOIN {self.level.table} d ON d.doc = x.doc WHERE "
            + all_of(rest)
        )


class DisMax(Node):
    def __init__(self, level: Level, queries: list[Node], tie_breaker: float) -> None:
        super().__init__(level)
        self.queries = queries
        self.tie_breaker = tie_breaker

    def where(self, alias: str) -> Sql:
        return any_of(node.where(alias) for node in self.queries)

    def scores(self, boost: float) -> Sql:
        if len(self.queries) == 1:
            return self.queries[0].scores(boost)
        tables = ("SELECT doc, s FROM (" + node.scores(boost) + ")" for node in self.queries)
        best = Sql("max(s)")
        if self.tie_breaker:
            best = Sql("max(s) + ? * (sum(s) - max(s))", (self.tie_breaker,))
        return (
            "SELECT doc, "
            + best
            + " AS s FROM ("
            + joined(" UNION ALL ", tables)
            + ") GROUP BY doc"
        )


class Boosted(Node):
    """A query with a weight, or with a constant score (``flat``)."""

    def __init__(self, query: Node, boost: float, flat: bool = False) -> None:
        super().__init__(query.level)
        self.query = query
        self.boost = boost
        self.flat = flat

    def where(self, alias: str) -> Sql:
        return self.query.where(alias)

    def scores(self, boost: float) -> Sql:
        if self.flat:
            return super().scores(boost * self.boost)
        return self.query.scores(boost * self.boost)


class Nested(Node):
    """Documents with nested documents that match."""

    MODES = {"avg": "avg(x.s)", "max": "max(x.s)", "min": "min(x.s)", "sum": "sum(x.s)"}

    def __init__(self, level: Level, query: Node, mode: str) -> None:
        super().__init__(level)
        self.query = query
        self.mode = mode

    def where(self, alias: str) -> Sql:
        inner = self.query.level
        owner, climb = climbing(inner, self.level, f"{alias}n")
        return (
            f"{alias}.doc IN (SELECT {owner} FROM {inner.table} {alias}n{climb} WHERE "
            + self.query.where(f"{alias}n")
            + ")"
        )

    def scores(self, boost: float) -> Sql:
        if self.mode == "none":
            return Sql(
                f"SELECT d.doc AS doc, 0.0 AS s FROM {self.level.table} d WHERE "
            ) + self.where("d")
        inner = self.query.level
        owner, climb = climbing(inner, self.level, "n")
        return (
            f"SELECT {owner} AS doc, {self.MODES[self.mode]} AS s FROM ("
            + self.query.scores(boost)
            + f") x CROSS JOIN {inner.table} n ON n.doc = x.doc{climb} GROUP BY {owner}"
        )


def climbing(inner: Level, outer: Level, alias: str) -> tuple[str, str]:
    """From a row of *inner* to the row of *outer* that holds it.

    :returns: SQL of that row's ``doc``, and the joins that it takes.
    """
    if outer.parent is None:
        return f"{alias}.root", ""
    joins = ""
    level = inner
    while level.parent is not None and level.parent is not outer:
        joins += f" JOIN {level.parent.table} {alias}p ON {alias}p.doc = {alias}.parent"
        alias, level = f"{alias}p", level.parent
    return f"{alias}.parent", joins


class QueryParser:
    """Reads queries on one index.

    :param vocabulary: gives the sorted terms of a text, or values of a keyword.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        index: Index,
        vocabulary: Callable[[Field], Sequence[str]],
    ) -> None:
        self.index = index
        self.stats = Statistics(connection, index)
        self.vocabulary = vocabulary
        #: what texts were searched for, for highlighting: field name -> tests of a term
        self.sought: dict[str, list[Callable[[str], bool]]] = {}
        self._depth = 0

    def parse(self, query: Any, level: Optional[Level] = None) -> Node:
        """The node of *query*.

        :raises BackendRejected: it can't be read, or not be executed here.
        """
        level = level or self.index.root.level
        if not isinstance(query, dict) or len(query) != 1:
            if query == {}:
                raise refused("query malformed, empty clause found", "parsing_exception")
            raise refused(f"a query is an object with one key: {query!r:.200}", "parsing_exception")
        ((name, body),) = query.items()
        method = getattr(self, f"_parse_{name}", None)
        if method is None or not isinstance(body, dict):
            if method is not None:
                raise refused(f"[{name}] query malformed: {body!r:.200}", "parsing_exception")
            raise unsupported(f"query '{name}'")
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise refused(f"queries nested deeper than {MAX_DEPTH}")
        try:
            return method(dict(body), level)  # type: ignore[no-any-return]
        finally:
            self._depth -= 1

    # Compound queries

    def _parse_match_all(self, body: Any, level: Level) -> Node:
        boost = _boost(body)
        _no_more("match_all", body)
        return _weighted(Everything(level), boost)

    def _parse_match_none(self, body: Any, level: Level) -> Node:
        _boost(body)
        _no_more("match_none", body)
        return Nothing(level)

    def _parse_bool(self, body: Any, level: Level) -> Node:
        def clauses(name: str) -> list[Node]:
            value = body.pop(name, None) or []
            if name == "must_not":
                sought, self.sought = self.sought, {}
            nodes = [
                self.parse(each, level) for each in (value if isinstance(value, list) else [value])
            ]
            if name == "must_not":
                self.sought = sought
            return nodes

        must, should = clauses("must"), clauses("should")
        filters, must_not = clauses("filter"), clauses("must_not")
        boost = _boost(body)
        given = body.pop("minimum_should_match", None)
        _no_more("bool", body)
        if given is None:
            least = 1 if should and not must and not filters else 0
        else:
            least = _least(given, len(should))
        if least > len(should):
            return Nothing(level)
        if not (must or should or filters or must_not):
            return _weighted(Everything(level), boost)
        return _weighted(Bool(level, must, should, filters, must_not, least), boost)

    def _parse_dis_max(self, body: Any, level: Level) -> Node:
        queries = [self.parse(each, level) for each in body.pop("queries")]
        tie_breaker = float(body.pop("tie_breaker", 0.0))
        boost = _boost(body)
        _no_more("dis_max", body)
        return _weighted(DisMax(level, queries, tie_breaker), boost)

    def _parse_constant_score(self, body: Any, level: Level) -> Node:
        node = self.parse(body.pop("filter"), level)
        boost = _boost(body)
        _no_more("constant_score", body)
        return Boosted(node, boost, flat=True)

    def _parse_nested(self, body: Any, level: Level) -> Node:
        path = body.pop("path")
        inner = self.index.levels.get(path)
        query = body.pop("query")
        mode = body.pop("score_mode", "avg")
        boost = _boost(body)
        unmapped = body.pop("ignore_unmapped", False)
        _no_more("nested", body)
        if mode != "none" and mode not in Nested.MODES:
            raise refused(f"[nested] score_mode [{mode}] is unknown", "parsing_exception")
        if inner is None:
            if unmapped:
                return Nothing(level)
            raise refused(f"[nested] failed to find nested object under path [{path}]")
        if not _inside(inner, level):
            return Nothing(level)
        return _weighted(Nested(level, self.parse(query, inner), mode), boost)

    # Leaves

    def _parse_term(self, body: Any, level: Level) -> Node:
        name, options = _field_options("term", body, "value")
        value = options.pop("value")
        boost = _boost(options)
        folded = options.pop("case_insensitive", False)
        _no_more("term", options)
        field = self._field(name, level)
        if field is None:
            return self._special(name, [value], level)
        if folded:
            text = _escaped(str(value))
            return _weighted(self._pattern(field, automata.wildcard(text), "", True), boost)
        return _weighted(self._exact(field, [value]), boost)

    def _parse_terms(self, body: Any, level: Level) -> Node:
        boost = _boost(body)
        if len(body) != 1:
            raise refused("[terms] query needs one field", "parsing_exception")
        ((name, values),) = body.items()
        if not isinstance(values, list):
            raise unsupported("terms look-up")
        field = self._field(name, level)
        if field is None:
            return self._special(name, values, level)
        node = self._exact(field, values)
        return Boosted(node, boost, flat=True)

    def _special(self, name: str, values: list[Any], level: Level) -> Node:
        if name == "_id" and level.parent is None:
            return self._ids(values, level)
        return Nothing(level)

    def _parse_ids(self, body: Any, level: Level) -> Node:
        values = body.pop("values", [])
        boost = _boost(body)
        _no_more("ids", body)
        return _weighted(self._ids(values, level), boost)

    def _ids(self, values: list[Any], level: Level) -> Node:
        if level.parent is not None:
            return Nothing(level)
        wanted = json.dumps([str(value) for value in values])
        return Condition(
            level,
            lambda alias: Sql(
                f"{alias}.doc IN (SELECT doc FROM {self.index.docs} WHERE id IN {_IN_JSON})",
                (wanted,),
            ),
        )

    def _exact(self, field: Field, values: list[Any]) -> Node:
        """The documents with one of *values*."""
        if field.kind == "text":
            terms = [text_of(value) for value in values]
            self._seek(field, terms)
            if len(terms) == 1:
                return Terms(self.index, self.stats, field, [(terms[0], 1.0)])
            return Matches(self.index, field, terms)
        if field.kind == "date":
            spans = [self._span(field, value, field.format) for value in values]
            return Condition(
                field.level,
                lambda alias: any_of(
                    self._compared(field, alias, [(">=", span[0]), ("<=", span[1])])
                    for span in spans
                ),
            )
        wanted = [value for each in values for value in self._comparable(field, each)]
        if not wanted:
            return Nothing(field.level)
        if field.kind == "float" or len(wanted) > 1:
            make = self._one_of(field, wanted)
        else:

            def make(alias: str) -> Sql:
                return self._compared(field, alias, [("=", wanted[0])])

        weight = None
        if field.kind in ("keyword", "boolean") and len(wanted) == 1:

            def weight() -> float:
                return self.stats.value(field, make("d"))

        return Condition(field.level, make, weight)

    def _one_of(self, field: Field, wanted: list[Any]) -> Callable[[str], Sql]:
        if len(wanted) <= 100:
            test = Sql("IN (" + ", ".join("?" * len(wanted)) + ")", tuple(wanted))
        else:
            test = Sql("IN " + _IN_JSON, (json.dumps(wanted),))
        return lambda alias: self._tested(field, alias, lambda column: f"{column} " + test)

    def _comparable(self, field: Field, value: Any) -> list[Any]:
        """*value* as the column holds it; nothing when no document can have it."""
        if value is None:
            raise refused("field name or value is null or empty")
        try:
            if field.kind == "keyword":
                return [text_of(value)]
            if field.kind == "integer":
                number = number_of(value)
                if isinstance(number, float):
                    if not number.is_integer():
                        return []
                    number = int(number)
                return [number] if -INT64_MAX - 1 <= number <= INT64_MAX else []
            converted = field.value(value)
        except Malformed as problem:
            raise refused(
                f"failed to create query: [{field.name}] {problem}", "query_shard_exception"
            ) from problem
        return [] if converted is None else [converted]

    def _parse_range(self, body: Any, level: Level) -> Node:
        name, options = _field_options("range", body, None)
        boost = _boost(options)
        formats = options.pop("format", None)
        zone = options.pop("time_zone", None)
        options.pop("relation", None)
        bounds = {
            sign: value
            for sign, value in ((sign, options.pop(sign, None)) for sign in _SIGNS)
            if value is not None
        }
        _no_more("range", options)
        if zone not in (None, "Z", "UTC", "+00:00"):
            raise unsupported("time_zone in a range")
        field = self._field(name, level)
        if field is None:
            return Nothing(level)
        if not bounds:
            return _weighted(self._present(field), boost)
        if field.kind == "text":
            terms = self.vocabulary(field)
            chosen = [
                term
                for term in terms
                if all(_HOLDS[sign](term, text_of(value)) for sign, value in bounds.items())
            ]
            return _weighted(Matches(self.index, field, chosen), boost)
        tests = self._tests(field, bounds, formats)
        if tests is None:
            return Nothing(level)
        return _weighted(
            Condition(field.level, lambda alias: self._compared(field, alias, tests)), boost
        )

    def _tests(
        self, field: Field, bounds: dict[str, Any], formats: Optional[str]
    ) -> Optional[list[tuple[str, Any]]]:
        tests: list[tuple[str, Any]] = []
        for sign, value in bounds.items():
            if field.kind == "date":
                first, last = self._span(field, value, formats or field.format)
                # "after 2014" is after its last moment, "from 2014" from its first.
                value = first if sign in ("gte", "lt") else last
            elif field.kind == "keyword":
                value = text_of(value)
            elif field.kind == "boolean":
                value = self._comparable(field, value)[0]
            else:
                try:
                    value = number_of(value)
                except Malformed as problem:
                    raise refused(
                        f"failed to create query: [{field.name}] {problem}",
                        "query_shard_exception",
                    ) from problem
                if isinstance(value, int) and not -INT64_MAX - 1 <= value <= INT64_MAX:
                    value = math.inf if value > 0 else -math.inf
                elif field.kind == "float" and isinstance(value, int):
                    value = float(value)
            tests.append((_SIGNS[sign], value))
        return tests

    @staticmethod
    def _span(field: Field, value: Any, formats: str) -> dates.Span:
        if not dates.known(formats):
            raise unsupported(f"date format '{formats}'")
        if isinstance(value, str) and (value.startswith("now") or "||" in value):
            raise unsupported("date math (now-1d, ||+1M/d)")
        span = dates.parse(value, formats)
        if span is None:
            raise refused(
                f"failed to parse date field [{str(value)[:80]}] with format [{formats}]",
                "parse_exception",
            )
        return span

    def _compared(self, field: Field, alias: str, tests: list[tuple[str, Any]]) -> Sql:
        return self._tested(
            field,
            alias,
            lambda column: all_of(Sql(f"{column} {sign} ?", (value,)) for sign, value in tests),
        )

    def _tested(self, field: Field, alias: str, test: Callable[[str], Sql]) -> Sql:
        """*test* holds for a value of *field*: its column, or a row of the table of lists."""
        single = test(f"{alias}.{field.column}")
        if not field.multi:
            return single
        several = (
            f"{alias}.doc IN (SELECT doc FROM {self.index.multi} "
            + Sql("WHERE field = ? AND ", (field.number,))
            + test("value")
            + ")"
        )
        return any_of([single, several])

    def _parse_exists(self, body: Any, level: Level) -> Node:
        name = body.pop("field")
        boost = _boost(body)
        _no_more("exists", body)
        field = self._field(name, level)
        if field is not None:
            return _weighted(self._present(field), boost)
        if name in ("_id", "_source"):
            return _weighted(Everything(level), boost)
        within = [each for each in level.fields if each.name.startswith(f"{name}.")]
        if not within:
            return Nothing(level)
        return _weighted(
            Condition(
                level,
                lambda alias: any_of(Sql(f"{alias}.{each.column} IS NOT NULL") for each in within),
            ),
            boost,
        )

    def _present(self, field: Field) -> Node:
        return Condition(field.level, lambda alias: Sql(f"{alias}.{field.column} IS NOT NULL"))

    # Full text

    def _parse_match_phrase(self, body: Any, level: Level) -> Node:
        name, options = _field_options("match_phrase", body, "query")
        value = options.pop("query")
        slop = int(options.pop("slop", 0))
        boost = _boost(options)
        nothing = options.pop("zero_terms_query", "none")
        _no_analyzer(options)
        _no_more("match_phrase", options)
        field = self._field(name, level)
        if field is None:
            return self._special(name, [value], level)
        if field.kind != "text":
            return _weighted(self._exact(field, [value]), boost)
        return _weighted(self._phrase(field, text_of(value), slop, nothing), boost)

    def _phrase(self, field: Field, text: str, slop: int, nothing: str) -> Node:
        terms = analysis.terms(text)
        if not terms:
            return Everything(field.level) if nothing == "all" else Nothing(field.level)
        self._seek(field, terms)
        if len(terms) == 1:
            return Terms(self.index, self.stats, field, [(terms[0], 1.0)])
        return Phrase(self.index, self.stats, field, terms, slop)

    def _parse_match_phrase_prefix(self, body: Any, level: Level) -> Node:
        raise unsupported("query 'match_phrase_prefix'")

    def _parse_match(self, body: Any, level: Level) -> Node:
        name, options = _field_options("match", body, "query")
        value = options.pop("query")
        every = str(options.pop("operator", "or")).lower() == "and"
        fuzziness = options.pop("fuzziness", None)
        fuzzy = _fuzzy_options(options)
        least = options.pop("minimum_should_match", None)
        lenient = options.pop("lenient", False)
        nothing = options.pop("zero_terms_query", "none")
        boost = _boost(options)
        _no_analyzer(options)
        _no_more("match", options)
        field = self._field(name, level)
        if field is None:
            return self._special(name, [value], level)
        if field.kind != "text":
            if fuzziness is not None and field.kind == "keyword":
                return _weighted(self._fuzzy(field, text_of(value), fuzziness, fuzzy), boost)
            try:
                return _weighted(self._exact(field, [value]), boost)
            except Exception:
                if lenient:
                    return Nothing(level)
                raise
        terms = analysis.terms(text_of(value))
        if not terms:
            return Everything(level) if nothing == "all" else Nothing(level)
        if fuzziness is None:
            self._seek(field, terms)
            nodes: list[Node] = [
                Terms(self.index, self.stats, field, [(term, 1.0)]) for term in terms
            ]
        else:
            nodes = [self._fuzzy(field, term, fuzziness, fuzzy) for term in terms]
        if len(nodes) == 1:
            return _weighted(nodes[0], boost)
        if every:
            return _weighted(Bool(level, nodes, [], [], [], 0), boost)
        needed = 1 if least is None else max(1, _least(least, len(nodes)))
        return _weighted(Bool(level, [], nodes, [], [], needed), boost)

    def _parse_multi_match(self, body: Any, level: Level) -> Node:
        fields = body.pop("fields")
        kind = body.pop("type", "best_fields")
        tie_breaker = body.pop("tie_breaker", 0.0)
        boost = _boost(body)
        if kind not in ("best_fields", "most_fields", "phrase"):
            raise unsupported(f"multi_match type '{kind}'")
        leaf = "match_phrase" if kind == "phrase" else "match"
        queries = []
        for each in fields:
            name, _, weight = each.partition("^")
            if "*" in name:
                raise unsupported("wildcards in the fields of a multi_match")
            query = {leaf: {name: {**body, "boost": float(weight or 1)}}}
            queries.append(self.parse(query, level))
        if kind == "most_fields":
            return _weighted(Bool(level, [], queries, [], [], 1), boost)
        return _weighted(DisMax(level, queries, float(tie_breaker)), boost)

    # Patterns

    def _parse_fuzzy(self, body: Any, level: Level) -> Node:
        name, options = _field_options("fuzzy", body, "value")
        value = text_of(options.pop("value"))
        fuzziness = options.pop("fuzziness", "AUTO")
        fuzzy = _fuzzy_options(options)
        boost = _boost(options)
        _no_more("fuzzy", options)
        field = self._field(name, level)
        if field is None:
            return Nothing(level)
        return _weighted(self._fuzzy(field, value, fuzziness, fuzzy), boost)

    def _fuzzy(self, field: Field, word: str, fuzziness: Any, options: tuple[int, int]) -> Node:
        prefix, expansions = options
        edits = _edits(fuzziness, word)
        if edits == 0:
            return self._exact(field, [word])
        automaton = automata.Edits(word, edits)
        found = []
        for term in automata.matching(self._vocabulary(field), automaton):
            if term[:prefix] != word[:prefix]:
                continue
            distance = automaton.distance(term)
            shortest = min(len(term), len(word))
            share = 1.0 if distance == 0 else 1.0 - distance / shortest if shortest else 0.0
            if share > 0:
                found.append((term, share))
        found.sort(key=lambda pair: (-pair[1], pair[0]))
        del found[expansions:]
        if not found:
            return Nothing(field.level)
        if field.kind != "text":
            return self._exact(field, [term for term, _ in found])
        self._seek(field, [term for term, _ in found])
        return Terms(self.index, self.stats, field, found)

    def _parse_wildcard(self, body: Any, level: Level) -> Node:
        name, options = _field_options("wildcard", body, "value")
        if "wildcard" in options:
            options["value"] = options.pop("wildcard")
        value = text_of(options.pop("value"))
        folded = bool(options.pop("case_insensitive", False))
        boost = _boost(options)
        options.pop("rewrite", None)
        _no_more("wildcard", options)
        field = self._field(name, level)
        if field is None:
            return Nothing(level)
        prefix = "" if folded else automata.literal_prefix(value, "*?\\")
        return _weighted(self._pattern(field, automata.wildcard(value), prefix, folded), boost)

    def _parse_prefix(self, body: Any, level: Level) -> Node:
        name, options = _field_options("prefix", body, "value")
        value = _escaped(text_of(options.pop("value")))
        folded = bool(options.pop("case_insensitive", False))
        boost = _boost(options)
        options.pop("rewrite", None)
        _no_more("prefix", options)
        field = self._field(name, level)
        if field is None:
            return Nothing(level)
        return _weighted(self._pattern(field, automata.wildcard(value + "*"), "", folded), boost)

    def _parse_regexp(self, body: Any, level: Level) -> Node:
        name, options = _field_options("regexp", body, "value")
        value = text_of(options.pop("value"))
        folded = bool(options.pop("case_insensitive", False))
        if str(options.pop("flags", "ALL")).upper() not in ("ALL", ""):
            raise unsupported("flags of a regexp")
        options.pop("max_determinized_states", None)
        options.pop("rewrite", None)
        boost = _boost(options)
        _no_more("regexp", options)
        expression = automata.regular_expression(value)
        field = self._field(name, level)
        if field is None:
            return Nothing(level)
        return _weighted(self._pattern(field, expression, "", folded), boost)

    def _pattern(
        self, field: Field, expression: automata.Expression, prefix: str, folded: bool
    ) -> Node:
        if field.kind not in ("text", "keyword"):
            raise refused(
                f"can only use patterns on keyword and text fields - not on [{field.name}] "
                f"which is of type [{field.type}]",
                "query_shard_exception",
            )
        pattern = automata.Pattern(expression, folded)
        terms = automata.matching(self._vocabulary(field), pattern)
        if len(terms) > MAX_PATTERN_TERMS:
            raise refused(f"the pattern matches more than {MAX_PATTERN_TERMS} terms")
        if not terms:
            return Nothing(field.level)
        if field.kind == "text":
            self._seek(field, terms)
            return Matches(self.index, field, terms)
        return Condition(field.level, self._one_of(field, terms))

    def _vocabulary(self, field: Field) -> Sequence[str]:
        if field.kind not in ("text", "keyword"):
            raise refused(
                f"[{field.name}] of type [{field.type}] has no terms", "query_shard_exception"
            )
        return self.vocabulary(field)

    # Fields

    def _field(self, name: str, level: Level) -> Optional[Field]:
        """The field *name* where documents of *level* have it."""
        field = self.index.fields.get(name)
        if field is None or field.level.path != level.path:
            return None
        return field

    def _seek(self, field: Field, terms: Sequence[str]) -> None:
        self.sought.setdefault(field.name, []).append(frozenset(terms).__contains__)


_SIGNS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_HOLDS: dict[str, Callable[[str, str], bool]] = {
    "gt": lambda one, other: one > other,
    "gte": lambda one, other: one >= other,
    "lt": lambda one, other: one < other,
    "lte": lambda one, other: one <= other,
}


def _inside(inner: Level, outer: Level) -> bool:
    level: Optional[Level] = inner.parent
    while level is not None:
        if level.path == outer.path:
            return True
        level = level.parent
    return False


def _field_options(query: str, body: dict[str, Any], short: Optional[str]) -> tuple[str, Any]:
    """Field name and options of a leaf query; ``{"field": value}`` is short for one option."""
    if len(body) != 1:
        raise refused(f"[{query}] query needs one field", "parsing_exception")
    ((name, options),) = body.items()
    if isinstance(options, dict):
        options = dict(options)
        if short is not None and short not in options and "wildcard" not in options:
            raise refused(f"[{query}] query needs a {short}", "parsing_exception")
        return name, options
    if short is None or isinstance(options, list):
        raise refused(f"[{query}] query malformed", "parsing_exception")
    return name, {short: options}


def _boost(options: dict[str, Any]) -> float:
    options.pop("_name", None)
    boost = float(options.pop("boost", 1.0))
    if boost < 0:
        raise refused(f"negative [boost] are not allowed, got {boost}")
    return boost


def _weighted(node: Node, boost: float) -> Node:
    return node if boost == 1.0 else Boosted(node, boost)


def _no_more(query: str, options: dict[str, Any]) -> None:
    if options:
        raise unsupported(f"option '{next(iter(options))}' of the query '{query}'")


def _no_analyzer(options: dict[str, Any]) -> None:
    analyzer = options.pop("analyzer", "standard")
    if analyzer != "standard":
        raise unsupported(f"analyzer '{analyzer}'")
    options.pop("auto_generate_synonyms_phrase_query", None)


def _fuzzy_options(options: dict[str, Any]) -> tuple[int, int]:
    if not options.pop("fuzzy_transpositions", options.pop("transpositions", True)):
        raise unsupported("fuzziness without transpositions")
    options.pop("fuzzy_rewrite", None)
    prefix = int(options.pop("prefix_length", 0))
    return prefix, min(int(options.pop("max_expansions", MAX_EXPANSIONS)), MAX_EXPANSIONS)


def _edits(fuzziness: Any, word: str) -> int:
    text = str(fuzziness).upper()
    if text.startswith("AUTO"):
        low, high = 3, 6
        if ":" in text:
            low, high = (int(part) for part in text[5:].split(","))
        return 0 if len(word) < low else 1 if len(word) < high else 2
    edits = int(float(text))
    if not 0 <= edits <= 2:
        raise refused(f"fuzziness {fuzziness}: 0, 1, 2 or AUTO")
    return edits


def _least(given: Any, count: int) -> int:
    """``minimum_should_match``: a number, a percentage, negative ones are what may fail."""
    text = str(given).strip()
    if "<" in text:
        raise unsupported(f"minimum_should_match '{text}'")
    if text.endswith("%"):
        share = int(math.trunc(count * abs(int(text[:-1])) / 100))
        return max(0, count - share if text.startswith("-") else share)
    number = int(text)
    return max(0, count + number if number < 0 else number)


def _escaped(text: str) -> str:
    return "".join("\\" + char if char in "*?\\" else char for char in text)
