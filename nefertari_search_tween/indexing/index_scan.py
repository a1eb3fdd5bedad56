"""The documents that an index holds, by their keys."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Optional

from nefertari_search_tween.mirror.mirror import Mirror
from nefertari_search_tween.mirror.serializer import DIGEST, document_id

_QUERY = {
    "query": {"match_all": {}},
    "sort": [{"_pk": {"order": "asc"}}],
    "_source": ["_pk"],
    "track_total_hits": False,
}


class IndexedDocument(NamedTuple):
    """A document of an index.

    :param text: ``str()`` of its key, as the document holds it.
    """

    id: str
    text: Optional[str]


def scan_index(mirror: Mirror, index: str, chunk_size: int) -> Iterator[list[IndexedDocument]]:
    """Yield all documents of *index* (a name or an alias) at this moment, in lists.

    :raises BackendError: the backend failed, or the index was deleted.
    """
    mirror.backend.refresh(index)
    for hits in mirror.backend.scan(index, _QUERY, chunk_size):
        yield [IndexedDocument(hit["_id"], hit.get("_source", {}).get("_pk")) for hit in hits]


def key_of(mirror: Mirror, document: IndexedDocument) -> Any:
    """Return the key of *document*: its id, or, if that is a digest, the text that it holds.

    :raises ValueError: no object can have it.
    """
    text = document.id
    if text.startswith(DIGEST) and isinstance(document.text, str):
        text = document.text
    key = mirror.reader.key(text)
    if document_id(key) != document.id:
        raise ValueError(f"{text} is stored under another id")
    return key
