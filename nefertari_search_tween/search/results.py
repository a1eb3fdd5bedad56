"""Makes the results of reads, as views and renderers expect them of a collection."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Callable, Optional

from nefertari.utils.data import DataProxy

from nefertari_search_tween.documents.format import EXACT, INTERNAL
from nefertari_search_tween.documents.mirror_document import BaseDocument
from nefertari_search_tween.exceptions import BadQuery, Reason, Unanswerable
from nefertari_search_tween.known_code import is_nefertari_calling
from nefertari_search_tween.search.context import HIGHLIGHT
from nefertari_search_tween.search.features.highlights import Highlights
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
        self._make_query = query
        self._query_class = query_class
        self._made_query: Any = None

    def _query(self) -> Any:
        """Return the primary's query, made at the first call."""
        if self._made_query is None:
            self._made_query = self._make_query()
        return self._made_query

    def _page(self) -> Any:
        """Return what has the objects of the page: called by this class only."""
        return self._documents

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        # isinstance(results, Query) holds, as for the primary's own.
        return self._query_class

    def __iter__(self) -> Iterator[Any]:
        return iter(self._page())

    def __getitem__(self, item: Any) -> Any:
        return self._page()[item]

    def __len__(self) -> int:
        return len(self._page())

    def __bool__(self) -> bool:
        # SQLAlchemy's query is true even if it has no results, MongoEngine's is not.
        return not hasattr(self._query_class, "__bool__") or bool(self._page())

    def all(self) -> Any:
        page = self._page()
        return list(page) if page is self._documents else page.all()

    def first(self) -> Any:
        page = self._page()
        return next(iter(page), None) if page is self._documents else page.first()

    def count(self) -> Any:
        page = self._page()
        return len(page) if page is self._documents else page.count()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or not hasattr(self._query_class, name):
            raise AttributeError(name)
        return getattr(self._query(), name)


class RoutedResults(TransparentResults):
    """The same for a routed request, which the mirror answers without being asked for.

    What renders a response gets documents. Code of the application gets the primary's own objects:
    whatever it does with them, a document could be told from them (by its type, by its identity
    with an object that was loaded before, by what the model's code does when it loads one). And as
    a query of the primary runs where its objects are used, all get the primary's once the
    application has written.

    :param has_written: returns True if this thread has written since the documents were read.
    """

    def __init__(self, results: TransparentResults, has_written: Callable[[], bool]) -> None:
        super().__init__(
            results._documents, results._nefertari_meta, results._make_query, results._query_class
        )
        self._has_written = has_written

    def _page(self) -> Any:
        if self._made_query is None and is_nefertari_calling(2) and not self._has_written():
            return self._documents
        return self._query()


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
    return [
        document_cls({**hit["_source"], **_picked(document_cls, hit, query.picked), **blank})
        for hit in hits
    ]


def transparent_rows(
    document_cls: type[BaseDocument], hits: list[dict[str, Any]], query: TransparentQuery
) -> list[dict[str, Any]]:
    """Return hits as the dicts that the primary returns for ``_fields``."""
    picked = query.picked or []
    pk = document_cls.pk_field()
    rows = []
    for hit in hits:
        values = document_cls.rendered(_picked(document_cls, hit, picked))
        row = {name: values[name] for name in picked}
        row["_type"] = document_cls.__name__
        row["_pk"] = row[pk]
        if not query.keep_pk:
            del row[pk]
        rows.append(row)
    return rows


def _picked(
    document_cls: type[BaseDocument], hit: dict[str, Any], picked: list[str]
) -> dict[str, Any]:
    """Return the *picked* fields of *hit*, with what restores their values.

    :raises Unanswerable: only the primary's object has one of the values, and here it would be a
        whole object.
    """
    stored = hit["_source"]
    source = {name: stored.get(name) for name in picked}
    exact = stored.get(EXACT, {})
    source[EXACT] = {name: exact[name] for name in picked if name in exact}
    if not document_cls.restores(source):
        raise Unanswerable(Reason.INEXACT_VALUES)
    return source


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
    hits: list[dict[str, Any]],
    meta: dict[str, Any],
    query_class: type,
    highlights: Optional[Callable[[dict[str, Any]], Highlights]] = None,
) -> SearchResults:
    """Return the page of *hits* with its metadata, as nefertari's renderers expect it: data objects
    with their fields, ``_score`` and ``_type``.

    :param highlights: returns those of a hit, if they were asked for.
    """
    documents = SearchResults(query_class=query_class)
    documents._nefertari_meta = meta
    for hit in hits:
        source = stripped(hit["_source"])
        type_name = source.pop("_type", None)
        source["_score"] = hit.get("_score")
        source["_type"] = type_name
        if highlights is not None:
            source[HIGHLIGHT] = highlights(hit)
        documents.append(data_object(source))
    return documents


def data_object(source: dict[str, Any]) -> Any:
    """Return *source*, a JSON object, as nefertari's ``dict2obj`` does.

    That makes a class for every (nested) document, which takes longer than all else in a search
    read; here there is one for each type, and nested objects are made when they are looked at.
    """
    if not source:
        return source
    result = _data_class(str(source.get("_type")))(source)
    attributes = _instance_dict(result)
    attributes.update(source)
    for name, value in _containers_in(source):
        if name in _OWN_NAMES:
            attributes[name] = _with_objects(value)
        else:
            # What is missing there is made by __getattr__.
            del attributes[name]
    return result


_instance_dict: Callable[[Any], dict[str, Any]] = DataProxy.__dict__["__dict__"].__get__
_OWN_NAMES = {"_data", *dir(DataProxy)}


def _with_objects(value: Any) -> Any:
    """Return *value*, a member of a JSON object, with objects for what is nested in it."""
    if type(value) is dict:
        return data_object(value)
    if type(value) is list:
        return [data_object(each) if type(each) is dict else each for each in value]
    return value


def _make_attribute(self: Any, name: str) -> Any:
    """Make the nested objects of the member *name*; ``__getattr__`` of a data class."""
    attributes = _instance_dict(self)
    try:
        value = attributes[name] = _with_objects(attributes["_data"][name])
    except KeyError:
        message = f"'{type(self).__name__}' object has no attribute '{name}'"
        raise AttributeError(message) from None
    return value


def _all_attributes(self: Any) -> dict[str, Any]:
    """Return the attributes of an object of a data class, all made, in the order of its members;
    its ``__dict__``."""
    attributes = _instance_dict(self)
    # A copy has nothing at first.
    names = list(attributes.get("_data", ()))
    if names != list(attributes)[1 : len(names) + 1]:
        members = {name: getattr(self, name) for name in names}
        own = {name: each for name, each in attributes.items() if name not in members}
        attributes.clear()
        attributes.update({"_data": own.pop("_data"), **members, **own})
    return attributes


def _to_dict(self: Any, **kwargs: Any) -> Any:
    """Return the object as a dict, with its highlights whatever fields were selected."""
    result = DataProxy.to_dict(self, **kwargs)
    highlights = self._data.get(HIGHLIGHT)
    if type(highlights) is Highlights:
        result[HIGHLIGHT] = highlights
    return result


@lru_cache(maxsize=1024)
def _data_class(name: str) -> type[Any]:
    namespace = {
        "__getattr__": _make_attribute,
        "__dict__": property(_all_attributes),
        "to_dict": _to_dict,
    }
    return type(name, (DataProxy,), namespace)


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
