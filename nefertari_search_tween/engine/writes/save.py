"""Save documents, and the other documents that their relationships bind to them.

There are no transactions, so the order of the writes keeps the data consistent:

* a document is written first, if its version is the expected one; a lost race changes nothing;
* references are checked before the write and after it. A delete applies its rules to the
  referring documents, deletes the document, and then searches for new ones again. Of a new
  reference and a concurrent delete at least one sees the other (reads by key see the last write,
  searches every acknowledged write): a dangling reference is never reported as written;
* a cascading delete starts with the referring documents: a process that dies in between leaves
  fewer documents, but no dangling reference.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Callable, Optional

from nefertari.json_httpexceptions import JHTTPBadRequest, JHTTPConflict

from nefertari_search_tween.engine.database import attempts, current
from nefertari_search_tween.engine.document_state import body_of, fill, id_of
from nefertari_search_tween.engine.model_registry import Link, bare_foreign_keys
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
    created = state.version is None
    fill(model, state)
    changed_links = _changed_links(document)
    changed = state.changed_names()
    before = dict(state.read)
    if created or changed:
        references = _added_references(document, changed, created)
        _check(references)
        if not created and model.pk_field() in changed:
            change_primary_key(document, changed)
            # An undo of the other values must not change the new key.
            before[model.pk_field()] = document.pk_value()
        else:
            _write(document, changed)
        missing = _missing_reference(references)
        if missing is not None:
            _undo(document, before, created)
            raise missing
        _detach_others(document, references)
    for link, added, removed in changed_links:
        _attach(document, link, added, removed)
    for link in model.links().values():
        _expire_related(document, link)
    state.related.clear()
    state.keys.clear()
    if created:
        for hook in _created.get(model.__name__, ()):
            hook(document)


def _save_unsaved(document: Any) -> None:
    """Save the new documents that *document* refers to, because it needs their keys."""
    for name, link in type(document).links().items():
        if link.is_owning and name in document._state.related:
            value = document._state.related[name]
            for other in as_list(value):
                if other._state.version is None and other is not document:
                    other.save()
            document._sync_keys(link)


def _changed_links(document: Any) -> list[tuple[Link, list[Any], list[Any]]]:
    """Return the changed relationships whose keys the other side stores.

    :returns: for each its link, the documents that were added, the keys of those removed.
    """
    state, links = document._state, []
    for name, link in type(document).links().items():
        if link.is_owning or name not in state.related:
            continue
        value = state.related[name]
        others = as_list(value)
        before = state.keys.get(name, [])
        now = [each.pk_value() for each in others if each._state.version is not None]
        added = [
            each for each in others if each._state.version is None or each.pk_value() not in before
        ]
        removed = [key for key in before if key not in now]
        if added or removed:
            links.append((link, added, removed))
    return links


def _added_references(
    document: Any, changed: list[str], created: bool
) -> list[tuple[Link, list[Any]]]:
    """Return the links whose keys *document* stores, each with the keys that are new."""
    added = []
    model = type(document)
    for link in [*model.links().values(), *bare_foreign_keys(model)]:
        if link.is_owning and (created or link.field in changed):
            before = document._state.read.get(link.field)
            before = before if isinstance(before, list) else [before]
            keys = [key for key in document._referenced_keys(link) if key not in before]
            if keys:
                added.append((link, keys))
    return added


def _missing_reference(references: list[tuple[Link, list[Any]]]) -> Optional[JHTTPBadRequest]:
    for link, keys in references:
        existing = {each.pk_value() for each in link.target.by_pks(keys)}
        for key in keys:
            if key not in existing:
                return JHTTPBadRequest(
                    f"Resource `{link.model.__name__}`: Field `{link.field}`: there is no "
                    f"{link.target.__name__} {key}"
                )
    return None


def _check(references: list[tuple[Link, list[Any]]]) -> None:
    missing = _missing_reference(references)
    if missing is not None:
        raise missing


def _write(document: Any, changed: list[str]) -> None:
    """Write the document itself, after reserving its unique values."""
    model, state = type(document), document._state
    pk_field, before = model.pk_field(), dict(state.read)
    created = state.version is None
    automatic = created and state.values.get(pk_field) is None
    groups = unique_groups(model) if created else changed_groups(model, changed)
    while True:
        if automatic:
            state.values[pk_field] = current().next_id(model)
        pk = state.values[pk_field]
        reservations = UniqueReservations(model, pk)
        reservations.reserve(state.values, groups)
        try:
            (written,) = current().write(model, [(id_of(pk), body_of(model, state), state.version)])
        except JHTTPBadRequest:
            reservations.release()
            raise
        # After any other fault the write may have been made: the reservations stay, for the
        # document or until their lease expires.
        if written.version is None:
            reservations.release()
            if not written.conflict:
                raise rejected_error(model, written)
            if automatic:
                # Another document was given this id explicitly; try the next one.
                continue
            if created:
                raise conflict(model)
            raise conflict_error(model, pk)
        state.mark_written(written.version)
        taken_group = reservations.confirm()
        if taken_group is not None:
            _undo(document, before, created)
            raise conflict(model, taken_group)
        if not created:
            release(model, pk, before, groups)
        return


def _undo(document: Any, before: dict[str, Any], created: bool) -> None:
    """Undo the write of *document* that was just made, unless another write followed."""
    model, state = type(document), document._state
    pk = state.values[model.pk_field()]
    undone = dict(state.values)
    if not created:
        state.values = dict(before)
    for _ in attempts(ATTEMPTS):
        body = None if created else body_of(model, state)
        (written,) = current().write(model, [(id_of(pk), body, state.version)])
        now = model.by_pk(pk) if created and written.conflict else None
        if now is None or not _same_but_for_references(now, document):
            break
        # A delete of what it refers to has detached it in the meantime.
        state.version = now._state.version
    if created:
        release(model, pk, undone, unique_groups(model))
        state.version, state.read = None, {}
    elif written.version is not None:
        differing = [name for name, value in undone.items() if value != before.get(name)]
        release(model, pk, undone, changed_groups(model, differing))
        state.mark_written(written.version)


def _same_but_for_references(one: Any, other: Any) -> bool:
    fields, links = type(one).fields(), type(one).links().values()
    changing = {link.field for link in links if link.is_owning}
    changing |= {name for name, field in fields.items() if has_onupdate(field)}
    return all(
        value == other._state.values.get(name)
        for name, value in one._state.values.items()
        if name not in changing
    )


def _detach_others(document: Any, references: list[tuple[Link, list[Any]]]) -> None:
    """Detach other documents from what *document* refers to now by a one-to-one link."""
    for link, keys in references:
        if link.one_to_one:
            others = [
                each for each in holders_of(link, keys) if each.pk_value() != document.pk_value()
            ]
            update_each(link.model, others, partial(detach, link=link, keys=keys))


def _attach(document: Any, link: Link, added: list[Any], removed: list[Any]) -> None:
    """Make *added* refer to *document*, and detach the documents with the keys *removed*."""
    key = document.pk_value()

    def refer(owner: Any) -> None:
        references = owner._referenced_keys(link)
        value = (
            ([*references, key] if key not in references else references) if link.is_list else key
        )
        owner._state.values[link.field] = value

    if removed:
        owners = link.target.by_pks(removed)
        update_each(link.target, owners, lambda each: detach(each, link, [key]))
    new = [each for each in added if each._state.version is None]
    for each in new:
        refer(each)
        each.save()
    old = [each for each in added if each not in new]
    fresh = link.target.by_pks([each.pk_value() for each in old])
    update_each(link.target, fresh, refer)
    states = {each.pk_value(): each._state for each in fresh}
    for each in old:
        if not each._is_modified() and each.pk_value() in states:
            each._state = states[each.pk_value()]


def _expire_related(document: Any, link: Link) -> None:
    """Make the documents in memory on the other side read their related documents again."""
    for other in as_list(document._state.related.get(link.name)):
        if link.back is not None:
            other._state.related.pop(link.back, None)
            other._state.keys.pop(link.back, None)


# Many documents


def update_many(model: Any, items: Any, params: dict[str, Any]) -> int:
    """Update *items* and return their number.

    Values are set on documents of a query; each document of a list is updated as by ``update``.

    :raises JHTTPBadRequest: a bad value; earlier chunks are written.
    """
    model.check_fields_allowed(list(params))
    pk_field = model.pk_field()
    values = {name: value for name, value in params.items() if name != pk_field}
    setting = isinstance(items, Query)

    def change(document: Any) -> None:
        if setting:
            for name, value in values.items():
                setattr(document, name, value)
        else:
            document._update(type(params)(values))

    bound_names = {*model.links(), *(each.field for each in model.links().values())}
    bound_names |= {name for group in unique_groups(model) for name in group}
    count = 0
    for chunk in chunked(items):
        if bound_names & set(values):
            for each in chunk:
                count += _update_one(model, each, change)
        else:
            update_each(model, chunk, change)
            count += len(chunk)
    return count


def _update_one(model: Any, document: Any, change: Callable[[Any], Any]) -> int:
    """Change and save one document, and repeat that while other writers change it."""
    for _ in attempts(ATTEMPTS):
        version = document._state.version
        change(document)
        try:
            save(document)
            return 1
        except JHTTPConflict:
            now = model.by_pk(document.pk_value())
            if now is None:
                return 0
            if now._state.version == version:
                # The document is unchanged: another one has the unique value.
                raise
            document = now
    raise conflict_error(model, document.pk_value())
