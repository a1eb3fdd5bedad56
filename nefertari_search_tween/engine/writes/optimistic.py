"""Change many documents with optimistic concurrency: each write expects the version it read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Callable

from nefertari.json_httpexceptions import JHTTPBadRequest, JHTTPConflict

from nefertari_search_tween.backends.base import WriteResult
from nefertari_search_tween.chunks import chunks
from nefertari_search_tween.engine.database import attempts, current
from nefertari_search_tween.engine.document_state import body_of, fill, id_of
from nefertari_search_tween.engine.model_registry import Link
from nefertari_search_tween.engine.queries import Query
from nefertari_search_tween.exceptions import BackendRejected

# How often a change is repeated while other writers keep changing the same document.
ATTEMPTS = 50


def conflict_error(model: Any, pk: Any) -> JHTTPConflict:
    """Return the error for a document that was changed since it was read."""
    message = (
        f"Resource `{model.__name__}` {pk} was changed by another request in the meantime: "
        "read it again."
    )
    return JHTTPConflict(message, detail=message)


def rejected_error(model: Any, written: WriteResult) -> Exception:
    """Return the error for a write that the backend rejects for another reason than a conflict."""
    problem = BackendRejected(written.status, written.error).reason
    return JHTTPBadRequest(f"Resource `{model.__name__}`: the database rejected it: {problem}")


def update_each(model: Any, documents: list[Any], change: Callable[[Any], Any]) -> int:
    """Apply *change* to each of *documents*, write them and return the number written.

    Documents that were changed since they were read are read again, and *change* is applied to
    their new state.

    :raises JHTTPConflict: one of them is changed by other writers all the time.
    """
    database, count, remaining = current(), 0, documents
    conflicts: list[Any] = []
    for _ in attempts(ATTEMPTS):
        if conflicts:
            remaining = model.by_pks(conflicts)
        batch = []
        for each in remaining:
            change(each)
            fill(model, each._state)
            if each._state.changed_names():
                batch.append(each)
        if not batch:
            return count
        written = database.write(
            model,
            [
                (id_of(each.pk_value()), body_of(model, each._state), each._state.version)
                for each in batch
            ],
        )
        conflicts = []
        for each, result in zip(batch, written):
            if result.version is not None:
                each._state.mark_written(result.version)
                count += 1
            elif result.conflict:
                conflicts.append(each.pk_value())
            else:
                raise rejected_error(model, result)
        if not conflicts:
            return count
    raise conflict_error(model, conflicts[0])


def chunked(items: Iterable[Any]) -> Iterator[list[Any]]:
    """Return *items* in lists of the engine's chunk size; a query is streamed."""
    documents = items.stream() if isinstance(items, Query) else items
    return chunks(documents, current().chunk_size)


def detach(owner: Any, link: Link, keys: list[Any]) -> None:
    """Remove *keys* from what *owner* refers to by *link*."""
    references = owner._referenced_keys(link)
    if link.is_list:
        owner._state.values[link.field] = [key for key in references if key not in keys]
    elif references and references[0] in keys:
        owner._state.values[link.field] = None
