"""Numbers of claims: of each model, ones that only grow, whoever asks for them.

Only what every MongoDB-protocol server does at once is relied on: an insert with a key that is
taken fails. (FerretDB 1.24 lets two ``findAndModify`` of one document see the same state: of 800
numbers that eight threads took by ``$inc``, 124 differed.)

A number is taken by inserting it, and is valid if it is the greatest when it is looked at after
that; else it is thrown away, and a greater one tried. Take two valid numbers of a model, a < b.
When a was found to be the greatest, b was not there: so b was inserted, and found valid, after a.
Only smaller numbers than a valid one are ever deleted, so the greatest one stays.
"""

from __future__ import annotations

import time
from typing import Any

from pymongo import DESCENDING
from pymongo.errors import DuplicateKeyError

from nefertari_search_tween.backoff import Backoff

# How many may lie about before the smaller ones are deleted.
_MOST = 20
_FIRST_PAUSE_SECONDS = 0.005
_MAX_PAUSE_SECONDS = 0.1


def advance(versions: Any, name: str) -> int:
    """A new number of the model *name*.

    Microseconds since 1970, or one more than the last: so they also grow when the collection was
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
            if len(greatest) >= _MOST:
                versions.delete_many({"model": name, "version": {"$lt": candidate}})
            return candidate
        time.sleep(backoff.next_seconds())
        candidate = max(time.time_ns() // 1000, _greatest(versions, name)[0] + 1)


def latest(versions: Any, name: str) -> int:
    """The greatest number that the model *name* was given, or may be given just now; 0: none."""
    row = versions.find_one({"model": name}, {"version": 1}, sort=[("version", DESCENDING)])
    return 0 if row is None else int(row["version"])


def raise_to(versions: Any, name: str, version: int) -> None:
    """Every number of the model *name* is above *version* from now on."""
    try:
        versions.insert_one({"_id": _key(name, version), "model": name, "version": version})
    except DuplicateKeyError:
        # It was given, so those that follow are above it.
        pass


def _greatest(versions: Any, name: str) -> list[int]:
    cursor = versions.find({"model": name}, {"version": 1}).sort("version", DESCENDING).limit(_MOST)
    return [int(row["version"]) for row in cursor]


def _key(name: str, version: int) -> str:
    return f"{name}:{version}"
