"""Searches in fields of related documents, which are in indices of their own.

A condition on them is first a search of its own; the keys that it finds become a condition on the
documents that are looked for. So it sees every write that was answered before it, as all reads
of this engine do, and there is no copy that could be behind.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from nefertari_search_tween.engine import registry
from nefertari_search_tween.engine.queries import Query, field_condition, keys_condition

#: a query's only key: the documents whose related documents meet a condition
JOINED = "_joined"


def joined(model: str, name: str, query: dict[str, Any]) -> dict[str, Any]:
    """The documents of *model* that relate by *name* to one that meets *query*.

    :func:`resolved` makes a query of it that a backend knows.
    """
    return {JOINED: {"model": model, "name": name, "query": query}}


class JoiningBackend:
    """A backend whose searches may have such conditions, wherever in them."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def search(self, index: str, body: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = self._backend.search(index, resolved(body))
        return found

    def multi_search(self, searches: Iterable[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._backend.multi_search(
            [(index, resolved(body)) for index, body in searches]
        )
        return found

    def scan(self, index: str, body: dict[str, Any], size: int) -> Iterator[Any]:
        yield from self._backend.scan(index, resolved(body), size)


def resolved(body: dict[str, Any]) -> dict[str, Any]:
    """*body* with the keys of the documents in place of conditions on related ones.

    :raises SearchUnavailable: the index of the related documents can't be searched.
    """
    found: dict[str, Any] = _resolved(body, {})
    return found


def _resolved(part: Any, known: dict[str, dict[str, Any]]) -> Any:
    """
    :param known: conditions that were looked up already; the same one may stand in several places.
    """
    if isinstance(part, list):
        return [_resolved(each, known) for each in part]
    if not isinstance(part, dict):
        return part
    if set(part) != {JOINED}:
        return {name: _resolved(each, known) for name, each in part.items()}
    asked = part[JOINED]
    said = json.dumps(asked, sort_keys=True)
    if said not in known:
        query = _resolved(asked["query"], known)
        known[said] = _condition(registry.get(asked["model"]), asked["name"], query)
    return known[said]


def _condition(model: Any, name: str, query: dict[str, Any]) -> dict[str, Any]:
    link = model.links()[name]
    if link.held:
        keys = _values(link.target, link.target.pk_field(), query)
        return field_condition(model, name, keys)
    return keys_condition(model, _values(link.target, link.field, query))


def _values(model: Any, name: str, query: dict[str, Any]) -> list[Any]:
    """What the documents of *model* that meet *query* have in the field *name*, each once."""
    wanted = Query(model)
    wanted.filters.append(query)
    found: dict[Any, None] = {}
    for source in wanted.sources([name]):
        value = source.get(name)
        for each in value if isinstance(value, list) else [value]:
            if each is not None:
                found[each] = None
    return list(found)
