"""Documents by their keys: what ``ES.get_item`` and ``ES.get_by_ids`` read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from nefertari.utils import process_fields

from nefertari_search_tween.compat import search_params
from nefertari_search_tween.mirror.mapping import REJECTED
from nefertari_search_tween.mirror.registry import Mirror
from nefertari_search_tween.mirror.serializer import document_id
from nefertari_search_tween.search.results import stripped


def sources(search: Any, mirror: Mirror, index: str, pks: Iterable[Any]) -> dict[str, Any]:
    """The documents *pks* of one model, by key as text; those that are there.

    :param index: where to look.
    :raises SearchUnavailable, SearchTimeout: the mirror can't answer now.
    """
    ids = [document_id(pk) for pk in pks]
    if not ids:
        return {}
    found = search.searcher.get_documents(mirror, ids, search_params.must_be_current(), index)
    return {
        str(source["_pk"]): stripped(source)
        for source in found.values()
        if source is not None and REJECTED not in source
    }


def pick_fields(source: dict[str, Any], fields: Any) -> dict[str, Any]:
    """What ``_fields`` shows of *source*; ``-x`` leaves x out."""
    only, exclude = process_fields(fields) if fields else ([], [])
    named = {*only, "_type"}
    return {
        name: value
        for name, value in source.items()
        if (not only or name in named) and name not in exclude
    }
