"""Whose an index is: each remembers, in the ``_meta`` of its mapping, the database it is made from.

Without that, the name of an index is all that an application knows it by, and two applications
may well have one name on one server: each would serve the other's rows as its own. So the primary
database carries an identifier (interfaces/identity.py), every index is made with it, and:

* **Nothing is read from another's index.** ``Mirror.check`` compares before an index counts as
  ready, at start and whenever a hit comes from an index that it has not seen.
* **Nothing is written to another's index**, and none is deleted. Whoever writes or deletes gets
  the names from ``MirrorRegistry.indices_of``, which raises for them. It looks each time, because
  an index of the same name may be another one by now; the look-up is the one that is made anyway,
  twice a second at most (indexer.py), and returns names and ``_meta`` in one response.
* Requests pay nothing: both comparisons are part of requests to the backend that were there.

What is compared: the identifier, and the model, since two names may become one (``films`` with a
model ``Old-Thing``, ``films-old`` with a model ``Thing``).

A copied database has the same identifier. It is told by its place, if the database itself says
where it is: a SQLite file by its path; PostgreSQL by the identifier of its cluster and the number
of the database, which a replica keeps and a restored dump does not; MySQL by its ``server_uuid``.
Clients' own addresses prove nothing: the web server may say ``localhost`` and the worker ``db1``.
MongoDB tells only its name, MariaDB nothing (docs/operations.rst, "Copies"). An embedded index that
was copied or moved with its database is at another place itself, and belongs to the copy.

An index of before has no identifier, and belongs to the application that first starts with it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Optional

from nefertari_search_tween.interfaces.identity import Identity

DATABASE, MODEL = "database", "model"


def database_entry(identity: Identity, directory: str) -> dict[str, str]:
    """Return what an index remembers of its database, in ``_meta``.

    :param directory: of an embedded index, else empty.
    """
    return {
        "identifier": identity.identifier,
        "location": identity.location,
        "address": identity.address,
        "directory": directory,
        "since": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
    }


def same_schema(own: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return True if two ``_meta`` differ in nothing but the database."""
    return _without_database(own) == _without_database(other)


def _without_database(meta: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in meta.items() if key != DATABASE}


def is_current(own: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return True if the index with the ``_meta`` *other* remembers our database, as it is now."""
    return _without_since(own.get(DATABASE)) == _without_since(other.get(DATABASE))


def _without_since(entry: Optional[Mapping[str, Any]]) -> dict[str, Any]:
    return {key: value for key, value in (entry or {}).items() if key != "since"}


def conflict(own: Mapping[str, Any], other: Mapping[str, Any]) -> Optional[str]:
    """Return why the index with the ``_meta`` *other* is not ours, None if it is.

    :param own: the ``_meta`` of our mapping.
    """
    ours, theirs = own.get(DATABASE, {}), other.get(DATABASE, {})
    # Else we are no application (yet), or it is an index of before.
    compared = bool(ours and theirs)
    if compared and theirs.get("identifier") != ours["identifier"]:
        return (
            f"belongs to another database, {_described(theirs)}, since {theirs.get('since')}; "
            f"ours is {_described(ours)}: give this application an elasticsearch.index_name of its "
            "own, or take the index over with `nefertari-search adopt`"
        )
    if other.get(MODEL, own.get(MODEL)) != own.get(MODEL):
        return (
            f"is the one of the model {other[MODEL]}, in an application whose index names meet "
            f"those of ours; here it is the name for {own.get(MODEL)}: give one of the "
            "applications another elasticsearch.index_name, or, if the model was renamed, take the "
            "index over with `nefertari-search adopt`"
        )
    if compared and _is_copy(ours, theirs):
        return (
            f"belongs to the database {_described(theirs)}, since {theirs.get('since')}, and ours, "
            f"{_described(ours)}, has the same identifier at another place: if it is a copy, give "
            "it its own with `nefertari-search new-identity`; if the database has moved, say so "
            "with `nefertari-search adopt`"
        )
    return None


def _is_copy(ours: Mapping[str, str], theirs: Mapping[str, str]) -> bool:
    locations = ours["location"], theirs.get("location", "")
    moved_together = ours["directory"] != theirs.get("directory", "")
    return all(locations) and locations[0] != locations[1] and not moved_together


def _described(entry: Mapping[str, str]) -> str:
    return f"{entry.get('identifier')} ({entry.get('address') or 'at an unknown address'})"
