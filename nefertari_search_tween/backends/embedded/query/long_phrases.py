"""Phrases of more terms than one statement can join tables."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from nefertari_search_tween.backends.embedded.deadline import Deadline
from nefertari_search_tween.backends.embedded.sql import IN_JSON
from nefertari_search_tween.backends.embedded.storage.fields import Field
from nefertari_search_tween.backends.embedded.text.bm25 import Statistics
from nefertari_search_tween.backends.embedded.text.phrases import phrase_frequency
from nefertari_search_tween.chunks import chunks

# Texts whose positions are in memory at a time: each has as many rows as the phrase has terms.
DOCS_PER_PART = 100


def long_phrase(
    stats: Statistics, field: Field, phrase: list[str], slop: int, deadline: Deadline
) -> Iterator[tuple[int, int, float]]:
    """Yield number, length and frequency of each text that holds all terms of *phrase*."""
    execute, each = stats.connection.execute, deadline.each
    rows = f"FROM {stats.index.post} WHERE field = {field.number} AND "
    rarest, *others = sorted(set(phrase), key=lambda term: stats.term(field, term))
    docs = [doc for (doc,) in each(execute(f"SELECT doc {rows} term = ?", (rarest,)))]
    for term in others:
        query = f"SELECT doc {rows} term = ? AND doc IN {IN_JSON}"
        docs = [doc for (doc,) in each(execute(query, (term, json.dumps(docs))))]
    terms = json.dumps([rarest, *others])
    query = f"SELECT doc, length, term, positions {rows} term IN {IN_JSON} AND doc IN {IN_JSON}"
    for part in chunks(docs, DOCS_PER_PART):
        positions: dict[int, dict[str, Any]] = {doc: {} for doc in part}
        lengths: dict[int, int] = {}
        for doc, length, term, of_term in each(execute(query, (terms, json.dumps(part)))):
            lengths[doc] = length
            positions[doc][term] = of_term
        for doc, by_term in positions.items():
            in_order = [by_term[term] for term in phrase]
            yield doc, lengths[doc], phrase_frequency(deadline, slop, in_order)
