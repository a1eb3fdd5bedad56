"""The identity of a database of nefertari_mongodb: a document of a collection, and its name."""

from __future__ import annotations

import uuid
from contextlib import suppress
from typing import Any

from pymongo.errors import DuplicateKeyError

from nefertari_search_tween.interfaces.identity import Identity
from nefertari_search_tween.primary.clock import milliseconds
from nefertari_search_tween.primary.mongo.outbox.tables import Collections

_ROW = {"_id": 1}


def identity(collections: Collections) -> Identity:
    """Return the identity of the database, made at the first call."""
    row = collections.identity.find_one(_ROW)
    if row is None:
        # Another process that starts at the same time may be faster.
        with suppress(DuplicateKeyError):
            collections.identity.insert_one({**_ROW, **_new()})
        row = collections.identity.find_one(_ROW)
    database = collections.database
    # A server tells nothing of itself that a user without rights on the cluster may ask for.
    return Identity(str(row["identifier"]), database.name, _address(database))


def renew(collections: Collections) -> None:
    """Give the database another identifier."""
    collections.identity.update_one(_ROW, {"$set": _new()}, upsert=True)


def _new() -> dict[str, Any]:
    return {"identifier": uuid.uuid4().hex, "created_at": milliseconds()}


def _address(database: Any) -> str:
    """Return where the database is, for people: neither user nor password."""
    nodes = ",".join(f"{host}:{port}" for host, port in sorted(database.client.nodes))
    return f"mongodb {nodes}/{database.name}"
