"""Paths from one aggregation to another (``order``, ``buckets_path``), as the server needs them.

An aggregation on nested documents is wrapped in aggregations of the same name, which callers do
not see: paths must lead through them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Optional

from nefertari_search_tween.search.aggregations import options as o
from nefertari_search_tween.search.aggregations.context import OptionPath, split_list

# Up to the key of a bucket (years['1972']) or a number of several (stats.avg).
_STEP = re.compile(r"(?P<name>[^.\[\]>]+)(?P<rest>(?:\['?[^\]]*'?\])?(?:\.[^>]*)?)")
_OWN = frozenset({"_count", "_key", "_bucket_count"})


@dataclass
class Part:
    """One aggregation of a request, as needed to read its result.

    :param kind: its type.
    :param wraps: the number of aggregations of the same name that it is wrapped in.
    :param inner: its sub-aggregations.
    :param path: of the nested documents that it works on, None for the documents themselves.
    :param sorts: of a ``top_hits``, the number of sort values that the caller named.
    """

    kind: str
    wraps: int = 0
    inner: dict[str, Part] = field(default_factory=dict)
    path: Optional[str] = None
    sorts: int = 0


def resolve_bucket_path(param: OptionPath, value: Any, parts: dict[str, Part]) -> str:
    """Return the path *value*, led through the wrappers of aggregations.

    :param parts: the aggregations that it may begin with.
    :raises BadQuery: it names one that does not exist.
    """
    steps, inside = [], parts
    for step in o.text(param, value).split(">"):
        match = _STEP.fullmatch(step.strip())
        name = match["name"] if match is not None else step
        if match is None or (name not in inside and name not in _OWN):
            names = ", ".join(sorted(inside)) or "none"
            raise param.error(f"there is no aggregation '{name[:60]}' there; those are: {names}")
        part = inside.get(name)
        wraps = part.wraps if part is not None else 0
        steps += [name] * wraps + [name + match["rest"]]
        inside = part.inner if part is not None else {}
    return ">".join(steps)


def orders(param: OptionPath, value: Any, parts: dict[str, Part]) -> list[dict[str, str]]:
    """Return the ``order`` of buckets, by sub-aggregations or by ``_count`` and ``_key``."""
    return [
        {resolve_bucket_path(param, name, parts): direction}
        for clause in o.order(param, value)
        for name, direction in clause.items()
    ]


def sorts(param: OptionPath, value: Any, parts: dict[str, Part]) -> list[dict[str, Any]]:
    """Return the ``sort`` of a ``bucket_sort``."""
    clauses = o.order(param, [_plain(each) for each in split_list(value)])
    return [
        {resolve_bucket_path(param, name, parts): {"order": direction}}
        for clause in clauses
        for name, direction in clause.items()
    ]


def _plain(clause: Any) -> Any:
    """Return ``{"sales": "desc"}`` for ``{"sales": {"order": "desc"}}``."""
    if not isinstance(clause, dict):
        return clause
    return {
        name: each["order"] if isinstance(each, dict) and set(each) == {"order"} else each
        for name, each in clause.items()
    }
