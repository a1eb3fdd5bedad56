"""Searches from Python: ``Film.search("godfather", where={"year": {"gte": 1970}})``."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Optional, Union, overload

from nefertari_search_tween.compat.current import CURRENT
from nefertari_search_tween.exceptions import BadQuery
from nefertari_search_tween.mirror.mirror import Mirror
from nefertari_search_tween.search.context import (
    BOX,
    FACETS,
    HIGHLIGHT,
    PREFIX,
    TypedText,
)
from nefertari_search_tween.search.privacy import Caller
from nefertari_search_tween.search.query import clauses
from nefertari_search_tween.search.query.clauses import Query, ValueMismatch
from nefertari_search_tween.search.query.fields import FieldScope, SearchField
from nefertari_search_tween.search.query.own_conditions import exact_condition
from nefertari_search_tween.search.query.search_request import SearchRequest

WHERE = "where"
NAME = "search"
_BOUNDS = ("gte", "gt", "lte", "lt")


class SearchPage(Sequence[Any]):
    """The results of a search on one page: data objects with the fields of the documents.

    :ivar total: number of all results.
    :ivar facets: by name, lists of ``{"value", "count", "selected"}``; empty if none are asked for.
    :ivar suggestions: texts that may have been meant.
    :ivar matched: see ``query`` in docs/searchbox: how many of the words each result has at least.
    :ivar took: milliseconds that the backend took.
    """

    def __init__(self, results: Any, mirror: Mirror, text: str) -> None:
        self._results = results
        self._mirror = mirror
        self._text = text
        meta = results._nefertari_meta
        self.total: int = meta["total"]
        self.facets: dict[str, list[dict[str, Any]]] = meta.get("facets", {})
        self.suggestions: list[str] = meta["suggestions"]
        self.matched: int = meta["query"]["matched"]
        self.took: int = meta["took"]

    @overload
    def __getitem__(self, index: int) -> Any: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Any]: ...

    def __getitem__(self, index: Union[int, slice]) -> Any:
        return self._results[index]

    def __len__(self) -> int:
        return len(self._results)

    def __repr__(self) -> str:
        keys = ", ".join(str(each._pk) for each in self._results[:5])
        more = ", ..." if len(self) > 5 else ""
        name = self._mirror.name
        return f"<{self.total} {name} for {self._text!r}, {len(self)} here: {keys}{more}>"

    def objects(self) -> list[Any]:
        """Return the primary's objects of this page, in its order, without those that have been
        deleted since."""
        model = self._mirror.model
        keys = [getattr(each, model.pk_field()) for each in self._results]
        if not keys:
            return []
        by_key = {str(getattr(each, model.pk_field())): each for each in model.get_by_ids(keys)}
        return [by_key[str(key)] for key in keys if str(key) in by_key]


def search_objects(
    model: Any,
    text: str = "",
    *,
    where: Optional[Mapping[str, Any]] = None,
    fields: Sequence[str] = (),
    highlight: Union[bool, Sequence[str]] = False,
    facets: Sequence[str] = (),
    sort: Union[str, Sequence[str]] = (),
    limit: Optional[int] = 20,
    offset: int = 0,
    prefix: bool = False,
    request: Any = None,
) -> SearchPage:
    """Search the objects of *model* for a text, as ``_query`` does (docs/searchbox).

    :param model: a mirrored model, or its mirror.
    :param text: what somebody typed; empty for all objects.
    :param where: conditions by name of a field: a value, a list of alternatives, or bounds as in
        ``{"gte": 1970, "lt": 1980}``. Values are exact, and never query syntax.
    :param fields: the fields to search, with weights or without: ``["title^5", "cast"]``.
    :param highlight: True, or the names of fields.
    :param facets: as in ``_facets``: ``["genres.name", "year:5"]``.
    :param sort: as in ``_sort``: ``"-year"``; by default the best matches come first.
    :param limit: objects on the page; None for all.
    :param offset: of the first one.
    :param prefix: the last word may be the beginning of one.
    :param request: the rights of its caller apply; None for no restriction.
    :raises BadQuery: a field that does not exist, or a value that does not fit it.
    :raises SearchUnavailable: the mirror can't answer, or no application has been made yet.
    """
    runtime = CURRENT.require()
    mirror = runtime.mirrors.get(model.__name__)
    if mirror is None:
        raise BadQuery("model", f"{model.__name__} has no mirror to search")
    params: dict[str, Any] = {BOX: text, "_start": str(offset)}
    if limit is not None:
        params["_limit"] = str(limit)
    lists = {"_search_fields": fields, "_sort": [sort] if isinstance(sort, str) else sort}
    lists[FACETS] = facets
    lists[HIGHLIGHT] = ["true"] if highlight is True else highlight or ()
    params.update({name: ",".join(values) for name, values in lists.items() if any(values)})
    if prefix:
        params[PREFIX] = "true"
    conditions = _conditions(mirror, where or {})
    searched = SearchRequest(
        {name: _typed(name, value) for name, value in params.items()},
        runtime.settings,
        request,
        {mirror.name: conditions},
    )
    results, _ = runtime.searcher.search([mirror], searched)
    return SearchPage(results, mirror, text)


def _typed(name: str, value: str) -> TypedText:
    """Return *value* as if the caller had typed it: the request's rights apply to it."""
    typed = TypedText(value)
    typed.parameter = name
    return typed


def _conditions(mirror: Mirror, where: Mapping[str, Any]) -> list[Query]:
    """Return the conditions *where*, which the application gives: of any field."""
    scope = FieldScope(mirror.document_cls, Caller(False, False))
    conditions = []
    for name, value in where.items():
        target = scope.get(name)
        if target is None:
            raise BadQuery(WHERE, f"{mirror.name} has no field '{name[:60]}'" + scope.meant(name))
        try:
            conditions.append(_condition(mirror, target, value))
        except ValueMismatch as error:
            raise BadQuery(WHERE, f"{name}: {error}") from error
    return conditions


def _condition(mirror: Mirror, target: SearchField, value: Any) -> Query:
    if not isinstance(value, Mapping):
        values = list(value) if isinstance(value, (list, tuple, set, frozenset)) else [value]
        return exact_condition(mirror.document_cls, target, values)
    unknown = sorted(set(value) - set(_BOUNDS))
    if unknown or not value:
        raise ValueMismatch(f"bounds are {', '.join(_BOUNDS)}, not {', '.join(unknown) or 'none'}")
    ranges = []
    for bound, limit in value.items():
        text = limit.isoformat() if hasattr(limit, "isoformat") else str(limit)
        low, high = (text, None) if bound[0] == "g" else (None, text)
        ranges.append(
            clauses.range_query(target, low, high, bound.endswith("e"), bound.endswith("e"))
        )
    query: Query = {"bool": {"filter": ranges}}
    return query if target.path is None else clauses.nested(target, query)


class _ModelSearch:
    """``search`` as a method of a model's class."""

    def __get__(self, instance: Any, owner: Any) -> Any:
        return partial(search_objects, owner)


def add_search(model: Any) -> bool:
    """Give *model* the method ``search``, if the name is free.

    :returns: it has it.
    """
    present = inspect.getattr_static(model, NAME, None)
    if present is None:
        setattr(model, NAME, _ModelSearch())
    return present is None or isinstance(present, _ModelSearch)
