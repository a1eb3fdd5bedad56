"""Writing documents: creates, updates, deletes, and what of other documents goes with them.

There are no transactions, so the order of the writes is what keeps the data whole:

* a document is written under its condition first; a lost race has changed nothing;
* references are checked before the write and after it. Who deletes a document deals with those
  that refer to it, deletes it, and looks for new ones again. Of a new reference and a delete at
  the same time at least one sees the other (reads by key see the last write, and searches every
  write that was answered): a reference to nothing is not answered as written;
* of a delete that cascades, the documents that refer go first: a process that dies in between
  leaves fewer documents, and none that refers to nothing.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Callable, Optional

from nefertari.json_httpexceptions import JHTTPBadRequest, JHTTPConflict

from nefertari_search_tween.engine.database import current, pause
from nefertari_search_tween.engine.document_state import body_of, fill, id_of
from nefertari_search_tween.engine.model_registry import Link, keys_alone
from nefertari_search_tween.engine.queries import Query
from nefertari_search_tween.engine.relationships import as_list, holders_of
from nefertari_search_tween.engine.values import has_onupdate
from nefertari_search_tween.engine.writes.change_key import change_primary_key
from nefertari_search_tween.engine.writes.optimistic import (
    ATTEMPTS,
    chunked,
    conflict_error,
    detach,
    rejected_error,
    update_each,
)
from nefertari_search_tween.engine.writes.unique_values import (
    UniqueReservations,
    changed_groups,
    conflict,
    release,
    unique_groups,
)

_created: dict[str, list[Callable[[Any], Any]]] = {}


def after_create(model: Any, hook: Callable[[Any], Any]) -> None:
    """Call *hook* with each new document of *model* (by name: models may be declared again)."""
    _created.setdefault(model.__name__, []).append(hook)


# One document


def save(document: Any) -> None:
    """Write *document* if it changed, and the documents that its relationships bind to it."""
    model, state = type(document), document._state
    _save_unsaved(document)
    created = state.stamp is None
    fill(model, state)
    pending = _pending(document)
    changed = state.changed()
    before = dict(state.read)
    if created or changed:
        references = _references(document, changed, created)
        _check(references)
        if not created and model.pk_field() in changed:
            change_primary_key(document, changed)
            # Whatever else is taken back: it has its new key.
            before[model.pk_field()] = document.pk_value()
        else:
            _write(document, changed)
        missing = _missing(references)
        if missing is not None:
            _take_back(document, before, created)
            raise missing
        _push_out(document, references)
    for link, others, gone in pending:
        _bind(document, link, others, gone)
    for link in model.links().values():
        _forget(document, link)
    state.related.clear()
    state.keys.clear()
    if created:
        for hook in _created.get(model.__name__, ()):
            hook(document)


def _save_unsaved(document: Any) -> None:
    """Save new documents that *document* refers to: it needs their keys."""
    for name, link in type(document).links().items():
        if link.is_owning and name in document._state.related:
            value = document._state.related[name]
            for other in as_list(value):
                if other._state.stamp is None and other is not document:
                    other.save()
            document._hold(link)


def _pending(document: Any) -> list[tuple[Link, list[Any], list[Any]]]:
    """Relationships that others hold and that were changed here: the documents that come, and
    keys of those that go."""
    state, found = document._state, []
    for name, link in type(document).links().items():
        if link.is_owning or name not in state.related:
            continue
        value = state.related[name]
        others = as_list(value)
        before = state.keys.get(name, [])
        now = [each.pk_value() for each in others if each._state.stamp is not None]
        come = [
            each for each in others if each._state.stamp is None or each.pk_value() not in before
        ]
        gone = [key for key in before if key not in now]
        if come or gone:
            found.append((link, come, gone))
    return found


def _references(document: Any, changed: list[str], created: bool) -> list[tuple[Link, list[Any]]]:
    """Relationships that *document* holds, with the keys that are new in them."""
    found = []
    model = type(document)
    for link in [*model.links().values(), *keys_alone(model)]:
        if link.is_owning and (created or link.field in changed):
            before = document._state.read.get(link.field)
            before = before if isinstance(before, list) else [before]
            keys = [key for key in document._held_keys(link) if key not in before]
            if keys:
                found.append((link, keys))
    return found


def _missing(references: list[tuple[Link, list[Any]]]) -> Optional[JHTTPBadRequest]:
    for link, keys in references:
        found = {each.pk_value() for each in link.target.by_pks(keys)}
        for key in keys:
            if key not in found:
                return JHTTPBadRequest(
                    f"Resource `{link.model.__name__}`: Field `{link.field}`: there is no "
                    f"{link.target.__name__} {key}"
                )
    return None


def _check(references: list[tuple[Link, list[Any]]]) -> None:
    missing = _missing(references)
    if missing is not None:
        raise missing


def _write(document: Any, changed: list[str]) -> None:
    """Write the document itself, its unique values reserved."""
    model, state = type(document), document._state
    pk_field, before = model.pk_field(), dict(state.read)
    created = state.stamp is None
    automatic = created and state.values.get(pk_field) is None
    groups = unique_groups(model) if created else changed_groups(model, changed)
    while True:
        if automatic:
            state.values[pk_field] = current().next_number(model)
        pk = state.values[pk_field]
        claims = UniqueReservations(model, pk)
        claims.reserve(state.values, groups)
        try:
            (written,) = current().write(model, [(id_of(pk), body_of(model, state), state.stamp)])
        except JHTTPBadRequest:
            claims.release()
            raise
        # Any other fault leaves it open whether the write was made: the reservations stay, for
        # the document, or until their end.
        if written.version is None:
            claims.release()
            if not written.conflict:
                raise rejected_error(model, written)
            if automatic:
                # Somebody chose this number; the next one is free, or the one after it.
                continue
            if created:
                raise conflict(model)
            raise conflict_error(model, pk)
        state.written(written.version)
        lost = claims.confirm()
        if lost is not None:
            _take_back(document, before, created)
            raise conflict(model, lost)
        if not created:
            release(model, pk, before, groups)
        return


def _take_back(document: Any, before: dict[str, Any], created: bool) -> None:
    """Undo the write of *document* that was just made, unless another has come after it."""
    model, state = type(document), document._state
    pk = state.values[model.pk_field()]
    taken = dict(state.values)
    if not created:
        state.values = dict(before)
    for tries in range(ATTEMPTS):
        body = None if created else body_of(model, state)
        (written,) = current().write(model, [(id_of(pk), body, state.stamp)])
        now = model.by_pk(pk) if created and written.conflict else None
        if now is None or not _same_but_for_references(now, document):
            break
        # Who deleted what it refers to has made it let go meanwhile.
        state.stamp = now._state.stamp
        pause(tries)
    if created:
        release(model, pk, taken, unique_groups(model))
        state.stamp, state.read = None, {}
    elif written.version is not None:
        differing = [name for name, value in taken.items() if value != before.get(name)]
        release(model, pk, taken, changed_groups(model, differing))
        state.written(written.version)


def _same_but_for_references(one: Any, other: Any) -> bool:
    fields, links = type(one).fields(), type(one).links().values()
    changing = {link.field for link in links if link.is_owning}
    changing |= {name for name, field in fields.items() if has_onupdate(field)}
    return all(
        value == other._state.values.get(name)
        for name, value in one._state.values.items()
        if name not in changing
    )


def _push_out(document: Any, references: list[tuple[Link, list[Any]]]) -> None:
    """One to one: nobody else refers to what *document* refers to now."""
    for link, keys in references:
        if link.one_to_one:
            others = [
                each for each in holders_of(link, keys) if each.pk_value() != document.pk_value()
            ]
            update_each(link.model, others, partial(detach, link=link, keys=keys))


def _bind(document: Any, link: Link, come: list[Any], gone: list[Any]) -> None:
    """Make the holders *come* refer to *document*, and those with the keys *gone* not."""
    key = document.pk_value()

    def take(holder: Any) -> None:
        held = holder._held_keys(link)
        value = ([*held, key] if key not in held else held) if link.several else key
        holder._state.values[link.field] = value

    if gone:
        holders = link.target.by_pks(gone)
        update_each(link.target, holders, lambda each: detach(each, link, [key]))
    new = [each for each in come if each._state.stamp is None]
    for each in new:
        take(each)
        each.save()
    old = [each for each in come if each not in new]
    fresh = link.target.by_pks([each.pk_value() for each in old])
    update_each(link.target, fresh, take)
    states = {each.pk_value(): each._state for each in fresh}
    for each in old:
        if not each._is_modified() and each.pk_value() in states:
            each._state = states[each.pk_value()]


def _forget(document: Any, link: Link) -> None:
    """Documents in memory on the other side have to look again who relates to them."""
    for other in as_list(document._state.related.get(link.name)):
        if link.back is not None:
            other._state.related.pop(link.back, None)
            other._state.keys.pop(link.back, None)


# Many documents


def update_many(model: Any, items: Any, params: dict[str, Any]) -> int:
    """Update *items*: of a query, values are set; of a list, each is updated as by itself.

    :raises JHTTPBadRequest: a bad value; the chunks before are written.
    """
    model.check_fields_allowed(list(params))
    pk_field = model.pk_field()
    given = {name: value for name, value in params.items() if name != pk_field}
    setting = isinstance(items, Query)

    def change(document: Any) -> None:
        if setting:
            for name, value in given.items():
                setattr(document, name, value)
        else:
            document._update(type(params)(given))

    alone = {*model.links(), *(each.field for each in model.links().values())}
    alone |= {name for group in unique_groups(model) for name in group}
    count = 0
    for chunk in chunked(items):
        if alone & set(given):
            for each in chunk:
                count += _changed_alone(model, each, change)
        else:
            update_each(model, chunk, change)
            count += len(chunk)
    return count


def _changed_alone(model: Any, document: Any, change: Callable[[Any], Any]) -> int:
    """Change one document with all that goes with it, as often as others are in between."""
    for tries in range(ATTEMPTS):
        stamp = document._state.stamp
        change(document)
        try:
            save(document)
            return 1
        except JHTTPConflict:
            now = model.by_pk(document.pk_value())
            if now is None:
                return 0
            if now._state.stamp == stamp:
                # It is as it was: another document has the value.
                raise
            document = now
            pause(tries)
    raise conflict_error(model, document.pk_value())
