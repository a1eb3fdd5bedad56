"""Queries on texts as SQL (see nodes.py): the rows of terms, and what is made of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Optional

from nefertari_search_tween.backends.embedded.deadline import Deadline
from nefertari_search_tween.backends.embedded.query.long_phrases import long_phrase
from nefertari_search_tween.backends.embedded.query.nodes import MAX_JOINED, Node
from nefertari_search_tween.backends.embedded.sql import IN_JSON, Sql, joined, united
from nefertari_search_tween.backends.embedded.storage.fields import Field
from nefertari_search_tween.backends.embedded.text.bm25 import Statistics, idf

#: no character sorts behind it
LAST = "\U0010ffff"
# Terms of a phrase that are looked at, whether they occur once.
MAX_SINGLE = 2


@dataclass(eq=False)
class TextNode(Node):
    """A query on the texts of one field."""

    stats: Statistics
    field: Field
    by_number = True

    def __post_init__(self) -> None:
        self.level = self.field.level
        self.post = self.stats.index.post

    def uniform_score(self, boost: float) -> Optional[float]:
        return None

    def with_any(self, terms: list[str]) -> Sql:
        """Return the condition that a row of the table of terms has one of *terms*."""
        condition = f"field = {self.field.number} AND term "
        if len(terms) == 1:
            return Sql(condition + "= ?", (terms[0],))
        return Sql(condition + "IN " + IN_JSON, (json.dumps(terms),))


@dataclass(eq=False)
class Terms(TextNode):
    """Texts that hold one of *terms*, each with its weight."""

    terms: Sequence[tuple[str, float]]

    def __post_init__(self) -> None:
        super().__post_init__()
        self.is_posting_list = len(self.terms) == 1

    def frequency(self) -> int:
        return self.stats.term(self.field, self.terms[0][0])

    def _rows(self) -> Sql:
        return self.with_any([term for term, _ in self.terms])

    def where(self, alias: str) -> Sql:
        return f"{alias}.doc IN (SELECT doc FROM {self.post} WHERE " + self._rows() + ")"

    def docs(self) -> Optional[Sql]:
        # A document has a row for each of several terms.
        columns = "doc" if self.is_posting_list else "DISTINCT doc"
        return f"SELECT {columns} FROM {self.post} WHERE " + self._rows()

    def scores(self, boost: float) -> Sql:
        docs, _ = self.stats.field(self.field)
        frequencies = [self.stats.term(self.field, term) for term, _ in self.terms]
        # Variants of one word count as one term, with the frequency of the commonest.
        weight = idf(max(frequencies), docs) if frequencies else 0.0
        parts = [
            "SELECT doc, "
            + self.stats.bm25(self.field, weight * boost * share, "CAST(tf AS REAL)")
            + " AS s "
            + f"FROM {self.post} "
            + Sql("WHERE field = ? AND term = ?", (self.field.number, term))
            for term, share in self.terms
        ]
        if len(parts) == 1:
            return parts[0]
        rows = united("doc, s", parts).as_table()
        return "SELECT doc, sum(s) AS s FROM " + rows + " GROUP BY doc"


@dataclass(eq=False)
class Matches(TextNode):
    """Texts that hold any of many terms; all score the same."""

    terms: list[str]

    def uniform_score(self, boost: float) -> Optional[float]:
        return boost

    def where(self, alias: str) -> Sql:
        rows = f"SELECT doc FROM {self.post} WHERE " + self.with_any(self.terms)
        return f"{alias}.doc IN (" + rows + ")"

    def docs(self) -> Optional[Sql]:
        return f"SELECT DISTINCT doc FROM {self.post} WHERE " + self.with_any(self.terms)


@dataclass(eq=False)
class Beginnings(TextNode):
    """Texts that hold a term that begins with *prefix*; all score the same."""

    prefix: str

    def uniform_score(self, boost: float) -> Optional[float]:
        return boost

    def where(self, alias: str) -> Sql:
        return f"{alias}.doc IN (SELECT doc FROM {self.post} WHERE " + self._rows() + ")"

    def docs(self) -> Optional[Sql]:
        return f"SELECT DISTINCT doc FROM {self.post} WHERE " + self._rows()

    def _rows(self) -> Sql:
        # A range of the table's key: no list of the terms is made, however many there are.
        condition = f"field = {self.field.number} AND term >= ? AND term < ?"
        return Sql(condition, (self.prefix, self.prefix + LAST))


@dataclass(eq=False)
class Phrase(TextNode):
    """Texts that hold *terms* in a row."""

    terms: list[str]
    slop: int
    deadline: Deadline
    _frequencies: Optional[str] = field(init=False, default=None)

    def _table(self, columns: str) -> Sql:
        """Return the SELECT of texts that hold all terms, with the phrase's frequency ``f``."""
        count = len(self.terms)
        if count > MAX_JOINED:
            return self._long_table(columns)
        order = sorted(range(count), key=lambda i: self.stats.term(self.field, self.terms[i]))
        first = order[0]
        tables = [f"{self.post} p{i}" for i in order]
        conditions = [
            Sql(f"p{i}.field = ? AND ", (self.field.number,))
            + self._is_term(i)
            + (f" AND p{i}.doc = p{first}.doc" if i != first else "")
            for i in order
        ]
        return (
            f"SELECT doc, {columns} f FROM (SELECT p{first}.doc AS doc, p{first}.length AS length, "
            + self.frequency_of(order)
            + " AS f FROM "
            + " CROSS JOIN ".join(tables)
            + " WHERE "
            + joined(" AND ", conditions)
            + " LIMIT -1) WHERE f > 0"
        )

    def _is_term(self, number: int) -> Sql:
        return Sql(f"p{number}.term = ?", (self.terms[number],))

    def frequency_of(self, order: Sequence[int]) -> Sql:
        """Return the SQL of the phrase's frequency in the rows ``p0``, ``p1``, ... of its terms.

        A phrase one of whose terms occurs once, occurs once or never: there, if the others are at
        the distances that they have in the phrase. That needs no function of Python, and is what
        most texts are like. The positions of a term that occurs once are a number.

        :param order: the numbers of the terms, the rarest first.
        """
        count = len(self.terms)
        positions = ", ".join(f"p{i}.positions" for i in range(count))
        counted = Sql(f"phrase_frequency(?, {positions})", (self.slop,))
        if self.slop:
            return counted
        cases = ""
        for i in order[:MAX_SINGLE]:
            others = [
                f"CASE typeof(p{j}.positions) "
                f"WHEN 'integer' THEN p{j}.positions = p{i}.positions + {j - i} "
                f"ELSE instr(' ' || p{j}.positions || ' ', "
                f"' ' || (p{i}.positions + {j - i}) || ' ') > 0 END"
                for j in range(count)
                if j != i
            ]
            cases += f"WHEN typeof(p{i}.positions) = 'integer' THEN {' AND '.join(others)} "
        return f"CASE {cases}ELSE " + counted + " END"

    def _long_table(self, columns: str) -> Sql:
        """Return the same for a phrase of more terms than tables can be joined."""
        if self._frequencies is None:
            # Its score and its condition read it, and what counts the matches.
            rows = long_phrase(self.stats, self.field, self.terms, self.slop, self.deadline)
            self._frequencies = json.dumps(list(rows))
        return Sql(
            f"SELECT doc, {columns} f FROM (SELECT json_extract(value, '$[0]') AS doc, "
            "json_extract(value, '$[1]') AS length, json_extract(value, '$[2]') AS f "
            "FROM json_each(?)) WHERE f > 0",
            (self._frequencies,),
        )

    def docs(self) -> Optional[Sql]:
        return "SELECT doc FROM " + self._table("").as_table()

    def where(self, alias: str) -> Sql:
        return f"{alias}.doc IN (SELECT doc FROM " + self._table("").as_table() + ")"

    def scores(self, boost: float) -> Sql:
        docs, _ = self.stats.field(self.field)
        weight = sum(idf(self.stats.term(self.field, term), docs) for term in self.terms)
        matches = self._table("length,").as_table()
        score = self.stats.bm25(self.field, weight * boost, "f")
        return "SELECT doc, " + score + " AS s FROM " + matches


@dataclass(eq=False)
class PhraseBeginning(Phrase):
    """Texts that hold *terms* in a row, the last one of which may go on; all score the same."""

    def uniform_score(self, boost: float) -> Optional[float]:
        return boost

    def _is_term(self, number: int) -> Sql:
        if number + 1 < len(self.terms):
            return super()._is_term(number)
        last = self.terms[number]
        return Sql(f"p{number}.term >= ? AND p{number}.term < ?", (last, last + LAST))

    def docs(self) -> Optional[Sql]:
        # A document has a row for each word that begins so.
        return "SELECT DISTINCT doc FROM " + self._table("").as_table()

    def scores(self, boost: float) -> Sql:
        return Sql("SELECT doc, ? AS s FROM (", (boost,)) + (self.docs() or Sql("")) + ")"
