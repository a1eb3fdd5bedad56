"""Searches in fields of related documents, which are in indices of their own.

A condition on them is first a search of its own; the keys that it finds become a condition on the
documents that are looked for. So it sees every write that was answered before it, as all reads
of this engine do, and there is no copy that could be behind.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from nefertari_search_tween.engine import model_registry
from nefertari_search_tween.engine.queries import (
    Query,
    field_condition,
    keys_condition,
    values_of,
)
from nefertari_search_tween.search.query.clauses import JOINED


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

    All of them are looked up in one request, those inside of others before.

    :raises SearchUnavailable: the index of the related documents can't be searched.
    """
    known: dict[str, dict[str, Any]] = {}
    while True:
        waiting: dict[str, dict[str, Any]] = {}
        found: dict[str, Any] = _replaced(body, known, waiting)
        if not waiting:
            return found
        known.update(_conditions(waiting))


def _replaced(
    part: Any, known: dict[str, dict[str, Any]], waiting: dict[str, dict[str, Any]]
) -> Any:
    """
    :param known: what was looked up, by what was asked; the same may stand in several places.
    :param waiting: what can be looked up now, filled here.
    """
    if isinstance(part, list):
        return [_replaced(each, known, waiting) for each in part]
    if not isinstance(part, dict):
        return part
    if set(part) != {JOINED}:
        return {name: _replaced(each, known, waiting) for name, each in part.items()}
    asked = part[JOINED]
    said = json.dumps(asked, sort_keys=True)
    if said in known:
        return known[said]
    inside: dict[str, dict[str, Any]] = {}
    query = _replaced(asked["query"], known, inside)
    waiting.update(inside or {said: {**asked, "query": query}})
    return part


def _conditions(waiting: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The conditions that take the place of those that wait."""
    links = {
        said: model_registry.get(asked["model"]).links()[asked["name"]]
        for said, asked in waiting.items()
    }
    searches = []
    for said, link in links.items():
        wanted = Query(link.target)
        wanted.filters.append(waiting[said]["query"])
        searches.append((wanted, link.target.pk_field() if link.is_owning else link.field))
    found = {}
    for (said, link), values in zip(links.items(), values_of(searches)):
        found[said] = (
            field_condition(link.model, link.name, values)
            if link.is_owning
            else keys_condition(link.model, values)
        )
    return found
