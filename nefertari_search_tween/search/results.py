"""Makes the results of reads, as views and renderers expect them of a collection."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Callable

from nefertari.utils.data import DataProxy

from nefertari_search_tween.documents.format import INTERNAL
from nefertari_search_tween.documents.mirror_document import BaseDocument
from nefertari_search_tween.exceptions import BadQuery
from nefertari_search_tween.search.query.transparent_read import TransparentQuery

# Types of JSON values that contain others.
_CONTAINERS = (dict, list)


class TransparentResults:
    """The result of a transparent read, which acts as the primary's query.

    It iterates over documents that act as the primary's objects. All else that a query can do
    (``filter``, ``order_by``, ``update``, ...) is delegated to the primary's own query for the
    same parameters, which is made then.

    :param documents: the page.
    :param query: makes the primary's query.
    :param query_class: its class, whose attributes are delegated.
    """

    def __init__(
        self,
        documents: list[BaseDocument],
        meta: dict[str, Any],
        query: Callable[[], Any],
        query_class: type,
    ) -> None:
        self._documents = documents
        self._nefertari_meta = meta
        self._query = query
        self._query_class = query_class

    def __iter__(self) -> Iterator[BaseDocument]:
        return iter(self._documents)

    def __getitem__(self, item: Any) -> Any:
        return self._documents[item]

    def __len__(self) -> int:
        return len(self._documents)

    def __bool__(self) -> bool:
        # A database query is true even if it has no results.
        return True

    def all(self) -> list[BaseDocument]:
        return list(self._documents)

    def first(self) -> Any:
        return self._documents[0] if self._documents else None

    def count(self) -> int:
        return len(self._documents)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or not hasattr(self._query_class, name):
            raise AttributeError(name)
        return getattr(self._query(), name)


def transparent_documents(
    document_cls: type[BaseDocument],
    hits: list[dict[str, Any]],
    query: TransparentQuery,
    unloaded: Callable[[str], Any],
) -> list[BaseDocument]:
    """Return hits as documents that act as the primary's objects.

    :param unloaded: returns what the primary's objects have for a field that is not selected.
    """
    if query.picked is None:
        return [document_cls(hit["_source"]) for hit in hits]
    blank = {name: unloaded(name) for name in document_cls.fields() if name not in query.picked}
    return [document_cls({**hit["_source"], **blank}) for hit in hits]


def transparent_rows(
    document_cls: type[BaseDocument], hits: list[dict[str, Any]], query: TransparentQuery
) -> list[dict[str, Any]]:
    """Return hits as the dicts that the primary returns for ``_fields``."""
    picked = query.picked or []
    pk = document_cls.pk_field()
    rows = []
    for hit in hits:
        internal = [name for name in INTERNAL if name in hit["_source"]]
        values = document_cls.rendered(
            {name: hit["_source"].get(name) for name in (*picked, *internal)}
        )
        row = {name: values[name] for name in picked}
        row["_type"] = document_cls.__name__
        row["_pk"] = row[pk]
        if not query.keep_pk:
            del row[pk]
        rows.append(row)
    return rows


class SearchResults(list):
    """The result of a search read: nefertari's ``_ESDocs``."""

    _nefertari_meta: dict[str, Any]

    def __init__(self, *args: Any, query_class: type = object) -> None:
        super().__init__(*args)
        self._total = 0
        self._start = 0
        self._query_class = query_class

    def __getattr__(self, name: str) -> Any:
        # If a view narrows its collection as a database query, that must not get lost silently.
        if not name.startswith("_") and hasattr(self._query_class, name):
            raise BadQuery(
                "_search",
                f"the view of this collection uses it as a database query ({name}), "
                "which a search has not; search it through a view of its own",
            )
        raise AttributeError(name)


def search_results(
    hits: list[dict[str, Any]], meta: dict[str, Any], query_class: type
) -> SearchResults:
    """Return the page of *hits* with its metadata, as nefertari's renderers expect it: data objects
    with their fields, ``_score`` and ``_type``."""
    documents = SearchResults(query_class=query_class)
    documents._nefertari_meta = meta
    for hit in hits:
        source = stripped(hit["_source"])
        type_name = source.pop("_type", None)
        source["_score"] = hit.get("_score")
        source["_type"] = type_name
        documents.append(data_object(source))
    return documents


def data_object(source: dict[str, Any]) -> Any:
    """Return *source*, a JSON object, as nefertari's ``dict2obj`` does.

    That makes a class for every (nested) document, which takes longer than all else in a search
    read; here there is one for each type.
    """
    if not source:
        return source
    result = _data_class(str(source.get("_type")))(source)
    attributes = result.__dict__
    attributes.update(source)
    for name, value in _containers_in(source):
        if type(value) is dict:
            attributes[name] = data_object(value)
        else:
            attributes[name] = [data_object(e) if type(e) is dict else e for e in value]
    return result


@lru_cache(maxsize=1024)
def _data_class(name: str) -> type[Any]:
    return type(name, (DataProxy,), {})


def stripped(source: dict[str, Any]) -> dict[str, Any]:
    """Return *source*, a JSON object, without this package's internal fields, nested ones
    included."""
    result = dict(source)
    for name in INTERNAL:
        result.pop(name, None)
    for name, value in _containers_in(result):
        if type(value) is dict:
            result[name] = stripped(value)
        elif value and type(value[0]) is dict:
            result[name] = [stripped(e) if type(e) is dict else e for e in value]
    return result


def _containers_in(source: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return the members of *source* that contain other values."""
    return [(name, each) for name, each in source.items() if type(each) in _CONTAINERS]
