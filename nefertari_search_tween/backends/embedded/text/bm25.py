"""BM25 as Lucene computes it, in SQL.

``weight * tf / (tf + k1 * (1 - b + b * length / average))``, where the weight is
``boost * idf * (k1 + 1)`` and ``idf = ln(1 + (docs - df + 0.5) / (df + 0.5))``: Robertson and
Zaragoza, The Probabilistic Relevance Framework (2009), with the constants of Elasticsearch.
Statistics are those of the field, over the documents that have it.
"""

from __future__ import annotations

import math
import sqlite3

from nefertari_search_tween.backends.embedded.sql import Sql
from nefertari_search_tween.backends.embedded.storage.fields import Field
from nefertari_search_tween.backends.embedded.storage.mapping import Index

K1 = 1.2
B = 0.75
# The score ``s`` in single precision, as Lucene has it, so that what ties there ties here
# (Veltkamp's splitting: Dekker, A Floating-Point Technique, 1971).
SINGLE = "(s * 536870913.0 - (s * 536870913.0 - s))"


def single(s: float) -> float:
    """Return *s* as :data:`SINGLE` computes it."""
    return s * 536870913.0 - (s * 536870913.0 - s)


def idf(df: int, docs: int) -> float:
    """Return the inverse document frequency of a term that *df* of *docs* documents have."""
    return math.log(1 + (max(docs, df) - df + 0.5) / (df + 0.5))


class Statistics:
    """Counts that scores depend on, read once per search."""

    def __init__(self, connection: sqlite3.Connection, index: Index) -> None:
        self.connection = connection
        self.index = index
        self._fields: dict[int, tuple[int, float]] = {}
        self._terms: dict[tuple[int, str], int] = {}

    def field(self, field: Field) -> tuple[int, float]:
        """Return how many documents have the field, and the average number of terms in it."""
        if field.number not in self._fields:
            row = self.connection.execute(
                f"SELECT docs, terms FROM {self.index.stats} WHERE field = ?", (field.number,)
            ).fetchone()
            docs, terms = row or (0, 0)
            self._fields[field.number] = docs, terms / docs if docs else 1.0
        return self._fields[field.number]

    def term(self, field: Field, term: str) -> int:
        """Return how many documents have the term in the field."""
        key = (field.number, term)
        if key not in self._terms:
            (self._terms[key],) = self.connection.execute(
                f"SELECT count(*) FROM {self.index.post} WHERE field = ? AND term = ?", key
            ).fetchone()
        return self._terms[key]

    def value(self, field: Field, condition: Sql) -> float:
        """Return the score of a keyword value, which the documents that meet *condition* have.

        Each value counts as a text of one term; the average text has as many as there are
        values in a document.
        """
        table = field.level.table
        matches = f"SELECT count(*) FROM {table} d WHERE " + condition
        (df,) = matches.run(self.connection).fetchone()
        (docs,) = self.connection.execute(f"SELECT count({field.column}) FROM {table}").fetchone()
        average = 1.0
        if field.multi and docs:
            (more,) = self.connection.execute(
                f"SELECT count(*) FROM {self.index.multi} WHERE field = ? AND place > 0",
                (field.number,),
            ).fetchone()
            average += more / docs
        return idf(df, docs) * (K1 + 1) / (1 + K1 * (1 - B + B / average))

    def bm25(self, field: Field, weight: float, frequency: str) -> Sql:
        """Return the SQL of the score of a row of the table of terms.

        :param weight: idf times boost.
        :param frequency: SQL of how often the term or phrase occurs.
        """
        average = self.field(field)[1]
        return Sql(
            f"? * {frequency} / ({frequency} + ? + ? * length)",
            (weight * (K1 + 1), K1 * (1 - B), K1 * B / average),
        )
