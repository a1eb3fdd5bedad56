"""Aggregations among the parameters of a request, in nefertari's notation.

``_aggs.years.terms.field=year`` is ``{"years": {"terms": {"field": "year"}}}`` under ``_aggs``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Optional

from nefertari_search_tween.exceptions import BadQuery

# Levels of names in one parameter; the deepest allowed aggregations have fewer.
MAX_NAMES = 60


@dataclass(frozen=True)
class AggregationRequest:
    """The aggregations that a request contains.

    :param root: the parameter that all names begin with.
    :param tree: aggregations by name.
    """

    root: str
    tree: Any


def root_of(names: Iterable[str], roots: Iterable[str]) -> Optional[str]:
    """Return the first of *roots* that any of the parameters *names* begins with."""
    begin = {name.partition(".")[0] for name in names}
    return next((root for root in roots if root in begin), None)


def split_params(
    params: dict[str, Any], roots: Iterable[str]
) -> tuple[Optional[AggregationRequest], dict[str, Any]]:
    """Split *params* into aggregations (below the first of *roots* that occurs) and others.

    Names may contain dots, or values may be objects already, as nefertari's views make them.

    :raises BadQuery: names that contradict each other.
    """
    root = root_of(params, roots)
    rest = flatten(
        {name: value for name, value in params.items() if name.partition(".")[0] != root}
    )
    if root is None:
        return None, rest
    other = root_of(rest, roots)
    if other is not None:
        raise BadQuery(other, f"given beside {root}: one of them is expected")
    tree: dict[str, Any] = {}
    for name, value in params.items():
        if name.partition(".")[0] == root:
            _put(tree, name, value)
    return AggregationRequest(root, tree[root]), rest


def _put(tree: dict[str, Any], name: str, value: Any) -> None:
    parts = name.split(".")
    if len(parts) > MAX_NAMES:
        raise BadQuery(name, f"more than {MAX_NAMES} names")
    if not all(parts):
        raise BadQuery(name, "a name between its dots is empty")
    for part in parts[:-1]:
        tree = tree.setdefault(part, {})
        if not isinstance(tree, dict):
            raise BadQuery(name, f"'{part[:40]}' has a value, and names below it, too")
    last = parts[-1]
    if isinstance(value, dict) and isinstance(tree.get(last), dict):
        for key, each in value.items():
            _put(tree[last], key, each)
    elif last in tree:
        raise BadQuery(name, f"'{last[:40]}' has a value, and names below it, too")
    else:
        tree[last] = value


def flatten(params: dict[str, Any]) -> dict[str, Any]:
    """Return *params* with the full names of nested fields: nefertari's views make
    ``{"director": {"name": "x"}}`` of ``director.name=x``."""
    result: dict[str, Any] = {}
    for name, value in params.items():
        if isinstance(value, dict) and value:
            result.update({f"{name}.{below}": each for below, each in flatten(value).items()})
        else:
            result[name] = value
    return result
