"""Change a document's primary key, and apply the ``onupdate`` rules to those that refer to it.

An index can't give a document another id. The document is written under the new key, the
documents that refer to the old key are updated, and then the old document is deleted if it is
unchanged since it was read. Otherwise all of it is undone, and the caller gets a 409.

One process at a time changes a key. Its lock is a document whose lease expires LEASE_SECONDS
after the process died. A process that dies in between leaves the document under both keys, but
no dangling reference. Documents that begin to refer to the old key in the meantime are searched
for again after the delete; later ones find no such key (see save.py).
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from nefertari.json_httpexceptions import JHTTPBadRequest, JHTTPConflict

from nefertari_search_tween.backends.base import SequenceVersion
from nefertari_search_tween.engine import database as engine_database
from nefertari_search_tween.engine import model_registry
from nefertari_search_tween.engine.document_state import body_of, id_of
from nefertari_search_tween.engine.model_registry import CASCADE, Link
from nefertari_search_tween.engine.relationships import holders_of
from nefertari_search_tween.engine.writes import delete as deleting
from nefertari_search_tween.engine.writes.optimistic import (
    conflict_error,
    detach,
    rejected_error,
    update_each,
)
from nefertari_search_tween.engine.writes.unique_values import (
    LEASE_SECONDS,
    Group,
    UniqueReservations,
    changed_groups,
    conflict,
    release,
    unique_groups,
)


def change_primary_key(document: Any, changed: list[str]) -> None:
    """Write *document*, whose primary key was changed.

    :param changed: names of all values to write.
    :raises JHTTPConflict: the key is taken, a rule forbids it, or the document was changed since
        it was read. Then nothing is written.
    """
    model, state = type(document), document._state
    old, new, read = document.stored_key(), document.pk_value(), dict(state.read)
    if new is None:
        raise JHTTPBadRequest(
            f"Resource `{model.__name__}`: Field `{model.pk_field()}`: is required"
        )
    _check_rules(model, old)
    with _key_lock(model, old):
        now = model.by_pk(old)
        if now is None or now._state.version != state.version:
            raise conflict_error(model, old)
        for link in model.links().values():
            if link.is_owning and link.target is model:
                _repoint(document, link, old, new)
        groups = changed_groups(model, changed)
        reservations = UniqueReservations(model, new)
        reservations.reserve(state.values, groups)
        try:
            written = _create(document)
        except (JHTTPBadRequest, JHTTPConflict):
            reservations.release()
            raise
        unchanged = [group for group in unique_groups(model) if group not in groups]
        reservations.transfer(state.values, unchanged, old)
        _update_references(model, old, new, detaching=False)
        (deletion,) = engine_database.current().write(model, [(id_of(old), None, state.version)])
        if deletion.version is None:
            _undo(document, reservations, unchanged)
            raise conflict_error(model, old)
        _update_references(model, old, new, detaching=True)
        state.mark_written(written)
        release(model, old, read, groups)
        taken_group = reservations.confirm()
        if taken_group is not None:
            raise conflict(model, taken_group)


def _create(document: Any) -> SequenceVersion:
    model = type(document)
    body = body_of(model, document._state)
    (written,) = engine_database.current().write(model, [(id_of(document.pk_value()), body, None)])
    if written.version is not None:
        return written.version
    raise conflict(model) if written.conflict else rejected_error(model, written)


def _undo(document: Any, reservations: UniqueReservations, unchanged: list[Group]) -> None:
    """Undo the change, because the document under its old key was changed or deleted."""
    model = type(document)
    old, new = document.stored_key(), document.pk_value()
    now = model.by_pk(old)
    if now is not None:
        _update_references(model, new, old, detaching=False)
        restored = UniqueReservations(model, old)
        restored.transfer(now._state.values, unchanged, new)
        for identity in set(reservations.fresh) & set(restored.fresh):
            del reservations.fresh[identity]
        reservations.release()
    copy = model.by_pk(new)
    if copy is not None:
        deleting.delete(model, [copy])


def _check_rules(model: Any, key: Any) -> None:
    for link in model_registry.inbound_links(model):
        if link.forbids(link.onupdate):
            for other in _others(link, model, key):
                message = (
                    f"Could not change the key of {model.__name__} {key}: {link.model.__name__} "
                    f"{other.pk_value()} refers to it"
                )
                raise JHTTPConflict(message, detail=message)


def _others(link: Link, model: Any, key: Any) -> Iterator[Any]:
    """Yield the documents that refer to *key* by *link*, except the one with that key itself."""
    for each in holders_of(link, [key]).stream():
        if not (link.model is model and each.pk_value() == key):
            yield each


def _update_references(model: Any, old: Any, new: Any, detaching: bool) -> None:
    """Apply the rules to the documents that refer to *old*.

    :param detaching: also apply the rules that detach documents, which can't be undone.
    """
    for link in model_registry.inbound_links(model):
        if link.onupdate == CASCADE or link.forbids(link.onupdate):
            # Rules that forbid it were checked before; newer references are updated.
            change: Any = partial(_repoint, link=link, old=old, new=new)
        elif detaching:
            change = partial(detach, link=link, keys=[old])
        else:
            continue
        update_each(link.model, list(_others(link, model, old)), change)


def _repoint(owner: Any, link: Link, old: Any, new: Any) -> None:
    """Make *owner* refer to *new* where it refers to *old*."""
    keys = [new if key == old else key for key in owner._referenced_keys(link)]
    if keys:
        owner._state.values[link.field] = keys if link.is_list else keys[0]


@contextmanager
def _key_lock(model: Any, key: Any) -> Iterator[None]:
    """Hold the lock for changing this key.

    :raises JHTTPConflict: another process holds it.
    """
    database = engine_database.current()
    text = json.dumps([model.__name__, id_of(key)])
    identity = "moving:" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    body = json.dumps({"model": model.__name__, "until": time.time() + LEASE_SECONDS}).encode()
    version = database.write_key(identity, body, None)
    if version is None:
        lock = database.key(identity)
        if lock is not None and lock.source["until"] <= time.time():
            version = database.write_key(identity, body, lock.version)
    if version is None:
        raise conflict_error(model, key)
    try:
        yield
    finally:
        database.write_key(identity, None, version)
