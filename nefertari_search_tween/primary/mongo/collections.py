"""How the database is reached: always the node that takes the writes, and its latest state."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def current(collection: Any) -> Any:
    """*collection*, read where it is written, and written to more than one node where there are
    more: a claim must see everything that was written before it got its number."""
    from pymongo import ReadPreference, WriteConcern

    return collection.with_options(
        read_preference=ReadPreference.PRIMARY, write_concern=WriteConcern(w="majority")
    )


def collection_of(model: Any) -> Any:
    """The collection of *model*."""
    return current(model._get_collection())


def keys_filter(pks: Iterable[Any]) -> dict[str, Any]:
    """The filter for the objects *pks*."""
    keys = list(pks)
    # A single key is looked up as such: also by servers whose `$in` knows no index.
    return {"_id": keys[0]} if len(keys) == 1 else {"_id": {"$in": keys}}


def narrowed(queryset: Any, pks: Iterable[Any]) -> Any:
    """*queryset*, but none besides the objects *pks*.

    A condition by itself: MongoEngine merges what is asked of the same field under two names
    (``id__in``, ``pk__in``), and only one of them is left.
    """
    from mongoengine.queryset.visitor import Q, QCombination

    return queryset.filter(QCombination(QCombination.OR, [Q(pk__in=list(pks))]))
