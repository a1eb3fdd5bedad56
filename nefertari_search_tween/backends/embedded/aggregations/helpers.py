"""Options and conditions that several kinds of aggregations share."""

from __future__ import annotations

from typing import Any

from nefertari_search_tween.backends.embedded.errors import reject_unknown
from nefertari_search_tween.backends.embedded.query.nodes import Bool, Condition, MatchAll, Node
from nefertari_search_tween.backends.embedded.sql import Sql
from nefertari_search_tween.backends.embedded.storage.fields import Field

Inner = dict[str, Any]
Options = dict[str, Any]


def check_options(kind: str, options: Options, *supported: str) -> None:
    """Reject options of an aggregation that are not among the *supported* ones."""
    reject_unknown(options, supported, f"the aggregation '{kind}'")


def parse_order(order: Any, default: dict[str, str]) -> list[tuple[str, str]]:
    """Return the ``order`` of buckets as pairs of name and direction."""
    clauses = order if isinstance(order, list) else [order or default]
    return [pair for clause in clauses for pair in clause.items()]


def intersect(scope: Node, narrowed: Node) -> Node:
    """Return the condition of rows that meet both conditions, which are on one level."""
    if isinstance(scope, MatchAll):
        return narrowed
    return Bool(scope.level, [], [], [scope, narrowed], [], 0)


def with_value(field: Field) -> Condition:
    """Return the condition that a row has a value of *field*."""
    return Condition(field.level, lambda alias: Sql(f"{alias}.{field.column} IS NOT NULL"))


def without_value(field: Field) -> Condition:
    """Return the condition that a row has no value of *field*."""
    return Condition(field.level, lambda alias: Sql(f"{alias}.{field.column} IS NULL"))


def or_missing(field: Field, scope: Node, bucket: Node) -> Node:
    """Return *bucket* together with the rows of *scope* that have no value of *field*.

    That is the bucket into which the option ``missing`` puts these rows.
    """
    return intersect(scope, Bool(scope.level, [], [bucket, without_value(field)], [], [], 1))
