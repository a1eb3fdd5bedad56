"""The values of a document, its related documents, and its rendering."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from typing import Any, Optional

from nefertari.json_httpexceptions import JHTTPBadRequest
from nefertari.utils import dictset, process_fields

from nefertari_search_tween.documents.fields import DictField, ListField
from nefertari_search_tween.engine.document_state import State
from nefertari_search_tween.engine.model_registry import Link
from nefertari_search_tween.engine.queries import Query, field_condition
from nefertari_search_tween.engine.schema import Schema


class Related(Schema):
    """The part of a document that reads, assigns and renders values."""

    _state: State

    # Values

    def field_value(self, name: str) -> Any:
        """Return the value of the field *name*; of a relationship its documents."""
        link = type(self).links().get(name)
        if link is None:
            return self._state.values.get(name)
        if name not in self._state.related:
            self._cache_related(link, related_to(link, self))
        return self._state.related[name]

    def set_field_value(self, name: str, value: Any) -> None:
        link: Optional[Link] = type(self).links().get(name)
        state = self._state
        state.assigned.add(name)
        if link is None:
            state.values[name] = value
            for each in type(self).links().values():
                if each.is_owning and each.field == name:
                    state.related.pop(each.name, None)
            return
        if link.many:
            value = [_document(link, each) for each in value or [] if each is not None]
        elif value is not None:
            value = _document(link, value)
        if not link.is_owning and name not in state.keys:
            before = None if state.version is None else related_to(link, self)
            state.keys[name] = [each.pk_value() for each in as_list(before)]
        state.related[name] = value
        self._sync_keys(link)

    def _cache_related(self, link: Link, value: Any) -> None:
        """Cache the documents of a relationship and their keys as read."""
        self._state.related[link.name] = value
        self._state.keys[link.name] = [each.pk_value() for each in as_list(value)]

    def _sync_keys(self, link: Link) -> None:
        """Update the keys that this document stores to match the documents assigned."""
        if not link.is_owning or link.name not in self._state.related:
            return
        value = self._state.related[link.name]
        if link.is_list:
            self._state.values[link.field] = [each.pk_value() for each in value]
        else:
            self._state.values[link.field] = None if value is None else value.pk_value()
            self._state.assigned.add(link.field)

    def _referenced_keys(self, link: Link) -> list[Any]:
        """Return the keys of the documents that this one, the owning side of *link*, refers to."""
        return as_list(self._state.values.get(link.field))

    def stored_key(self) -> Any:
        """Return the primary key as of the last read or write, which others refer to."""
        values = self._state.values if self._state.version is None else self._state.read
        return values.get(type(self).pk_field())

    def pk_value(self) -> Any:
        """Return the value of the primary key."""
        return self._state.values.get(type(self).pk_field())

    def _is_created(self) -> bool:
        return self._state.version is None

    def _is_modified(self) -> bool:
        return self._state.version is not None and bool(self._state.changed_names())

    def get_related_documents(self, nested_only: bool = False) -> Iterator[tuple[Any, list[Any]]]:
        """Yield the model and documents of each relationship.

        :param nested_only: only relationships whose documents nest this one.
        """
        for name, link in type(self).links().items():
            value = getattr(self, name)
            if not value:
                continue
            if nested_only and link.back and link.back not in link.target._nested_relationships:
                continue
            yield link.target, as_list(value)

    # Rendering

    def to_dict(self, **kwargs: Any) -> Any:
        """Return the values by name, ``_type`` and ``_pk``.

        Related documents are rendered as keys, or whole where the model nests them, up to
        ``_nesting_depth`` levels deep.
        """
        depth = kwargs.get("_depth")
        depth = self._nesting_depth if depth is None else depth
        rendered = dictset()
        links = type(self).links()
        for name in type(self).fields():
            link = links.get(name)
            if link is None:
                rendered[name] = getattr(self, name)
            elif name in self._nested_relationships and depth > 0:
                value = getattr(self, name)
                if link.many:
                    rendered[name] = [each.to_dict(_depth=depth - 1) for each in value]
                else:
                    rendered[name] = None if value is None else value.to_dict(_depth=depth - 1)
            else:
                rendered[name] = self._rendered_keys(link)
        rendered["_type"] = type(self).__name__
        rendered["_pk"] = str(self.pk_value())
        return rendered

    def _rendered_keys(self, link: Link) -> Any:
        if link.is_owning:
            self._sync_keys(link)
            keys = self._referenced_keys(link)
        else:
            keys = [each.pk_value() for each in as_list(getattr(self, link.name))]
        if link.many:
            return keys
        return keys[0] if keys else None

    # Lists and dicts

    def update_iterables(
        self,
        params: Any,
        attr: str,
        unique: bool = False,
        value_type: Any = None,
        save: bool = True,
        request: Any = None,
    ) -> None:
        """Add to a list or dict field, or remove names that begin with ``-``.

        None or an empty string empties the field.

        :param unique: add only values that are not in the list.
        :raises JHTTPBadRequest: nothing to add or remove.
        """
        field = type(self).fields().get(attr)
        if isinstance(field, DictField):
            merged: Any = _merged_dict(getattr(self, attr) or {}, params)
        elif isinstance(field, ListField):
            merged = _merged_list(getattr(self, attr) or [], params, unique)
        else:
            return
        if merged is not None:
            setattr(self, attr, merged)
            if save:
                self.save(request)  # type: ignore[attr-defined]

    def _update(self, params: Any, **_kw: Any) -> Any:
        """Set values, except for the primary key."""
        model: Any = type(self)
        for name in [each for each in params if each.endswith("__bool")]:
            params[name.partition("__")[0]] = params.pop_bool_param(name)
        model.check_fields_allowed(list(params))
        fields = model.fields()
        for name, value in params.items():
            if name == model.pk_field():
                continue
            if isinstance(fields.get(name), (DictField, ListField)):
                self.update_iterables(value, name, unique=True, save=False)
            else:
                setattr(self, name, value)
        return self

    # Reading the related documents of many at once

    @classmethod
    def _prefetch(cls, documents: list[Any], depth: Optional[int] = None) -> None:
        """Read the related documents that *documents* render, by one search per relationship."""
        model: Any = cls
        depth = model._nesting_depth if depth is None else depth
        if len(documents) < 2:
            return
        for name, link in model.links().items():
            nested = name in model._nested_relationships and depth > 0
            if link.is_owning and not nested:
                continue
            unread = [each for each in documents if name not in each._state.related]
            related = _related_by_key(link, unread)
            for each in unread:
                each._cache_related(link, _pick_related(link, each, related))
            if nested:
                unique = {id(other): other for others in related.values() for other in others}
                link.target._prefetch(list(unique.values()), depth - 1)


def related_to(link: Link, document: Any) -> Any:
    """Return the current related documents of *document* by *link*: a list, or one or None."""
    return _pick_related(link, document, _related_by_key(link, [document]))


def holders_of(link: Link, keys: list[Any]) -> Query:
    """Return the query for the documents that refer by *link* to one of these keys."""
    query = Query(link.owning_side)
    query.filters.append(field_condition(link.owning_side, link.field, keys))
    return query


def _related_by_key(link: Link, documents: list[Any]) -> dict[Any, list[Any]]:
    """Return the related documents by key.

    The key is the related document's own if *documents* are on the owning side, else the key of
    the one of *documents* that it refers to.
    """
    related: dict[Any, list[Any]] = {}
    if link.is_owning:
        keys = [key for each in documents for key in each._referenced_keys(link)]
        for other in link.target.by_pks(dict.fromkeys(keys)) if keys else ():
            related[other.pk_value()] = [other]
        return related
    keys = [each.stored_key() for each in documents if each._state.version is not None]
    if keys:
        for other in holders_of(link, keys).stream():
            for key in other._referenced_keys(link):
                related.setdefault(key, []).append(other)
    return related


def _pick_related(link: Link, document: Any, related: dict[Any, list[Any]]) -> Any:
    if link.is_owning:
        others = [
            other for key in document._referenced_keys(link) for other in related.get(key, ())
        ]
    else:
        others = list(related.get(document.stored_key(), ()))
    if link.many:
        return others
    return others[0] if others else None


def as_list(value: Any) -> list[Any]:
    """Return the values of a field or relationship, which may be one or None, as a new list."""
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]


def _document(link: Link, value: Any) -> Any:
    """Return *value* if it is a document of the other side, else the one with that key.

    :raises JHTTPBadRequest: it does not exist.
    """
    if isinstance(value, link.target):
        return value
    document = None if hasattr(value, "pk_field") else link.target.by_pk(value)
    if document is None:
        raise JHTTPBadRequest(
            f"{link.model.__name__}.{link.name}: {link.target.__name__} {value} not found"
        )
    return document


def _split(names: Iterable[Any]) -> tuple[list[Any], list[Any]]:
    """Return the names to add and the names to remove."""
    add: list[Any] = []
    remove: list[Any] = []
    for name in names:
        if not isinstance(name, str):
            add.append(name)
        elif name.startswith("-"):
            remove.append(name[1:])
        elif not name.startswith("__"):
            add.append(name.strip())
    return add, remove


def _merged_dict(current: dict[str, Any], params: Any) -> Optional[dict[str, Any]]:
    if params is None or params == "":
        return {} if current else None
    if not isinstance(params, dict):
        raise JHTTPBadRequest(f"Bad or missing value '{params}': a JSON object is expected")
    add, remove = _split(params)
    merged = {name: value for name, value in current.items() if name not in remove}
    merged.update((str(name), params.get(name, None)) for name in add)
    return merged


def _merged_list(current: list[Any], params: Any, unique: bool) -> Optional[list[Any]]:
    if params is None or params == "":
        return [] if current else None
    add, remove = _split(params if not isinstance(params, str) else process_fields(params)[0])
    if not add and not remove:
        raise JHTTPBadRequest("Missing params")
    merged = copy.deepcopy(current)
    merged += [each for each in add if not unique or each not in merged]
    return [each for each in merged if str(each) not in remove] if remove else merged
