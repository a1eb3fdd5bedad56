"""Objects by their keys: documents as an index holds them, made from the primary as it is now.

What decides about one object is never read from a mirror: whether it exists, and by its ACL who may
see or change it. A mirror may be stale (``consistency = eventual``), behind (a worker that is
down), not built or unreachable, and none of this must let a caller in whose right was revoked, or
keep requests for single objects and writes from being served.

The documents are equal to those of the index: the rows are rendered by the reader that indexes
them, with the same fields, hidden ones included, which are removed for each caller later. That
takes a query for the row and one for each relationship, as many as for one document of a bulk, and
saves the request to the search server, and the query that a read of the mirror makes to know
whether it is current.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from nefertari_search_tween.mirror.mirror import Mirror
from nefertari_search_tween.search.results import stripped


def objects_by_key(mirror: Mirror, pks: Iterable[Any], in_transaction: bool) -> dict[str, Any]:
    """Return those objects of *mirror* with the keys *pks* that exist, by key as text.

    :param in_transaction: the caller's transaction has changed something: what it sees by its own
        queries, it sees here. (A second connection might wait for it, too.)
    :raises Exception: an object can't be rendered.
    """
    keys = _possible_keys(mirror, pks)
    if in_transaction or mirror.hooks.of_searches() is not None:
        # Each request may have its own answer, and only the application's queries have it.
        return _as_the_application_reads(mirror.model, keys)
    documents: dict[str, Any] = {}
    for body in mirror.reader.read(keys).values():
        if isinstance(body, Exception):
            raise body
        document = json.loads(body)
        documents[document["_pk"]] = stripped(document)
    return documents


def _possible_keys(mirror: Mirror, pks: Iterable[Any]) -> list[Any]:
    """Return *pks* as the primary has them, each once, without those that no object can have."""
    keys: dict[Any, None] = {}
    for pk in pks:
        try:
            keys[mirror.reader.key(str(pk))] = None
        except ValueError:
            continue
    return list(keys)


def _as_the_application_reads(model: Any, keys: list[Any]) -> dict[str, Any]:
    from nefertari import engine

    documents: dict[str, Any] = {}
    for key in keys:
        item = model.get_item(**{model.pk_field(): key, "_raise_on_empty": False})
        if item is not None:
            rendered = json.dumps(item.to_dict(), cls=engine.JSONEncoder)
            documents[str(key)] = json.loads(rendered)
    return documents
