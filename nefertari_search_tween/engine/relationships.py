"""What a document shows: its values, the documents that it relates to, and its rendering."""

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
    """The part of a document that reads and assigns values."""

    _state: State

    # Values

    def field_value(self, name: str) -> Any:
        """The value of the field *name*; of a relationship, documents."""
        link = type(self).links().get(name)
        if link is None:
            return self._state.values.get(name)
        if name not in self._state.related:
            self._keep(link, related_to(link, self))
        return self._state.related[name]

    def set_field_value(self, name: str, value: Any) -> None:
        link: Optional[Link] = type(self).links().get(name)
        state = self._state
        state.given.add(name)
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
            before = None if state.stamp is None else related_to(link, self)
            state.keys[name] = [_key(each) for each in as_list(before)]
        state.related[name] = value
        self._hold(link)

    def _keep(self, link: Link, value: Any) -> None:
        """Remember what was read of a relationship."""
        self._state.related[link.name] = value
        self._state.keys[link.name] = [_key(each) for each in as_list(value)]

    def _hold(self, link: Link) -> None:
        """Bring the keys that this document holds up to date with the documents assigned."""
        if not link.is_owning or link.name not in self._state.related:
            return
        value = self._state.related[link.name]
        if link.several:
            self._state.values[link.field] = [_key(each) for each in value]
        else:
            self._state.values[link.field] = None if value is None else _key(value)
            self._state.given.add(link.field)

    def _held_keys(self, link: Link) -> list[Any]:
        """Keys of the documents that this one, a holder of *link*, refers to."""
        return as_list(self._state.values.get(link.field))

    def stored_key(self) -> Any:
        """The primary key that others know this document by: as of the last read or write."""
        values = self._state.values if self._state.stamp is None else self._state.read
        return values.get(type(self).pk_field())

    def pk_value(self) -> Any:
        """The primary key's value."""
        return self._state.values.get(type(self).pk_field())

    def _is_created(self) -> bool:
        return self._state.stamp is None

    def _is_modified(self) -> bool:
        return self._state.stamp is not None and bool(self._state.changed())

    def get_related_documents(self, nested_only: bool = False) -> Iterator[tuple[Any, list[Any]]]:
        """Models and documents of all relationships.

        :param nested_only: only those that show this document in whole.
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
        """Values by name, ``_type`` and ``_pk``; related documents as keys, or whole where the
        model nests them, ``_nesting_depth`` levels deep."""
        depth = kwargs.get("_depth")
        depth = self._nesting_depth if depth is None else depth
        shown = dictset()
        links = type(self).links()
        for name in type(self).fields():
            link = links.get(name)
            if link is None:
                shown[name] = getattr(self, name)
            elif name in self._nested_relationships and depth > 0:
                value = getattr(self, name)
                if link.many:
                    shown[name] = [each.to_dict(_depth=depth - 1) for each in value]
                else:
                    shown[name] = None if value is None else value.to_dict(_depth=depth - 1)
            else:
                shown[name] = self._shown_keys(link)
        shown["_type"] = type(self).__name__
        shown["_pk"] = str(self.pk_value())
        return shown

    def _shown_keys(self, link: Link) -> Any:
        if link.is_owning:
            self._hold(link)
            keys = self._held_keys(link)
        else:
            keys = [_key(each) for each in as_list(getattr(self, link.name))]
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
        """Add to a list or dict field; names that begin with ``-`` are taken out. None or an
        empty text empties it.

        :param unique: add what is not in the list only.
        :raises JHTTPBadRequest: nothing to add or take out.
        """
        field = type(self).fields().get(attr)
        if isinstance(field, DictField):
            made: Any = _merged_dict(getattr(self, attr) or {}, params)
        elif isinstance(field, ListField):
            made = _merged_list(getattr(self, attr) or [], params, unique)
        else:
            return
        if made is not None:
            setattr(self, attr, made)
            if save:
                self.save(request)  # type: ignore[attr-defined]

    def _update(self, params: Any, **_kw: Any) -> Any:
        """Set values; the primary key stays."""
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
        """Read what rendering *documents* will show of others, one search per relationship."""
        model: Any = cls
        depth = model._nesting_depth if depth is None else depth
        if len(documents) < 2:
            return
        for name, link in model.links().items():
            nested = name in model._nested_relationships and depth > 0
            if link.is_owning and not nested:
                continue
            waiting = [each for each in documents if name not in each._state.related]
            found = _of_many(link, waiting)
            for each in waiting:
                each._keep(link, _chosen(link, each, found))
            if nested:
                unique = {id(other): other for others in found.values() for other in others}
                link.target._prefetch(list(unique.values()), depth - 1)


def related_to(link: Link, document: Any) -> Any:
    """The documents that *document* relates to by *link*, as of now: a list, or one or None."""
    return _chosen(link, document, _of_many(link, [document]))


def holders_of(link: Link, keys: list[Any]) -> Query:
    """The documents that refer by *link* to one of the documents with these keys."""
    query = Query(link.owning_side)
    query.filters.append(field_condition(link.owning_side, link.field, keys))
    return query


def _of_many(link: Link, documents: list[Any]) -> dict[Any, list[Any]]:
    """Other documents by key: of a holder, those keys' own; else of this side's document."""
    found: dict[Any, list[Any]] = {}
    if link.is_owning:
        keys = [key for each in documents for key in each._held_keys(link)]
        for other in link.target.by_pks(dict.fromkeys(keys)) if keys else ():
            found[other.pk_value()] = [other]
        return found
    keys = [each.stored_key() for each in documents if each._state.stamp is not None]
    if keys:
        for other in holders_of(link, keys).stream():
            for key in other._held_keys(link):
                found.setdefault(key, []).append(other)
    return found


def _chosen(link: Link, document: Any, found: dict[Any, list[Any]]) -> Any:
    if link.is_owning:
        others = [other for key in document._held_keys(link) for other in found.get(key, ())]
    else:
        others = list(found.get(document.stored_key(), ()))
    if link.many:
        return others
    return others[0] if others else None


def as_list(value: Any) -> list[Any]:
    """Return the values of a field or relationship, which may be one or None, as a new list."""
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]


def _key(document: Any) -> Any:
    return document.pk_value()


def _document(link: Link, value: Any) -> Any:
    """*value* as a document of the other side: itself, or the one with that key.

    :raises JHTTPBadRequest: there is none.
    """
    if isinstance(value, link.target):
        return value
    found = None if hasattr(value, "pk_field") else link.target.by_pk(value)
    if found is None:
        raise JHTTPBadRequest(
            f"{link.model.__name__}.{link.name}: {link.target.__name__} {value} not found"
        )
    return found


def _split(names: Iterable[Any]) -> tuple[list[Any], list[Any]]:
    """What to add, and what to take out."""
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


def _merged_dict(held: dict[str, Any], params: Any) -> Optional[dict[str, Any]]:
    if params is None or params == "":
        return {} if held else None
    if not isinstance(params, dict):
        raise JHTTPBadRequest(f"Bad or missing value '{params}': a JSON object is expected")
    add, remove = _split(params)
    made = {name: value for name, value in held.items() if name not in remove}
    made.update((str(name), params.get(name, None)) for name in add)
    return made


def _merged_list(held: list[Any], params: Any, unique: bool) -> Optional[list[Any]]:
    if params is None or params == "":
        return [] if held else None
    add, remove = _split(params if not isinstance(params, str) else process_fields(params)[0])
    if not add and not remove:
        raise JHTTPBadRequest("Missing params")
    made = copy.deepcopy(held)
    made += [each for each in add if not unique or each not in made]
    return [each for each in made if str(each) not in remove] if remove else made
