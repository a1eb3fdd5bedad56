"""How two answers to one request differ."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple, Optional

from tests.support.compare_answers import lasting_error, settled


class Answer(NamedTuple):
    """What came back."""

    status: int
    engine: str
    text: str


class Difference(NamedTuple):
    """What differs.

    :param what: in words, the same for all that are alike.
    :param fields: that are rendered otherwise.
    """

    what: str
    fields: frozenset[str] = frozenset()


def difference(
    ours: Answer,
    primary: Answer,
    ordered: Callable[[], Answer],
    unordered: frozenset[str],
) -> Optional[Difference]:
    """Return how *ours* differs from what the primary answers, None if it does not.

    :param ordered: asks the primary for the rows in the order of their keys where it has none. The
        mirror has that order; no other freedom is allowed.
    :param unordered: fields whose values are lists in any order.
    """
    if ours.status != primary.status:
        return Difference(f"status {ours.status}, the primary's is {primary.status}")
    one, other = _comparable(ours, unordered), _comparable(primary, unordered)
    if one == other:
        return None
    if ours.engine == "mirror" and ours.status == 200:
        other = _comparable(ordered(), unordered)
        if one == other:
            return None
    return _of_texts(one, other)


def _comparable(answer: Answer, unordered: frozenset[str]) -> str:
    if answer.status >= 400 and answer.text.startswith("{"):
        return lasting_error(answer.text)
    if unordered and answer.status == 200:
        return json.dumps(settled(json.loads(answer.text), unordered))
    return answer.text


def _of_texts(one: str, other: str) -> Difference:
    bodies = []
    for text in (one, other):
        try:
            bodies.append(json.loads(text))
        except ValueError:
            return Difference("text")
    ours = bodies[0]
    items = [_items(each) for each in bodies]
    if items[0] is None or items[1] is None:
        return Difference("number" if isinstance(ours.get("data"), int) else "error")
    keys = [[each.get("_pk") for each in data] for data in items]
    totals = [(each.get("total"), each.get("count")) for each in bodies]
    if totals[0] != totals[1] or sorted(map(str, keys[0])) != sorted(map(str, keys[1])):
        return Difference("rows")
    fields = frozenset(
        name
        for item in items[0]
        for counterpart in items[1]
        if item.get("_pk") == counterpart.get("_pk")
        for name in item.keys() | counterpart.keys()
        # As texts: 1, 1.0 and true are equal in Python.
        if json.dumps(item.get(name)) != json.dumps(counterpart.get(name))
        or (name in item) != (name in counterpart)
    )
    if fields:
        return Difference("rendering", fields)
    return Difference("order" if keys[0] != keys[1] else "text")


def _items(body: Any) -> Optional[list[dict[str, Any]]]:
    data = body.get("data") if isinstance(body, dict) else None
    return data if isinstance(data, list) and all(isinstance(each, dict) for each in data) else None
