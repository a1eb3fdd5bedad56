"""Indexing calls of applications: keys for the outbox, whatever document they pass.

Documents are made of the primary's state when they are indexed, so a late call can't restore an
older state.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any, Optional

from pyramid.settings import asbool

from nefertari_search_tween.compat.current import Runtime
from nefertari_search_tween.interfaces.primary import Key

log = logging.getLogger(__name__)

REFRESH = "_refresh_index"
DELETE = "delete"


def bulk(runtime: Runtime, actions: Iterable[dict[str, Any]], request: Any) -> None:
    """Update the documents of *actions* to match the primary.

    :param actions: from ``ES.prep_bulk_documents``.
    :raises ValueError: a model without a mirror, a key that the model can't have, or an index of
        another application.
    """
    keys = set()
    for action in actions:
        check_index_name(runtime, action["_index"])
        key = key_of(runtime, action["_type"], action["_id"])
        if key is not None:
            keys.add(key)
        elif action["_op_type"] != DELETE:
            raise ValueError(f"`{action['_type']}` has no key {action['_id']!r}")
    runtime.enqueue(keys)
    if refresh_asked(runtime.settings, request):
        runtime.refresh_indices({key.model for key in keys})


def check_index_name(runtime: Runtime, index_name: Optional[str]) -> None:
    """Check that *index_name* is the prefix of this application's indices.

    :raises ValueError: it is another name.
    """
    prefix = runtime.settings.index_name
    if index_name and index_name != prefix:
        raise ValueError(
            f"index_name is '{index_name}', but documents of this application are kept in an "
            f"index of each model, named after elasticsearch.index_name = {prefix}"
        )


def key_of(runtime: Runtime, model_name: str, pk: Any) -> Optional[Key]:
    """Return the key *pk* of a model in the type of its keys, None if no object can have it.

    :raises ValueError: the model has no mirror.
    """
    mirror = runtime.mirrors.get(model_name)
    if mirror is None:
        raise ValueError(f"`{model_name}` has no mirror")
    field = mirror.document_cls.fields()[mirror.document_cls.pk_field()]
    if field.kind != "integer":
        return Key(model_name, str(pk))
    try:
        return Key(model_name, int(pk))
    except (TypeError, ValueError):
        return None


def refresh_asked(settings: Any, request: Any) -> bool:
    """Return True if *request* requires its writes to be searchable at once (``_refresh_index``)
    and may do so (``elasticsearch.enable_refresh_query``)."""
    if request is None or not settings.enable_refresh_query:
        return False
    return bool(asbool(request.params.get(REFRESH, "false")))
