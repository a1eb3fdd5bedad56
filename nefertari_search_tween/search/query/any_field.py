"""One term of a text, looked for in several fields."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Callable, Optional

from nefertari_search_tween.search.query import clauses
from nefertari_search_tween.search.query.clauses import Query, ValueMismatch
from nefertari_search_tween.search.query.fields import SearchField

#: a field and its weight
Weighted = tuple[SearchField, float]


def any_field(
    fields: Iterable[Weighted], make: Callable[[SearchField, float], Query]
) -> tuple[Optional[Query], Optional[ValueMismatch]]:
    """Return the query for documents that have a term in one of *fields*, scored by the best one.

    :param make: returns the query of the term for a field and boost.
    :returns: the query, None if the term fits no field; and why it does not fit the last kind of
        field that it does not fit.
    """
    queries: list[Query] = []
    # Whether a term fits a field depends on the field's kind alone.
    problems: dict[str, ValueMismatch] = {}
    by_path: dict[Optional[str], tuple[SearchField, list[Query]]] = {}
    for target, weight in fields:
        if target.kind in problems:
            continue
        try:
            query = make(target, weight)
        except ValueMismatch as error:
            problems[target.kind] = error
            continue
        by_path.setdefault(target.path, (target, []))[1].append(query)
        if target.path is None:
            queries.append(query)
    for path, (target, parts) in by_path.items():
        if path is not None:
            queries.append(clauses.nested(target, clauses.best_of(parts)))
    problem = [*problems.values()][-1] if problems else None
    return (clauses.best_of(queries) if queries else None), problem
