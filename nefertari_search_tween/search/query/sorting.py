"""Sorts of search reads, of one model or several, and of the drop-in (``_sort``)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, Union

from nefertari_search_tween.exceptions import BadQuery
from nefertari_search_tween.search.query.clauses import ABSENT, SEARCHABLE
from nefertari_search_tween.search.query.fields import FieldScope

SCORE = "_score"
# A field name that no index has.
ABSENT_KEY = "_absent"


class SortKey(NamedTuple):
    """A field to sort by, or :data:`SCORE`."""

    name: str
    descending: bool


class SortOrder(NamedTuple):
    """How hits of several models are ordered by a sort clause.

    :param kind: of its values, see ``search/multi/query.py``.
    """

    descending: bool
    kind: str


def parse_sort(value: Union[str, list[str], None]) -> list[SortKey]:
    """Return the keys of ``_sort``, each name once; without a value, best matches come first."""
    if value is None or value == "":
        return [SortKey(SCORE, True)]
    keys: dict[str, SortKey] = {}
    for each in (",".join(value) if isinstance(value, list) else value).split(","):
        text = each.strip()
        if text:
            name = text.lstrip("+-")
            keys.setdefault(name, SortKey(name, text[0] == "-"))
    return list(keys.values())


def sort_clauses(keys: Iterable[SortKey], scope: FieldScope) -> list[dict[str, Any]]:
    """Return the sort clauses of *keys*; ties are ordered by primary key, so that pages never
    overlap.

    :raises BadQuery: a field can't be sorted by.
    """
    sorts: list[dict[str, Any]] = []
    for name, descending in keys:
        order = "desc" if descending else "asc"
        if name == SCORE:
            sorts.append({SCORE: {"order": order}})
            continue
        target = scope.get(name)
        if target is not None and target.kind == ABSENT:
            # A placeholder, so that all models have the same number of clauses.
            sorts.append({ABSENT_KEY: {"order": order, "unmapped_type": "keyword"}})
            continue
        # A sort can apply the visibility condition of one level only.
        deep = target is not None and target.guarded and len(target.nested_levels) > 1
        if target is None or target.kind not in SEARCHABLE or deep or target.joins:
            raise BadQuery(
                "_sort",
                f"{scope.document_cls.__name__} can't be sorted by '{name[:60]}'"
                + (scope.meant(name) if target is None else ""),
            )
        clause: dict[str, Any] = {"order": order, "missing": "_last"}
        if target.path is not None:
            _, condition = target.nested_levels[-1]
            filters = {} if condition is None else {"filter": condition}
            clause["nested"] = {"path": target.path, **filters}
        sorts.append({target.sort_key: clause})
    if not any(scope.tie_breaker in clause for clause in sorts):
        sorts.append({scope.tie_breaker: {"order": "asc"}})
    return sorts
