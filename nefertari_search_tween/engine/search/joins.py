"""Searches in fields of related documents that are in separate indices.

A condition on them is searched for first; the keys of its hits become a condition on the documents
of the search itself. So it sees every write that was acknowledged before it, as all reads of this
engine do, and there is no copy that could be stale.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, Optional

from nefertari_search_tween.engine import model_registry
from nefertari_search_tween.engine.queries import (
    Query,
    field_condition,
    keys_condition,
    values_of,
)
from nefertari_search_tween.search.query.clauses import JOINED


class JoiningBackend:
    """A backend whose searches may contain such conditions, at any depth."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def search(self, index: str, body: dict[str, Any]) -> dict[str, Any]:
        result: dict[str, Any] = self._backend.search(index, resolved(body))
        return result

    def multi_search(self, searches: Iterable[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
        result: list[dict[str, Any]] = self._backend.multi_search(
            [(index, resolved(body)) for index, body in searches]
        )
        return result

    def scan(
        self, index: str, body: dict[str, Any], size: int, timeout: Optional[float] = None
    ) -> Iterator[Any]:
        yield from self._backend.scan(index, resolved(body), size, timeout)


def resolved(body: dict[str, Any]) -> dict[str, Any]:
    """Return *body* with conditions on related documents replaced by ones on keys.

    All conditions of a level are resolved in one request, inner ones first.

    :raises SearchUnavailable: the index of the related documents can't be searched.
    """
    resolutions: dict[str, dict[str, Any]] = {}
    while True:
        pending: dict[str, dict[str, Any]] = {}
        result: dict[str, Any] = _replaced(body, resolutions, pending)
        if not pending:
            return result
        resolutions.update(_conditions(pending))


def _replaced(
    part: Any, resolutions: dict[str, dict[str, Any]], pending: dict[str, dict[str, Any]]
) -> Any:
    """Return *part* with the conditions that are resolved replaced.

    :param resolutions: resolved conditions, by their JSON text; one may occur repeatedly.
    :param pending: receives the conditions that can be resolved next.
    """
    if isinstance(part, list):
        return [_replaced(each, resolutions, pending) for each in part]
    if not isinstance(part, dict):
        return part
    if set(part) != {JOINED}:
        return {name: _replaced(each, resolutions, pending) for name, each in part.items()}
    condition = part[JOINED]
    key = json.dumps(condition, sort_keys=True)
    if key in resolutions:
        return resolutions[key]
    inner: dict[str, dict[str, Any]] = {}
    query = _replaced(condition["query"], resolutions, inner)
    pending.update(inner or {key: {**condition, "query": query}})
    return part


def _conditions(pending: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the conditions that replace the *pending* ones."""
    links = {
        key: model_registry.get(condition["model"]).links()[condition["name"]]
        for key, condition in pending.items()
    }
    searches = []
    for key, link in links.items():
        query = Query(link.target)
        query.filters.append(pending[key]["query"])
        searches.append((query, link.target.pk_field() if link.is_owning else link.field))
    result = {}
    for (key, link), values in zip(links.items(), values_of(searches)):
        result[key] = (
            field_condition(link.model, link.name, values)
            if link.is_owning
            else keys_condition(link.model, values)
        )
    return result
