"""Delete documents, and apply the ``ondelete`` rules to the documents that refer to them.

The documents that refer to a deleted one are deleted or detached before it is: a process that
dies in between leaves fewer documents, but no dangling reference. Then the document itself is
deleted, and the rules are applied to the documents that began to refer to it in the meantime
(save.py says why none is missed).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from nefertari.json_httpexceptions import JHTTPConflict

from nefertari_search_tween.engine import model_registry
from nefertari_search_tween.engine.database import attempts, current
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
    """Delete *items* and return their number.

    :raises JHTTPConflict: a rule forbids it for one of them; then nothing is deleted.
    """
    documents = _by_stored_key(model, items)
    for chunk in chunked(documents):
        _check_rules(model, chunk, set())
    for chunk in chunked(documents):
        delete(model, chunk)
    return len(documents)


def delete(model: Any, documents: list[Any]) -> None:
    """Delete *documents*, and apply the rules to those that refer to them.

    :raises JHTTPConflict: a rule forbids it; then nothing is deleted.
    """
    documents = [
        each for each in _by_stored_key(model, documents) if each._state.version is not None
    ]
    _check_rules(model, documents, set())
    _delete(model, documents, set())


def _by_stored_key(model: Any, documents: Iterable[Any]) -> list[Any]:
    """Return *documents* with the keys that they are stored by.

    A key that was assigned since and not saved is that of another document, if any.
    """
    documents = list(documents)
    for each in documents:
        if each._state.version is not None:
            each._state.values[model.pk_field()] = each._state.read[model.pk_field()]
    return documents


def _id(document: Any) -> tuple[str, Any]:
    return type(document).__name__, document.pk_value()


def _check_rules(model: Any, documents: list[Any], deleted: set[tuple[str, Any]]) -> None:
    """Check the rules for *documents* and all that would be deleted with them.

    :param deleted: ids of all documents to delete; added to.
    :raises JHTTPConflict: a rule forbids it.
    """
    deleted |= {_id(each) for each in documents}
    keys = [each.pk_value() for each in documents]
    if not keys:
        return
    for link in model_registry.inbound_links(model):
        others = [each for each in holders_of(link, keys).stream() if _id(each) not in deleted]
        if others and link.forbids(link.ondelete):
            raise _forbidden(model, others[0])
        if link.ondelete == CASCADE:
            _check_rules(link.model, others, deleted)
    for link in model.links().values():
        if link.is_owning and link.parent_rule in (RESTRICT, CASCADE):
            for document in documents:
                others = as_list(related_to(link, document))
                remaining = [each for each in others if _id(each) not in deleted]
                if remaining and link.parent_rule == RESTRICT:
                    raise _forbidden(model, others[0])
                _check_rules(link.target, remaining, deleted)


def _forbidden(model: Any, other: Any) -> JHTTPConflict:
    message = (
        f"Could not delete {model.__name__}: {type(other).__name__} {other.pk_value()} refers to it"
    )
    return JHTTPConflict(message, detail=message)


def _delete(model: Any, documents: list[Any], deleted: set[tuple[str, Any]]) -> None:
    documents = [each for each in documents if _id(each) not in deleted]
    if not documents:
        return
    deleted |= {_id(each) for each in documents}
    keys = [each.pk_value() for each in documents]
    parents = [
        (link, each)
        for link in model.links().values()
        if link.is_owning and link.parent_rule == CASCADE
        for document in documents
        for each in as_list(related_to(link, document))
    ]
    blocking = _apply_rules(model, keys, deleted)
    if blocking is None:
        _delete_documents(model, documents)
        # Documents that began to refer to them before they were deleted.
        blocking = _apply_rules(model, keys, deleted)
        if blocking is not None:
            _recreate(model, documents)
    if blocking is not None:
        raise _forbidden(model, blocking)
    for document in documents:
        release(model, document.pk_value(), document._state.values, unique_groups(model))
    for link, parent in parents:
        _delete(link.target, [parent], deleted)


def _apply_rules(model: Any, keys: list[Any], deleted: set[tuple[str, Any]]) -> Any:
    """Apply the rules to the documents that refer to those with *keys*.

    :returns: a document for which a rule forbids the delete, else None.
    """
    for link in model_registry.inbound_links(model):
        others = [each for each in holders_of(link, keys).stream() if _id(each) not in deleted]
        if others and link.forbids(link.ondelete):
            return others[0]
        if link.ondelete == CASCADE:
            _delete(link.model, others, deleted)
        else:
            update_each(link.model, others, partial(detach, link=link, keys=keys))
    return None


def _recreate(model: Any, documents: list[Any]) -> None:
    """Write deleted documents again, because a rule turned out to forbid the delete."""
    current().write(
        model, [(id_of(each.pk_value()), body_of(model, each._state), None) for each in documents]
    )


def _delete_documents(model: Any, documents: list[Any]) -> None:
    """Delete *documents* themselves, even if they were changed since they were read."""
    remaining = documents
    for _ in attempts(ATTEMPTS):
        writes = [(id_of(each.pk_value()), None, each._state.version) for each in remaining]
        changed = []
        for each, result in zip(remaining, current().write(model, writes)):
            if result.conflict:
                changed.append(each.pk_value())
            elif result.version is None:
                raise rejected_error(model, result)
        remaining = model.by_pks(changed) if changed else []
        if not remaining:
            return
    raise conflict_error(model, remaining[0].pk_value())
