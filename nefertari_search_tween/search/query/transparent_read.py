"""Translates the parameters of ``Model.get_collection`` into a search with the same results.

Only what is known to be equal is translated; everything else is :class:`Unanswerable` and left to
the primary, which then also reports its own errors. What makes the results equal:

* each field that is filtered, sorted or shown has a proof for it (``interfaces/field_proof.py``);
* a filter is a ``term`` on an exact form of the field: the keyword subfield, the number, or the
  ``_exact`` companion (microseconds, days, the database's own float); the primary's semantics
  object tells which value the database reads in a text;
* sorts use the same forms, nulls are placed as in the database, ties are ordered by primary key;
* a document whose value the index can't represent exactly lists the field in ``_inexact``, and one
  that the backend rejected is a stub with ``_inexact: *``. Both are matched besides the filters
  and counted; a count above zero makes the response void.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional

from nefertari import RESERVED_PARAMS
from nefertari.utils import process_fields, process_limit, split_strip

from nefertari_search_tween.documents.fields import BaseField
from nefertari_search_tween.documents.format import ANY_FIELD, INEXACT, STUBS, exact_field
from nefertari_search_tween.documents.mirror_document import BaseDocument
from nefertari_search_tween.exceptions import NOTHING, Reason, Unanswerable
from nefertari_search_tween.interfaces.field_proof import require
from nefertari_search_tween.interfaces.primary import Semantics
from nefertari_search_tween.search.query.clauses import Query, any_of

_KNOWN = frozenset({"_sort", "_fields", "_limit", "_page", "_start", "_count"})
_MODIFIERS = ("__in", "__all", "__bool")


@dataclass(frozen=True)
class TransparentQuery:
    """A transparent read, ready to run.

    :param body: the search.
    :param count_only: only the total is requested.
    :param fields: the ``_fields`` parameter, split; empty for whole documents.
    :param picked: names of the fields of each result, in order; None for whole documents.
    :param keep_pk: the primary key is one of the requested fields.
    """

    body: dict[str, Any]
    count_only: bool
    start: Any
    fields: list[str]
    picked: Optional[list[str]]
    keep_pk: bool


def transparent_query(
    document_cls: type[BaseDocument],
    semantics: Semantics,
    params: dict[str, Any],
    window: int,
    keys: Optional[list[Any]] = None,
) -> TransparentQuery:
    """Return the search whose results equal those of the primary's ``get_collection(**params)``.

    :param window: maximum of start + limit.
    :param keys: primary keys of the documents to select from; None for all.
    :raises Unanswerable: there is none; the reason is for the ``X-Search-Engine`` header.
    """
    if document_cls.custom_to_dict():
        raise Unanswerable(Reason.CUSTOM_TO_DICT)
    build = _Builder(document_cls, semantics)
    reserved = {}
    for name, value in params.items():
        if name in _KNOWN:
            reserved[name] = value
        elif name.startswith("__") or name in RESERVED_PARAMS:
            continue
        elif not build.drops(name, value):
            build.filter(name, value)
    if keys is not None:
        build.among(keys)
    fields = _split(reserved.get("_fields", []))
    picked = semantics.picked(*process_fields(fields)) if fields else None
    # The primary checks it for a count, too.
    sorts = _split(reserved.get("_sort", []))
    default_sort = semantics.default_sort(picked)
    count_only = "_count" in reserved
    if not count_only:
        for name in picked or document_cls.fields():
            require(semantics.proof(name).rendering)
        sorts = sorts or default_sort
    for each in sorts:
        build.sort(each)
    pk = document_cls.pk_field()
    if pk not in build.sorted:
        build.sorts.append({exact_field(document_cls.fields()[pk]): {"order": "asc"}})
    start, size = reserved.get("_start"), None
    if reserved.get("_limit") is not None:
        try:
            start, size = process_limit(start, reserved.get("_page"), reserved["_limit"])
        except ValueError as error:
            raise Unanswerable(Reason.UNSUPPORTED_PARAMETER) from error
        if start + size > window:
            raise Unanswerable(Reason.DEEP_PAGINATION)
    return TransparentQuery(
        build.body(start, size),
        count_only,
        start,
        fields,
        picked,
        document_cls.pk_field() in fields,
    )


def exact_filters(
    document_cls: type[BaseDocument], semantics: Semantics, params: dict[str, Any]
) -> list[dict[str, Any]]:
    """Return conditions for objects that the primary's ``get_collection(**params)`` returns, too.

    No other object meets them: one whose value the index can't represent exactly does not, because
    a search has no other answer that could replace its own. Nor is ``_all`` dropped.

    :param params: filters.
    :raises Unanswerable: only the primary can apply them.
    """
    if document_cls.custom_to_dict():
        raise Unanswerable(Reason.CUSTOM_TO_DICT)
    build = _Builder(document_cls, semantics)
    for name, value in params.items():
        if not name.startswith("__"):
            build.filter(name, value)
    doubtful = {"terms": {INEXACT: [ANY_FIELD, *sorted(build.filtered)]}}
    return [{"bool": {"filter": build.filters, "must_not": [doubtful]}}]


class _Builder:
    def __init__(self, document_cls: type[BaseDocument], semantics: Semantics) -> None:
        self.document_cls = document_cls
        self.semantics = semantics
        self.filters: list[dict[str, Any]] = []
        self.sorts: list[dict[str, Any]] = []
        self.filtered: set[str] = set()
        self.sorted: set[str] = set()

    def drops(self, name: str, value: Any) -> bool:
        """Return True if the primary takes *value* for no filter."""
        if not isinstance(value, str) or value != "_all":
            return False
        return self._field(name).kind not in ("list", "opaque")

    def filter(self, name: str, value: Any) -> None:
        if name.endswith(_MODIFIERS) or name.startswith("_"):
            raise Unanswerable(Reason.UNSUPPORTED_PARAMETER)
        field = self._field(name)
        key = exact_field(field)
        if value is None:
            require(self.semantics.proof(name).nulls)
            self.filters.append({"bool": {"must_not": [{"exists": {"field": key}}]}})
            self.filtered.add(name)
            return
        compared = self.semantics.filter_value(name, value)
        if field.kind != "text":
            # A text too long for the index equals no text that is short enough for a query string.
            self.filtered.add(name)
        if compared is NOTHING:
            # Every document has a type.
            self.filters.append({"bool": {"must_not": [{"exists": {"field": "_type"}}]}})
        elif compared == 0 and field.kind == "float":
            # Lucene distinguishes -0.0 from 0.0, databases do not.
            self.filters.append({"range": {key: {"gte": -0.0, "lte": 0.0}}})
        else:
            self.filters.append({"term": {key: compared}})

    def among(self, keys: list[Any]) -> None:
        name = self.document_cls.pk_field()
        values = [self.semantics.filter_value(name, key) for key in keys]
        self.filters.append({"terms": {exact_field(self._field(name)): values}})
        self.filtered.add(name)

    def sort(self, each: str) -> None:
        descending = each.startswith("-")
        name = each[1:] if descending else each
        field = self._field(name)
        require(self.semantics.proof(name).order)
        if name in self.sorted and not self.semantics.first_sort_counts:
            raise Unanswerable(Reason.UNSUPPORTED_SORT)
        missing = "_first" if self.semantics.nulls_first(descending) else "_last"
        order = "desc" if descending else "asc"
        self.sorts.append({exact_field(field): {"order": order, "missing": missing}})
        self.sorted.add(name)

    def body(self, start: Any, size: Optional[int]) -> dict[str, Any]:
        watched = [ANY_FIELD, *sorted(self.filtered | self.sorted)]
        body: dict[str, Any] = {
            "sort": self.sorts,
            "track_total_hits": True,
            "aggs": {"inexact": {"filter": {"terms": {INEXACT: watched}}}},
        }
        if self.filters:
            # Documents with inexact values of filtered fields are matched, too.
            doubtful = {"terms": {INEXACT: [ANY_FIELD, *sorted(self.filtered)]}}
            body["query"] = any_of([{"bool": {"filter": self.filters}}, doubtful])
        if size is not None:
            body["from"] = start
            body["size"] = size
        return body

    def _field(self, name: str) -> BaseField:
        field = self.document_cls.fields().get(name)
        if field is None or field.kind == "relationship":
            raise Unanswerable(Reason.UNSUPPORTED_PARAMETER)
        return field


def _split(value: Any) -> list[str]:
    """Split a comma-separated parameter as nefertari does."""
    if not isinstance(value, (str, list)):
        raise Unanswerable(Reason.UNSUPPORTED_PARAMETER)
    if isinstance(value, list) and not all(isinstance(each, str) for each in value):
        raise Unanswerable(Reason.UNSUPPORTED_PARAMETER)
    return list(split_strip(value))


def restrict(body: dict[str, Any], restrictions: list[Query]) -> list[Query]:
    """Narrow a transparent read, so that inexact documents still invalidate it.

    :returns: the conditions that it meets now.
    """
    if not restrictions:
        return []
    visible = any_of([{"bool": {"filter": restrictions}}, STUBS])
    queries = [body["query"]] if "query" in body else []
    body["query"] = {"bool": {"filter": [*queries, visible]}}
    return [visible]
