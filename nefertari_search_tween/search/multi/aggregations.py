"""Aggregations over several collections.

An aggregation covers the objects of those models in which all of its fields exist and are visible
to the caller; the buckets that contain it count as without it. So a field that a model hides and
one that it lacks can't be distinguished. A model's objects are selected by their index, which is
known on every level of nested documents, too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Callable, Optional

from nefertari_search_tween.exceptions import BadQuery
from nefertari_search_tween.mirror.mirror import Mirror
from nefertari_search_tween.search.aggregations.execute import PreparedAggregation
from nefertari_search_tween.search.aggregations.request import AggregationRequest
from nefertari_search_tween.search.multi.query import COMPARABLE, common_kind, multi_query
from nefertari_search_tween.search.query.clauses import SEARCHABLE, Query, any_of
from nefertari_search_tween.search.query.fields import FieldScope, SearchField
from nefertari_search_tween.search.query.search_read import ModelQuery
from nefertari_search_tween.search.query.search_request import SearchRequest
from nefertari_search_tween.search.query.visibility import of_index

_UNMAPPED = {"text": "keyword", "keyword": "keyword", "integer": "long", "float": "double"}


class MultiFieldScope:
    """The fields of several models that a caller may name, as if they were one model's.

    :param parameter: for messages.
    """

    #: primary keys of several models are compared as texts
    tie_breaker = "_pk"

    def __init__(self, mirrors: Sequence[Mirror], request: SearchRequest, parameter: str) -> None:
        caller, nameable = request.caller, request.nameable
        self.parameter = parameter
        self.mirrors = mirrors
        # Nested documents with item ACLs are not counted for any caller, as in one collection.
        self._nameable = [
            FieldScope(mirror.document_cls, nameable).unguarded() for mirror in mirrors
        ]
        self._all = [FieldScope(mirror.document_cls, caller.unrestricted) for mirror in mirrors]
        self._visible = [FieldScope(mirror.document_cls, caller).unguarded() for mirror in mirrors]
        #: documents contain fields that no caller may name here
        self.partial = any(scope.partial for scope in self._visible)
        self.own_renderings = {each for scope in self._all for each in scope.own_renderings}
        #: for messages
        self.document_cls = type(", ".join(mirror.name for mirror in mirrors), (), {})

    def get(self, name: str) -> Optional[SearchField]:
        """Return the field *name* of the models that have it; None if no model does.

        :raises BadQuery: its kinds of values can't be combined.
        """
        fields = [scope.get(name) for scope in self._nameable]
        present = [target for target in fields if target is not None]
        if not present:
            return None
        if any(target.kind not in SEARCHABLE for target in present):
            return present[0]
        common_kind(self.parameter, name, list(zip(self._nameable, fields)))
        # Indices with another kind of values under that name reject it, hidden or not.
        kinds = {
            COMPARABLE.get(target.kind)
            for target in (scope.get(name) for scope in self._all)
            if target is not None
        }
        if len(kinds) > 1:
            raise BadQuery(
                self.parameter, f"'{name[:60]}' can't be aggregated over these collections together"
            )
        floats = [target for target in present if target.kind == "float"]
        return floats[0] if floats else present[0]

    def default(self) -> list[SearchField]:
        """Return the fields of all models, in which text without a field name is searched."""
        names = set.intersection(
            *({target.name for target in scope.default()} for scope in self._nameable)
        )
        by_name = [[scope.get(name) for scope in self._nameable] for name in sorted(names)]
        return [
            targets[0]
            for targets in by_name
            if targets[0] is not None and len({each.kind for each in targets if each}) == 1
        ]

    def reject(self, error: BadQuery, targets: list[SearchField], position: int) -> None:
        """Raise the *error* about a term that fits no field."""
        raise error

    def objects_having(self, targets: Sequence[SearchField]) -> Optional[Query]:
        """Return a query for objects of models that have all of *targets*; None if all do."""
        having = [
            mirror.alias
            for mirror, scope in zip(self.mirrors, self._nameable)
            if all(scope.get(target.name) is not None for target in targets)
        ]
        return None if len(having) == len(self.mirrors) else {"terms": {"_index": having}}

    def of_index(self, index: str) -> FieldScope:
        """Return the visible fields of documents in *index*.

        :raises KeyError: it is an index of none of these models.
        """
        for mirror, scope in zip(self.mirrors, self._visible):
            if re.fullmatch(re.escape(mirror.alias) + r"-\d{6}", index):
                return scope
        raise KeyError(index)

    def mixed(self, name: str) -> bool:
        """Return True if the values are integers in some models and floats in others."""
        kinds = {target.kind for target in (scope.get(name) for scope in self._nameable) if target}
        return len(kinds & {"integer", "float"}) > 1

    def tolerate_sorts(self, part: dict[str, Any]) -> None:
        """Make the sorts of *part*, an object of aggregations, acceptable to indices without the
        field."""
        top_hits = part.get("top_hits")
        if isinstance(top_hits, dict) and isinstance(top_hits.get("sort"), list):
            top_hits["sort"] = [self._sort(clause) for clause in top_hits["sort"]]

    def _sort(self, clause: Any) -> Any:
        ((key, options),) = clause.items()
        name = key[: -len(".keyword")] if key.endswith(".keyword") else key
        target = self.get(name)
        if target is None:
            return clause
        options = {**options, "unmapped_type": _UNMAPPED.get(target.kind, "long")}
        if self.mixed(name):
            options["numeric_type"] = "double"
        return {key: options}


def multi_aggregation(
    mirrors: Sequence[Mirror], request: SearchRequest, aggregation: AggregationRequest
) -> tuple[PreparedAggregation, list[ModelQuery], Query]:
    """Prepare the *aggregation* of the matches of *request* in several models.

    :returns: also the search of each, and the query for the matches of all.
    """
    fields = MultiFieldScope(mirrors, request, aggregation.root)
    parts = [
        replace(
            part,
            body=_changed(part.body, _tolerate_unmapped),
            conditions=_changed(part.conditions, _tolerate_unmapped),
        )
        for part in multi_query(mirrors, request.without_page()).parts
    ]
    base = [of_index(part.mirror.alias, part.conditions) for part in parts]
    prepared = PreparedAggregation(
        aggregation, fields, fields, request.caller, request.settings, [any_of(base)]
    )
    prepared.body = _changed(prepared.body, _tolerate_unmapped, fields.tolerate_sorts)
    queries = [of_index(part.mirror.alias, [part.body["query"]]) for part in parts]
    return prepared, parts, any_of(queries)


def _changed(tree: Any, *changes: Callable[[dict[str, Any]], None]) -> Any:
    """Return a copy of *tree* with *changes* made to each of its objects, inner ones first."""
    if isinstance(tree, list):
        return [_changed(each, *changes) for each in tree]
    if not isinstance(tree, dict):
        return tree
    result = {name: _changed(each, *changes) for name, each in tree.items()}
    for change in changes:
        change(result)
    return result


def _tolerate_unmapped(part: dict[str, Any]) -> None:
    """Make a condition on nested documents acceptable to indices without them."""
    nested = part.get("nested")
    if isinstance(nested, dict) and set(nested) >= {"path", "query"}:
        nested["ignore_unmapped"] = True
