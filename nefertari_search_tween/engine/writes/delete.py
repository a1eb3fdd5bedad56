"""Deleting documents, and what the ``ondelete`` rules say goes with them.

The documents that refer to a deleted one go, or let go, before it is deleted: a process that
dies in between leaves fewer documents, and none that refers to nothing. Then it is deleted, and
who began to refer to it in the meantime is dealt with (see save.py for why nobody is missed).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from nefertari.json_httpexceptions import JHTTPConflict

from nefertari_search_tween.engine import model_registry
from nefertari_search_tween.engine.database import current, pause
from nefertari_search_tween.engine.document_state import body_of, id_of
from nefertari_search_tween.engine.model_registry import CASCADE, RESTRICT
from nefertari_search_tween.engine.relationships import as_list, holders_of, related_to
from nefertari_search_tween.engine.writes.optimistic import (
    ATTEMPTS,
    chunked,
    conflict_error,
    detach,
    rejected_error,
    update_each,
)
from nefertari_search_tween.engine.writes.unique_values import release, unique_groups


def delete_many(model: Any, items: Any) -> int:
    """Delete *items*; nothing is deleted when a rule forbids it for one of them.

    :raises JHTTPConflict: a rule does.
    """
    documents = _as_stored(model, items)
    for chunk in chunked(documents):
        _check_rules(model, chunk, set())
    for chunk in chunked(documents):
        delete(model, chunk)
    return len(documents)


def delete(model: Any, documents: list[Any]) -> None:
    """Delete *documents* and what the rules say goes with them.

    :raises JHTTPConflict: a rule forbids it; then nothing is deleted.
    """
    documents = [each for each in _as_stored(model, documents) if each._state.stamp is not None]
    _check_rules(model, documents, set())
    _delete(model, documents, set())


def _as_stored(model: Any, documents: Iterable[Any]) -> list[Any]:
    """*documents* under the keys that they are stored by: what was assigned since, and not saved,
    is the key of another document, if of any."""
    found = list(documents)
    for each in found:
        if each._state.stamp is not None:
            each._state.values[model.pk_field()] = each._state.read[model.pk_field()]
    return found


def _id(document: Any) -> tuple[str, Any]:
    return type(document).__name__, document.pk_value()


def _check_rules(model: Any, documents: list[Any], going: set[tuple[str, Any]]) -> None:
    """
    :param going: documents that are deleted with them, filled here.
    :raises JHTTPConflict: a rule forbids it.
    """
    going |= {_id(each) for each in documents}
    keys = [each.pk_value() for each in documents]
    if not keys:
        return
    for link in model_registry.inbound_links(model):
        others = [each for each in holders_of(link, keys).stream() if _id(each) not in going]
        if others and link.forbids(link.ondelete):
            raise _forbidden(model, others[0])
        if link.ondelete == CASCADE:
            _check_rules(link.model, others, going)
    for link in model.links().values():
        if link.is_owning and link.of_parent in (RESTRICT, CASCADE):
            for document in documents:
                others = as_list(related_to(link, document))
                if link.of_parent == RESTRICT and any(_id(each) not in going for each in others):
                    raise _forbidden(model, others[0])
                _check_rules(link.target, [e for e in others if _id(e) not in going], going)


def _forbidden(model: Any, other: Any) -> JHTTPConflict:
    message = (
        f"Could not delete {model.__name__}: {type(other).__name__} {other.pk_value()} refers to it"
    )
    return JHTTPConflict(message, detail=message)


def _delete(model: Any, documents: list[Any], going: set[tuple[str, Any]]) -> None:
    documents = [each for each in documents if _id(each) not in going]
    if not documents:
        return
    going |= {_id(each) for each in documents}
    keys = [each.pk_value() for each in documents]
    parents = [
        (link, each)
        for link in model.links().values()
        if link.is_owning and link.of_parent == CASCADE
        for document in documents
        for each in as_list(related_to(link, document))
    ]
    blocking = _settle(model, keys, going)
    if blocking is None:
        _remove(model, documents)
        # Who began to refer to them before they were gone.
        blocking = _settle(model, keys, going)
        if blocking is not None:
            _restore(model, documents)
    if blocking is not None:
        raise _forbidden(model, blocking)
    for document in documents:
        release(model, document.pk_value(), document._state.values, unique_groups(model))
    for link, parent in parents:
        _delete(link.target, [parent], going)


def _settle(model: Any, keys: list[Any], going: set[tuple[str, Any]]) -> Any:
    """Apply the rules to the documents that refer to those with *keys*; gives one for which
    they forbid the delete."""
    for link in model_registry.inbound_links(model):
        others = [each for each in holders_of(link, keys).stream() if _id(each) not in going]
        if others and link.forbids(link.ondelete):
            return others[0]
        if link.ondelete == CASCADE:
            _delete(link.model, others, going)
        else:
            update_each(link.model, others, partial(detach, link=link, keys=keys))
    return None


def _restore(model: Any, documents: list[Any]) -> None:
    """Bring back what was deleted a moment too early."""
    current().write(
        model, [(id_of(each.pk_value()), body_of(model, each._state), None) for each in documents]
    )


def _remove(model: Any, documents: list[Any]) -> None:
    """Delete *documents* themselves, whatever others made of them since they were read."""
    waiting = documents
    for tries in range(ATTEMPTS):
        writes = [(id_of(each.pk_value()), None, each._state.stamp) for each in waiting]
        lost = []
        for each, result in zip(waiting, current().write(model, writes)):
            if result.conflict:
                lost.append(each.pk_value())
            elif result.version is None:
                raise rejected_error(model, result)
        waiting = model.by_pks(lost) if lost else []
        if not waiting:
            return
        pause(tries)
    raise conflict_error(model, waiting[0].pk_value())
