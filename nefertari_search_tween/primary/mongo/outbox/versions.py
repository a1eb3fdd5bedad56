"""Versions of claims: those of a model only grow, whichever process takes them.

It relies only on what every MongoDB-protocol server does atomically: an insert with an existing key
fails. (FerretDB 1.24 lets two ``findAndModify`` of one document see the same state: of 800 numbers
that eight threads took by ``$inc``, 124 differed.)

A version is taken by inserting it, and is valid if it is the greatest when the greatest is queried
after that; else it is dropped, and a greater one tried. Take two valid versions of a model, a < b.
When a was the greatest, b did not exist: so b was inserted, and became valid, after a. Only smaller
versions than a valid one are ever deleted, so the greatest one stays.
"""

from __future__ import annotations

import time
from typing import Any

from pymongo import DESCENDING
from pymongo.errors import DuplicateKeyError

from nefertari_search_tween.backoff import Backoff

# When there are so many, the smaller ones are deleted.
_MAX_VERSIONS = 20
_FIRST_PAUSE_SECONDS = 0.005
_MAX_PAUSE_SECONDS = 0.1


def advance(versions: Any, name: str) -> int:
    """Return a new version of the model *name*.

    Microseconds since 1970, or one more than the latest: so they also grow when the collection was
    restored from a backup that is older than the index.

    :param versions: the collection.
    """
    candidate = time.time_ns() // 1000
    backoff = Backoff(_FIRST_PAUSE_SECONDS, _MAX_PAUSE_SECONDS, jitter=1.0)
    while True:
        try:
            versions.insert_one({"_id": _key(name, candidate), "model": name, "version": candidate})
        except DuplicateKeyError:
            candidate += 1
            continue
        greatest = _greatest(versions, name)
        if greatest[0] == candidate:
            if len(greatest) >= _MAX_VERSIONS:
                versions.delete_many({"model": name, "version": {"$lt": candidate}})
            return candidate
        time.sleep(backoff.next_seconds())
        candidate = max(time.time_ns() // 1000, _greatest(versions, name)[0] + 1)


def latest(versions: Any, name: str) -> int:
    """Return the greatest version of the model *name*, taken or being taken; 0 if there is none."""
    row = versions.find_one({"model": name}, {"version": 1}, sort=[("version", DESCENDING)])
    return 0 if row is None else int(row["version"])


def raise_to(versions: Any, name: str, version: int) -> None:
    """Make all later versions of the model *name* greater than *version*."""
    try:
        versions.insert_one({"_id": _key(name, version), "model": name, "version": version})
    except DuplicateKeyError:
        # It was taken, so those that follow are above it.
        pass


def _greatest(versions: Any, name: str) -> list[int]:
    cursor = (
        versions.find({"model": name}, {"version": 1})
        .sort("version", DESCENDING)
        .limit(_MAX_VERSIONS)
    )
    return [int(row["version"]) for row in cursor.limit(_MAX_VERSIONS)]


def _key(name: str, version: int) -> str:
    return f"{name}:{version}"
