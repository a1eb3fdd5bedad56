"""Changing many documents, each under its condition, whatever others do at the same time."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any, Callable

from nefertari.json_httpexceptions import JHTTPBadRequest, JHTTPConflict

from nefertari_search_tween.backends.base import WriteResult
from nefertari_search_tween.engine.database import current, pause
from nefertari_search_tween.engine.document_state import body_of, fill, id_of
from nefertari_search_tween.engine.model_registry import Link
from nefertari_search_tween.engine.queries import Query
from nefertari_search_tween.exceptions import BackendRejected

# So often a change of a document that others change at the same time is made anew.
ATTEMPTS = 50


def conflict_error(model: Any, pk: Any) -> JHTTPConflict:
    """The error of a write of a document that was changed since it was read."""
    message = (
        f"Resource `{model.__name__}` {pk} was changed by another request in the meantime: "
        "read it again."
    )
    return JHTTPConflict(message, detail=message)


def rejected_error(model: Any, written: WriteResult) -> Exception:
    """The error of a write that the backend would not take, whatever the document was."""
    problem = BackendRejected(written.status, written.error).reason
    return JHTTPBadRequest(f"Resource `{model.__name__}`: the database refused it: {problem}")


def update_each(model: Any, documents: list[Any], change: Callable[[Any], Any]) -> int:
    """Apply *change* to each of *documents* and write them; those that others have changed since
    they were read are read again, and changed as they are then. Gives the number written.

    :raises JHTTPConflict: one is changed by others all the time.
    """
    database, count, waiting = current(), 0, documents
    for tries in range(ATTEMPTS):
        batch = []
        for each in waiting:
            change(each)
            fill(model, each._state)
            if each._state.changed():
                batch.append(each)
        if not batch:
            return count
        written = database.write(
            model,
            [
                (id_of(each.pk_value()), body_of(model, each._state), each._state.stamp)
                for each in batch
            ],
        )
        lost = []
        for each, result in zip(batch, written):
            if result.version is not None:
                each._state.written(result.version)
                count += 1
            elif result.conflict:
                lost.append(each.pk_value())
            else:
                raise rejected_error(model, result)
        if not lost:
            return count
        pause(tries)
        waiting = model.by_pks(lost)
    raise conflict_error(model, lost[0])


def chunked(items: Iterable[Any]) -> Iterator[list[Any]]:
    """*items* in lists of the engine's chunk size; a query is read as it goes."""
    size = current().chunk_size
    documents = iter(items.stream() if isinstance(items, Query) else items)
    while chunk := list(itertools.islice(documents, size)):
        yield chunk


def detach(holder: Any, link: Link, keys: list[Any]) -> None:
    """Take *keys* out of what *holder* refers to."""
    held = holder._held_keys(link)
    if link.several:
        holder._state.values[link.field] = [key for key in held if key not in keys]
    elif held and held[0] in keys:
        holder._state.values[link.field] = None
