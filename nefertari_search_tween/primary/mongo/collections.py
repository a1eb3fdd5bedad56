"""How the database is read: always from the node that takes the writes, in its latest state."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def current(collection: Any) -> Any:
    """Return *collection*, read where it is written, and written to a majority of the nodes.

    A claim must see everything that was written before it got its version.
    """
    from pymongo import ReadPreference, WriteConcern

    return collection.with_options(
        read_preference=ReadPreference.PRIMARY, write_concern=WriteConcern(w="majority")
    )


def collection_of(model: Any) -> Any:
    """Return the collection of *model*."""
    return current(model._get_collection())


def keys_filter(pks: Iterable[Any]) -> dict[str, Any]:
    """Return the filter for the objects *pks*."""
    keys = list(pks)
    # A single key by itself: some servers use no index for `$in`.
    return {"_id": keys[0]} if len(keys) == 1 else {"_id": {"$in": keys}}


def narrowed(queryset: Any, pks: Iterable[Any]) -> Any:
    """Return *queryset*, restricted to the objects *pks*.

    A separate condition: MongoEngine merges conditions on the same field under two names
    (``id__in``, ``pk__in``), and loses one of them.
    """
    from mongoengine.queryset.visitor import Q, QCombination

    return queryset.filter(QCombination(QCombination.OR, [Q(pk__in=list(pks))]))
