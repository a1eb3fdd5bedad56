"""Queries on values: term, terms, ids, range, exists."""

from __future__ import annotations

import json
import math
import operator
import sqlite3
import time
from collections.abc import Sequence
from functools import partial
from typing import Any, Callable, Optional, Union

from nefertari_search_tween.backends.date_math import Span
from nefertari_search_tween.backends.embedded import date_format
from nefertari_search_tween.backends.embedded.deadline import Deadline
from nefertari_search_tween.backends.embedded.errors import rejected, unsupported
from nefertari_search_tween.backends.embedded.query.nodes import (
    Boost,
    Condition,
    MatchAll,
    MatchNone,
    Node,
)
from nefertari_search_tween.backends.embedded.query.options import escape_pattern
from nefertari_search_tween.backends.embedded.query.text_nodes import Matches, Terms
from nefertari_search_tween.backends.embedded.sql import IN_JSON, Sql, all_of, any_of
from nefertari_search_tween.backends.embedded.storage.fields import (
    INT64_MAX,
    Field,
    Level,
    Malformed,
    encode_float,
    number_of,
    text_of,
)
from nefertari_search_tween.backends.embedded.storage.mapping import Index
from nefertari_search_tween.backends.embedded.text import automata, derivatives
from nefertari_search_tween.backends.embedded.text.bm25 import Statistics
from nefertari_search_tween.exceptions import BackendRejected

_SIGNS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_COMPARISONS = {"gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le}
# Terms that a pattern may match, so that a query is bounded.
MAX_PATTERN_TERMS = 200_000
#: a test of a term, or the terms of a phrase
SearchedTerms = Union[Callable[[str], bool], tuple[str, ...]]


class TermQueries:
    """Reads queries on one index.

    :param vocabulary: field -> the sorted terms of a text, or values of a keyword.
    :param deadline: of the search.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        index: Index,
        vocabulary: Callable[[Field], Sequence[str]],
        deadline: Deadline,
    ) -> None:
        self.connection = connection
        self.index = index
        self.stats = Statistics(connection, index)
        self.vocabulary = vocabulary
        self.deadline = deadline
        #: the searched terms, for highlighting, by field name
        self.searched_terms: dict[str, list[SearchedTerms]] = {}
        self._depth = 0
        #: what "now" is everywhere in this search
        self._now = time.time_ns() // 1_000_000

    def _field(self, name: str, level: Level) -> Optional[Field]:
        """Return the field *name* if it is one of documents of *level*, else None."""
        field = self.index.fields.get(name)
        if field is None or field.level.path != level.path:
            return None
        return field

    def _record_terms(self, field: Field, terms: Sequence[str]) -> None:
        self.searched_terms.setdefault(field.name, []).append(frozenset(terms).__contains__)

    def _terms(self, field: Field, terms: list[str]) -> Node:
        """Return the query for texts with one of *terms*; one term is scored."""
        self._record_terms(field, terms)
        if len(terms) == 1:
            return Terms(self.stats, field, [(terms[0], 1.0)])
        return Matches(self.stats, field, terms)

    def _parse_term(self, name: str, options: Any, level: Level) -> Node:
        value = options.pop("value")
        ignore_case = options.pop("case_insensitive", False)
        field = self._field(name, level)
        if field is None:
            return self._special(name, [value], level)
        if ignore_case:
            return self._pattern(field, wildcard(escape_pattern(str(value))), True)
        return self._exact(field, [value])

    def _parse_terms(self, options: Any, level: Level) -> Node:
        if len(options) != 1:
            raise rejected("[terms] query needs one field", "parsing_exception")
        name, values = options.popitem()
        if not isinstance(values, list):
            raise unsupported("terms look-up")
        field = self._field(name, level)
        if field is None:
            return self._special(name, values, level)
        return Boost(self._exact(field, values), 1.0, flat=True)

    def _special(self, name: str, values: list[Any], level: Level) -> Node:
        if name == "_id" and level.parent is None:
            return self._ids(values, level)
        if name == "_index":
            return self._of_indices(set(values), level)
        return MatchNone(level)

    def _of_indices(self, names: set[Any], level: Level) -> Node:
        """Return the query for documents in one of the indices *names*, which may be aliases."""
        members = self.index.members
        remainders = []
        for remainder, index in enumerate(members):
            rows = self.connection.execute(
                "SELECT alias FROM aliases WHERE number = ?", (index.number,)
            )
            if not names.isdisjoint({index.name, *(alias for (alias,) in rows)}):
                remainders.append(remainder)
        if len(remainders) == len(members):
            return MatchAll(level)
        numbers = ", ".join(map(str, remainders))
        return Condition(level, lambda alias: Sql(f"{alias}.doc % {len(members)} IN ({numbers})"))

    def _parse_ids(self, options: Any, level: Level) -> Node:
        return self._ids(options.pop("values", []), level)

    def _ids(self, values: list[Any], level: Level) -> Node:
        if level.parent is not None:
            return MatchNone(level)
        ids = json.dumps([str(value) for value in values])
        return Condition(
            level,
            lambda alias: Sql(
                f"{alias}.doc IN (SELECT doc FROM {self.index.docs} WHERE id IN {IN_JSON})",
                (ids,),
            ),
            by_number=True,
        )

    def _exact(self, field: Field, values: list[Any]) -> Node:
        """Return the query for documents with one of *values*."""
        if field.kind == "text":
            return self._terms(field, [text_of(value) for value in values])
        if field.kind == "date":
            spans = [self.span(field, value, field.format) for value in values]
            return Condition(
                field.level,
                lambda alias: any_of(
                    self.comparison(field, alias, [(">=", span[0]), ("<=", span[1])])
                    for span in spans
                ),
            )
        comparable = [value for each in values for value in self._comparable(field, each)]
        if not comparable:
            return MatchNone(field.level)
        make = self._one_of(field, comparable)
        if field.kind in ("keyword", "boolean") and len(comparable) == 1:
            weight = partial(self.stats.value, field, make("d"))
            return Condition(field.level, make, weight, is_indexed=True)
        return Condition(field.level, make, is_indexed=True)

    def _one_of(self, field: Field, values: list[Any]) -> Callable[[str], Sql]:
        if len(values) <= 100:
            test = Sql("IN (" + ", ".join("?" * len(values)) + ")", tuple(values))
        else:
            test = Sql("IN " + IN_JSON, (json.dumps(values),))
        return lambda alias: self._any_value(field, alias, lambda column: f"{column} " + test)

    def _comparable(self, field: Field, value: Any) -> list[Any]:
        """Return *value* as the column holds it; an empty list if no document can have it."""
        if value is None:
            raise rejected("field name or value is null or empty")
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
            raise _misfit(field, problem) from problem
        return [] if converted is None else [converted]

    def _parse_range(self, name: str, options: Any, level: Level) -> Node:
        formats = options.pop("format", None)
        zone = options.pop("time_zone", None)
        options.pop("relation", None)
        values = {sign: options.pop(sign, None) for sign in _SIGNS}
        bounds = {sign: value for sign, value in values.items() if value is not None}
        if zone not in (None, "Z", "UTC", "+00:00"):
            raise unsupported("time_zone in a range")
        field = self._field(name, level)
        if field is None:
            return MatchNone(level)
        if not bounds:
            return self._present(field)
        if field.kind == "text":
            matching = [
                term
                for term in self.deadline.each(self.vocabulary(field))
                if all(_COMPARISONS[sign](term, text_of(value)) for sign, value in bounds.items())
            ]
            return Matches(self.stats, field, matching)
        tests = self._tests(field, bounds, formats)
        return Condition(field.level, lambda alias: self.comparison(field, alias, tests))

    def _tests(
        self, field: Field, bounds: dict[str, Any], formats: Optional[str]
    ) -> list[tuple[str, Any]]:
        tests = []
        for sign, value in bounds.items():
            if field.kind == "date":
                first, last = self.span(field, value, formats or field.format)
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
                    raise _misfit(field, problem) from problem
                if isinstance(value, int) and not -INT64_MAX - 1 <= value <= INT64_MAX:
                    value = math.inf if value > 0 else -math.inf
                elif field.kind == "float":
                    value = encode_float(float(value))
            tests.append((_SIGNS[sign], value))
        return tests

    def span(self, field: Field, value: Any, formats: str) -> Span:
        if not date_format.is_supported(formats):
            raise unsupported(f"date format '{formats}'")
        span = date_format.parse_expression(value, formats, self._now)
        if span is None:
            raise rejected(
                f"failed to parse date field [{str(value)[:80]}] with format [{formats}]",
                "parse_exception",
            )
        return span

    def comparison(self, field: Field, alias: str, tests: list[tuple[str, Any]]) -> Sql:
        return self._any_value(
            field,
            alias,
            lambda column: all_of(Sql(f"{column} {sign} ?", (value,)) for sign, value in tests),
        )

    def _any_value(self, field: Field, alias: str, test: Callable[[str], Sql]) -> Sql:
        """Return the condition that *test* holds for a value of *field*.

        Values are in its column, and those of lists in the table of lists.
        """
        in_column = test(f"{alias}.{field.column}")
        if not field.multi:
            return in_column
        in_list = (
            f"{alias}.doc IN (SELECT doc FROM {self.index.multi} "
            + Sql("WHERE field = ? AND ", (field.number,))
            + test("value")
            + ")"
        )
        return any_of([in_column, in_list])

    def _parse_exists(self, options: Any, level: Level) -> Node:
        name = options.pop("field")
        field = self._field(name, level)
        if field is not None:
            return self._present(field)
        if name in ("_id", "_source"):
            return MatchAll(level)
        within = [each for each in level.fields if each.name.startswith(f"{name}.")]
        return Condition(
            level,
            lambda alias: any_of(Sql(f"{alias}.{each.column} IS NOT NULL") for each in within),
        )

    def _present(self, field: Field) -> Node:
        return Condition(
            field.level,
            lambda alias: Sql(f"{alias}.{field.column} IS NOT NULL"),
            is_indexed=field.kind != "text",
        )

    def _pattern(self, field: Field, build: derivatives.Build, ignore_case: bool) -> Node:
        if field.kind not in ("text", "keyword"):
            raise rejected(
                f"can only use patterns on keyword and text fields - not on [{field.name}] "
                f"which is of type [{field.type}]",
                "query_shard_exception",
            )
        pattern = automata.Pattern(build, self.deadline, ignore_case)
        terms = automata.matching(self._vocabulary(field), pattern, self.deadline)
        if len(terms) > MAX_PATTERN_TERMS:
            raise rejected(f"the pattern matches more than {MAX_PATTERN_TERMS} terms")
        if not terms:
            return MatchNone(field.level)
        if field.kind == "text":
            self._record_terms(field, terms)
            return Matches(self.stats, field, terms)
        return Condition(field.level, self._one_of(field, terms))

    def _vocabulary(self, field: Field) -> Sequence[str]:
        if field.kind not in ("text", "keyword"):
            raise rejected(
                f"[{field.name}] of type [{field.type}] has no terms", "query_shard_exception"
            )
        return self.vocabulary(field)


def wildcard(text: str) -> derivatives.Build:
    """Return what makes the expression of a wildcard pattern."""
    return lambda make: make.wildcard(text)


def _misfit(field: Field, problem: Malformed) -> BackendRejected:
    reason = f"failed to create query: [{field.name}] {problem}"
    return rejected(reason, "query_shard_exception")
