"""Changing a document's primary key, and what the ``onupdate`` rules say of those that refer to it.

An index can't give a document another id. It is written anew under the new key, the documents
that refer to the old one follow, and then the old one is deleted, on condition that nobody has
changed it since it was read. If somebody has, all of it is taken back, and the caller told (409).

One process at a time changes a key: it holds a lock of its own, a document that ends by itself
LEASE_SECONDS after a process died. A process that dies in between leaves the document under both
keys, and no reference that leads nowhere. Others who begin to refer to the old key meanwhile are
looked for again when it is gone; who comes later than that finds nothing there (see save.py).
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
    """Write *document*, whose key is another than it was.

    :param changed: names of all values that are to be written.
    :raises JHTTPConflict: the key is taken; a rule forbids it; the document was changed since it
        was read. Then nothing is written.
    """
    model, state = type(document), document._state
    old, new, read = document.stored_key(), document.pk_value(), dict(state.read)
    if new is None:
        raise JHTTPBadRequest(
            f"Resource `{model.__name__}`: Field `{model.pk_field()}`: is required"
        )
    _check_rules(model, old)
    with _alone(model, old):
        now = model.by_pk(old)
        if now is None or now._state.stamp != state.stamp:
            raise conflict_error(model, old)
        for link in model.links().values():
            if link.is_owning and link.target is model:
                _refer(document, link, old, new)
        groups = changed_groups(model, changed)
        claims = UniqueReservations(model, new)
        claims.reserve(state.values, groups)
        try:
            written = _create(document)
        except (JHTTPBadRequest, JHTTPConflict):
            claims.release()
            raise
        kept = [group for group in unique_groups(model) if group not in groups]
        claims.transfer(state.values, kept, old)
        _follow(model, old, new, letting_go=False)
        (gone,) = engine_database.current().write(model, [(id_of(old), None, state.stamp)])
        if gone.version is None:
            _take_back(document, claims, kept)
            raise conflict_error(model, old)
        _follow(model, old, new, letting_go=True)
        state.written(written)
        release(model, old, read, groups)
        lost = claims.confirm()
        if lost is not None:
            raise conflict(model, lost)


def _create(document: Any) -> SequenceVersion:
    model = type(document)
    body = body_of(model, document._state)
    (written,) = engine_database.current().write(model, [(id_of(document.pk_value()), body, None)])
    if written.version is not None:
        return written.version
    raise conflict(model) if written.conflict else rejected_error(model, written)


def _take_back(document: Any, claims: UniqueReservations, kept: list[Group]) -> None:
    """Somebody changed, or deleted, the document under its old key: undo."""
    model = type(document)
    old, new = document.stored_key(), document.pk_value()
    now = model.by_pk(old)
    if now is not None:
        _follow(model, new, old, letting_go=False)
        moved = UniqueReservations(model, old)
        moved.transfer(now._state.values, kept, new)
        for identity in set(claims.fresh) & set(moved.fresh):
            del claims.fresh[identity]
        claims.release()
    made = model.by_pk(new)
    if made is not None:
        deleting.delete(model, [made])


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
    """The documents that refer to *key* by *link*, but for the one of that key itself."""
    for each in holders_of(link, [key]).stream():
        if not (link.model is model and each.pk_value() == key):
            yield each


def _follow(model: Any, old: Any, new: Any, letting_go: bool) -> None:
    """Apply the rules to the documents that refer to *old*.

    :param letting_go: also those by which they refer to nothing then, which can't be undone.
    """
    for link in model_registry.inbound_links(model):
        if link.onupdate == CASCADE or link.forbids(link.onupdate):
            # A rule that forbids it was met before: who came since follows.
            change: Any = partial(_refer, link=link, old=old, new=new)
        elif letting_go:
            change = partial(detach, link=link, keys=[old])
        else:
            continue
        update_each(link.model, list(_others(link, model, old)), change)


def _refer(holder: Any, link: Link, old: Any, new: Any) -> None:
    """Make *holder* refer to *new* where it refers to *old*."""
    held = [new if key == old else key for key in holder._held_keys(link)]
    if held:
        holder._state.values[link.field] = held if link.several else held[0]


@contextmanager
def _alone(model: Any, key: Any) -> Iterator[None]:
    """Nobody else changes this key meanwhile.

    :raises JHTTPConflict: somebody does.
    """
    database = engine_database.current()
    text = json.dumps([model.__name__, id_of(key)])
    identity = "moving:" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    body = json.dumps({"model": model.__name__, "until": time.time() + LEASE_SECONDS}).encode()
    stamp = database.write_key(identity, body, None)
    if stamp is None:
        found = database.key(identity)
        if found is not None and found.source["until"] <= time.time():
            stamp = database.write_key(identity, body, found.version)
    if stamp is None:
        raise conflict_error(model, key)
    try:
        yield
    finally:
        database.write_key(identity, None, stamp)
