"""What may make nefertari_mongodb's answers for one model depend on the request.

As on SQL (``primary/sqla/request_hooks.py``): what is known to be the same for all requests is what
MongoEngine's own query sets find and nefertari_mongodb's own methods render, from fields of their
own, while nobody listens to objects being made.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterator
from typing import Any, Optional

from mongoengine import QuerySet, signals
from mongoengine.base.common import _document_registry
from mongoengine.queryset.manager import QuerySetManager

from nefertari_search_tween.exceptions import Reason
from nefertari_search_tween.interfaces.primary import Hook
from nefertari_search_tween.known_code import (
    function_of,
    is_known,
    name_of,
)
from nefertari_search_tween.primary.mongo import schema
from nefertari_search_tween.primary.request_hooks_base import RequestHooksBase

#: Members by which a document is rendered.
_RENDERERS = ("to_dict", "pk_field", "_type", "__init__", "_from_son")
_MEMBERS = (*_RENDERERS, "__json__", "__getattribute__")
_FIELD_MEMBERS = ("__get__", "to_python")
_SIGNALS = (signals.pre_init, signals.post_init)


class MongoRequestHooks(RequestHooksBase):
    """See the module."""

    def __init__(self, model: Any, trusted: Collection[str]) -> None:
        super().__init__(model, trusted)
        self._members: Optional[tuple[Any, ...]] = None
        self._models: set[Any] = set()
        self._renderers: list[Hook] = []

    def rendering(self) -> Optional[str]:
        self._refresh()
        return self._renderers[0].name if self._renderers else None

    def first(self) -> Optional[Hook]:
        self._refresh()
        return self._untrusted(self._hooks())

    def _hooks(self) -> Iterator[Hook]:
        yield from self._renderers
        for model in self._models:
            yield from _querysets(model)
            yield from _receivers(model)

    def unreadable(self) -> Optional[Hook]:
        # Documents are read from the collections themselves, without query sets.
        return None

    def _refresh(self) -> None:
        """Examine what renders, if a member is another one than before, or there are new models."""
        if self._members != self._current_members():
            self._models = _models_of(self.model)
            self._renderers = [hook for each in self._models for hook in _renderers(each)]
            self._members = self._current_members()

    def _current_members(self) -> tuple[Any, ...]:
        members = (getattr(each, name, None) for each in self._models for name in _MEMBERS)
        return (len(_document_registry), *map(function_of, members))


def _models_of(model: Any) -> set[Any]:
    """Return *model*, and all that its documents nest or refer to, subclasses included."""
    models: set[Any] = set()

    def walk(each: Any, depth: int) -> None:
        for cls in (each, *_subclasses(each)):
            models.add(cls)
            for reference in schema.references(cls):
                if depth > 0 and reference.name in cls._nested_relationships:
                    walk(reference.target, depth - 1)
                else:
                    models.add(reference.target)

    walk(model, model._nesting_depth)
    return models


def _subclasses(cls: Any) -> Iterator[Any]:
    for each in cls.__subclasses__():
        yield each
        yield from _subclasses(each)


def _querysets(model: Any) -> Iterator[Hook]:
    owner = f"{model.__module__}.{model.__qualname__}"
    manager = inspect.getattr_static(model, "objects", None)
    if type(manager) is not QuerySetManager or manager.default is not QuerySet:
        yield Hook(Reason.REQUEST_HOOKS, f"{owner}.objects")
    elif manager.get_queryset is not None:
        yield Hook(Reason.REQUEST_HOOKS, name_of(manager.get_queryset))
    queryset_class = model._meta.get("queryset_class", QuerySet)
    if queryset_class is not QuerySet:
        yield Hook(Reason.REQUEST_HOOKS, name_of(queryset_class))


def _renderers(model: Any) -> Iterator[Hook]:
    owner = f"{model.__module__}.{model.__qualname__}"
    for name in _RENDERERS:
        function = function_of(getattr(model, name))
        if not is_known(function):
            yield Hook(Reason.CUSTOM_TO_DICT, name_of(function))
    if hasattr(model, "__json__"):
        yield Hook(Reason.CUSTOM_TO_DICT, f"{owner}.__json__")
    if model.__getattribute__ is not object.__getattribute__:
        yield Hook(Reason.CUSTOM_TO_DICT, f"{owner}.__getattribute__")
    for name, field in model._fields.items():
        if getattr(model, name, None) is not field and name != "pk":
            yield Hook(Reason.CUSTOM_TO_DICT, f"{owner}.{name}")
        for member in _FIELD_MEMBERS:
            function = getattr(type(field), member)
            if not is_known(function):
                yield Hook(Reason.CUSTOM_TO_DICT, name_of(function))


def _receivers(model: Any) -> Iterator[Hook]:
    for signal in _SIGNALS:
        for receiver in signal.receivers_for(model) if signal.receivers else ():
            if not is_known(receiver):
                yield Hook(Reason.REQUEST_HOOKS, name_of(receiver))
