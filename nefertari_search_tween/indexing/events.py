"""Events of the primary, with or without a request; public as :mod:`nefertari_search_tween.events`.

Every event carries keys, never contents: its subscribers read the current state.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nefertari_search_tween.interfaces.primary import Key


@dataclass(frozen=True)
class ChangeEvent:
    """The base class of the events, which are fired inside the transaction of the change.

    :param model: model class of what changed.
    :param document_keys: documents that the change affects: of the object itself (if it is
        mirrored), and those that embed or reference it. Those that one flush affects through
        several objects are in the event of the first object.
    :param session: the primary's session, in whose transaction the change is.
    :param registry: the application's registry.
    """

    model: Any
    document_keys: frozenset[Key]
    session: Any
    registry: Any


@dataclass(frozen=True)
class ItemEvent(ChangeEvent):
    """One object changed.

    :param pk: its primary key.
    """

    pk: Any


class ItemCreated(ItemEvent):
    """An object was inserted."""


class ItemUpdated(ItemEvent):
    """An object was updated."""


class ItemDeleted(ItemEvent):
    """An object was deleted."""


@dataclass(frozen=True)
class BulkEvent(ChangeEvent):
    """One statement changed any number of objects.

    :param pks: their primary keys.
    """

    pks: tuple[Any, ...]


class BulkUpdated(BulkEvent):
    """``Query.update`` was run, or the application has called ``changed``."""


class BulkDeleted(BulkEvent):
    """``Query.delete`` was run."""
