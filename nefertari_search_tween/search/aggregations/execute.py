"""Prepares aggregation requests: what the backend is asked for, what the caller sees of it."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Optional

from nefertari_search_tween.exceptions import (
    BackendRejected,
    BadQuery,
    EmbeddedRejected,
    innermost_error,
)
from nefertari_search_tween.mirror.mirror import Mirror
from nefertari_search_tween.search.aggregations.bucket_paths import Part
from nefertari_search_tween.search.aggregations.builder import Builder
from nefertari_search_tween.search.aggregations.context import AggregationContext, FieldLookup
from nefertari_search_tween.search.aggregations.request import (
    AggregationRequest,
    root_of,
    split_params,
)
from nefertari_search_tween.search.aggregations.response import limit_documents, unwrap
from nefertari_search_tween.search.context import ReadContext
from nefertari_search_tween.search.privacy import Caller
from nefertari_search_tween.search.query.clauses import Query
from nefertari_search_tween.search.query.fields import FieldScope
from nefertari_search_tween.search.query.lucene import ClauseBudget
from nefertari_search_tween.search.query.search_read import (
    HTTP_BAD_REQUEST,
    ModelQuery,
    model_query,
)
from nefertari_search_tween.search.query.search_request import SearchRequest
from nefertari_search_tween.search.query.visibility import visible_objects
from nefertari_search_tween.settings.settings import Settings

log = logging.getLogger(__name__)

_UNKNOWN = re.compile(r"Unknown aggregation type \[(\w+)\]|has no aggregation '(\w+)'")


class AggregationResult(dict):
    """Results by name, in the search server's format.

    :param root: the parameter that requested them.
    """

    def __init__(self, results: dict[str, Any], root: str) -> None:
        super().__init__(results)
        self._root = root

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        # A view that uses its collection as a database query or a list must fail with a message
        # that explains why.
        raise BadQuery(
            self._root,
            f"the view of this collection goes on with what it found ({name}), which "
            "aggregations can't follow",
        )


class PreparedAggregation:
    """One aggregation request, translated and checked.

    :param fields: the fields that it may name: those of one model, or common to several.
    :param visible: the fields of documents that the caller may see.
    :param exact_filters: conditions on every object that the caller may see here, whatever the
        request.
    :raises BadQuery: it can't be understood; the message names the parameter.
    :raises JHTTPForbidden: it names fields that the caller may not see.
    """

    def __init__(
        self,
        aggregation: AggregationRequest,
        fields: FieldLookup,
        visible: FieldLookup,
        caller: Caller,
        settings: Settings,
        exact_filters: list[Query],
    ) -> None:
        self.aggregation = aggregation
        self.context = AggregationContext(
            fields,
            visible,
            settings,
            caller.restricted and settings.hidden_fields != "allow",
            caller.restricted or visible.partial,
            caller.max_documents,
            visible_objects(exact_filters),
            ClauseBudget(settings),
        )
        self.body: dict[str, Any]
        self.parts: dict[str, Part]
        self.body, self.parts = Builder(self.context).build(aggregation.tree, aggregation.root)

    def result(self, aggregations: dict[str, Any]) -> AggregationResult:
        """Return what the caller may see of the backend's *aggregations*."""
        context = self.context
        results = unwrap(aggregations, self.parts, context.visible, context.hides)
        if context.max_documents is not None:
            limit_documents(results, self.parts, context.max_documents)
        return AggregationResult(results, self.aggregation.root)

    @contextmanager
    def refusals(self) -> Iterator[None]:
        """Report a request that the backend rejects as the caller's error."""
        try:
            yield
        except BackendRejected as error:
            if error.status != HTTP_BAD_REQUEST:
                raise
            problem = _cause_of(error.details)
            unknown = _UNKNOWN.search(problem)
            if unknown is None:
                if not isinstance(error, EmbeddedRejected):
                    # A server's text names classes, shards and indices; its type is a word.
                    log.info("the search server rejected an aggregation: %s", error)
                    problem = _type_of(error.details)
                raise BadQuery(
                    self.aggregation.root, f"the search server rejected it: {problem[:500]}"
                ) from error
            kind = unknown[1] or unknown[2]
            if unknown[1]:
                problem = f"the search server has no aggregations of type '{kind}'"
            raise BadQuery(self.context.kinds.get(kind, self.aggregation.root), problem) from error


def model_aggregation(
    mirror: Mirror, request: SearchRequest, aggregation: AggregationRequest
) -> tuple[PreparedAggregation, list[ModelQuery], Query]:
    """Prepare the *aggregation* of the matches of *request* in one model.

    :returns: also the search, in a list, and its query.
    """
    # Nested documents with their own ACLs are never aggregated: an aggregation counts all.
    visible = FieldScope(mirror.document_cls, request.caller).unguarded()
    fields = FieldScope(mirror.document_cls, request.nameable).unguarded()
    part = model_query(mirror, request.without_page())
    prepared = PreparedAggregation(
        aggregation, fields, visible, request.caller, request.settings, part.conditions
    )
    return prepared, [part], part.body["query"]


def asked_of(
    read: Optional[ReadContext], params: dict[str, Any]
) -> tuple[Optional[AggregationRequest], dict[str, Any]]:
    """Return the aggregations that the request of *read* contains, and its other parameters.

    :raises BadQuery: it contains some, but its view has no aggregations.
    """
    if read is None:
        return None, params
    if read.aggregation is not None:
        return read.aggregation, params
    root = root_of(params, read.aggregation_keys)
    if root is None:
        return None, params
    if read.request.method != "HEAD":
        # nefertari's aggregator wraps every view, unless the application removed it.
        raise BadQuery(root, "the view of this collection has no aggregations")
    # It does not wrap HEAD; the renderer's filters for a list of objects do not fit results.
    getattr(read.request, "filters", {}).pop(getattr(read.request, "action", ""), None)
    return split_params(params, read.aggregation_keys)


def _root_cause(details: Any) -> dict[str, Any]:
    """Return the root cause in an error object."""
    error = innermost_error(details)
    if not isinstance(error, dict):
        return {"reason": str(error)}
    causes = error.get("root_cause") or [error.get("caused_by") or error]
    return {"reason": error.get("reason"), "type": error.get("type"), **causes[0]}


def _cause_of(details: Any) -> str:
    """Return the reason in an error object: that of its root cause."""
    cause = _root_cause(details)
    return str(cause["reason"] or cause.get("type"))


def _type_of(details: Any) -> str:
    """Return the type of an error in words: ``too many buckets``."""
    name = str(_root_cause(details).get("type") or "")
    words = name.removesuffix("_exception").replace("_", " ")
    return words if re.fullmatch("[a-z ]+", words) else "it gives no reason"
