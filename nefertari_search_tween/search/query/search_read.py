"""Translates the parameters of a search read, as nefertari documents them, into a search."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Callable, Optional

from nefertari_search_tween.documents.format import INTERNAL
from nefertari_search_tween.documents.mirror_document import BaseDocument
from nefertari_search_tween.exceptions import BackendRejected, BadQuery, TooManyClauses
from nefertari_search_tween.mirror.mirror import Mirror
from nefertari_search_tween.search.box.query import box_query
from nefertari_search_tween.search.box.weights import searchable_fields, weighted_fields
from nefertari_search_tween.search.context import (
    AFTER,
    BOX,
    FLAG,
    HIGHLIGHT,
    PRESENCE,
    QueryText,
    as_values,
)
from nefertari_search_tween.search.features.cursors import (
    behind,
    cursor_behind,
    next_link,
    require_readable_order,
)
from nefertari_search_tween.search.features.highlights import (
    HighlightOptions,
    Highlights,
    highlight_option,
    highlighted_fields,
    highlights_of,
)
from nefertari_search_tween.search.query import clauses
from nefertari_search_tween.search.query.any_field import Weighted
from nefertari_search_tween.search.query.clauses import (
    ABSENT,
    NAMEABLE,
    Query,
    ValueMismatch,
)
from nefertari_search_tween.search.query.fields import FieldScope, SearchField
from nefertari_search_tween.search.query.lucene import (
    ClauseBudget,
    compile_lucene,
    presence,
    presence_field,
)
from nefertari_search_tween.search.query.own_conditions import exact_condition
from nefertari_search_tween.search.query.paging import Page
from nefertari_search_tween.search.query.search_request import ALL, NO_FILTERS, SearchRequest
from nefertari_search_tween.search.query.sorting import SortOrder, sort_clauses
from nefertari_search_tween.search.query.visibility import Visible, visible_objects

HTTP_BAD_REQUEST = 400

#: an index and the body of a search in it
Search = tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class ModelQuery:
    """The search of one model.

    :param body: it has a size only if the request has a limit.
    :param searched: names of parameters with search terms.
    :param expressions: names of parameters with a regular expression.
    :param index: the index to search.
    :param conditions: those that hold for every object that the caller may see here: of the view
        and of item ACLs.
    """

    mirror: Mirror
    body: dict[str, Any]
    searched: list[str]
    expressions: list[str]
    index: str
    conditions: list[Query]
    searched_fields: list[str] = field(default_factory=list)
    highlighted: list[str] = field(default_factory=list)

    @contextmanager
    def explain_rejections(self) -> Iterator[None]:
        """Translate rejections of the caller's input into errors that the caller can fix."""
        try:
            yield
        except TooManyClauses as error:
            raise BadQuery(
                self.searched[0] if self.searched else "q",
                "more words, each in every field that it is looked for in, than the search server "
                "takes: give fewer words, or name fields (_search_fields)",
            ) from error
        except BackendRejected as error:
            if error.status == HTTP_BAD_REQUEST and "search_after" in self.body:
                raise BadQuery(AFTER, "the cursor has been changed") from error
            if error.status != HTTP_BAD_REQUEST or not self.expressions:
                raise
            raise BadQuery(
                self.expressions[0], "the search server can't run this regular expression"
            ) from error


@dataclass(frozen=True)
class SearchQuery:
    """A search read of one model or several, ready to run.

    :param parts: the search of each model; all have corresponding sort clauses, followed by the
        model's own tie-breaker.
    :param fields: the ``_fields`` parameter as received; '' without one.
    :param current: see :class:`SearchRequest`.
    :param orders: those of the corresponding clauses, to merge several models' hits.
    :param request: what it was made of.
    :param is_of_request: nothing else was made of it since.
    """

    parts: list[ModelQuery]
    count_only: bool
    page: Page
    fields: Any
    current: bool
    orders: Sequence[SortOrder]
    request: SearchRequest
    is_of_request: bool = True

    @classmethod
    def of(
        cls, request: SearchRequest, parts: list[ModelQuery], orders: Sequence[SortOrder] = ()
    ) -> SearchQuery:
        """Return the query for *request* whose *parts* have been made of it."""
        if request.position is not None:
            parts = behind(request.position, parts)
        page, current = request.page, request.current
        return cls(parts, request.count_only, page, request.fields, current, orders, request)

    def next_page(self, hits: Sequence[dict[str, Any]]) -> str:
        """Return the link to the page behind *hits*; without an HTTP request, its cursor."""
        request = self.request
        cursor = cursor_behind(
            request.params, hits, request.position, len(self.parts), request.attempt
        )
        http_request = request.http_request
        return cursor if http_request is None else next_link(http_request, cursor)

    def explain_rejections(self) -> AbstractContextManager[None]:
        """Return what translates rejections of the caller's input, see :class:`ModelQuery`."""
        return self.parts[0].explain_rejections()

    @property
    def highlights(self) -> Optional[Callable[[dict[str, Any]], Highlights]]:
        """Return what makes the highlights of a hit; None if they are not asked for."""
        if HIGHLIGHT not in self.request.params:
            return None
        options = HighlightOptions.of(self.request.settings)
        return lambda hit: highlights_of(hit, self.parts[hit.get("part", 0)].highlighted, options)

    @property
    def mirrors(self) -> list[Mirror]:
        return [part.mirror for part in self.parts]

    @property
    def visible(self) -> Visible:
        """Return the conditions on documents of each index."""
        return {part.index: part.conditions for part in self.parts}


def model_query(
    mirror: Mirror, request: SearchRequest, scope: Optional[FieldScope] = None
) -> ModelQuery:
    """Return the search of one model that *request* specifies.

    :param scope: the fields that all parameters may name, if the model is one of several. By
        default those that the caller may name. Parameters that only the view names may be any
        field; query syntax in them may still be the caller's input, and is parsed as such.
    :raises BadQuery: an invalid parameter; the message names it.
    """
    document_cls, params = mirror.document_cls, request.params
    # What orders and selects the fields of several models is checked for all of them together.
    shared = NO_FILTERS if scope is not None else frozenset()
    scope = scope or FieldScope(document_cls, request.nameable)
    own_scope = scope
    if request.nameable.restricted and any(map(request.only_view_names, params)):
        own_scope = type(scope)(document_cls, request.caller.unrestricted)

    def scope_for(name: str) -> FieldScope:
        return own_scope if request.only_view_names(name) and name not in shared else scope

    budget = ClauseBudget(request.settings)
    must: list[Query] = []
    own: list[Query] = []
    searched: list[str] = []
    filtered: list[Weighted] = []
    for name, value in params.items():
        is_own = request.is_own(name)
        if name in NO_FILTERS or name.startswith("__") or (_is_all(value) and not is_own):
            continue
        searched.append(name)
        target = filter_field(name, scope_for(name))
        if target is None:
            others = NO_FILTERS | {FLAG} if name.startswith("_") else ()
            meant = scope.meant(name, others)
            raise BadQuery(name, f"{document_cls.__name__} has no field of that name{meant}")
        if is_own:
            own.append(_own_condition(document_cls, target, name, value, scope, budget))
        else:
            filtered.append((target, 1.0))
            must.append(_field_query(target, name, value, scope, budget))
    for name in PRESENCE:
        if name in params and (request.is_own(name) or not _is_all(params[name])):
            searched.append(name)
            own_names = scope_for(name) if request.is_own(name) else None
            query = _presence(name, params[name], scope, budget, own_names)
            (must if own_names is None else own).append(query)
    weighted = weighted_fields(request, mirror, scope_for("_search_fields"))
    box = request.box
    text = None if request.is_box("q") else params.get("q")
    if text is not None and (request.is_own("q") or not _is_all(text)):
        searched.insert(0, "q")
        (own if request.is_own("q") else must).append(_q(text, weighted, scope, budget))
    if box is not None:
        searched.insert(0, BOX if BOX in params else "q")
        weighted = searchable_fields(weighted, scope)
        query = box_query(box, weighted, request.attempt, request.settings.synonyms)
        (own if request.is_own(BOX) else must).append(query)
    filters = request.filters_of(mirror)
    if request.attempt.counting:
        # The number of words is all that is scored.
        filters, own, must = [*filters, *own, *must[:-1]], [], must[-1:]
    body: dict[str, Any] = {
        "query": visible_objects(filters, [*own, *must]),
        "sort": sort_clauses(request.sort, scope_for("_sort")),
        "track_total_hits": True,
    }
    if request.is_walk:
        readable = type(scope)(document_cls, request.caller)
        require_readable_order(request.sort, scope_for("_sort"), readable)
    start, limit = request.page
    if limit is not None:
        body["from"], body["size"] = start, limit
    body["_source"] = source_option(*request.selected_fields, scope_for("_fields"))
    highlighted: list[str] = []
    if HIGHLIGHT in params:
        # Not what the caller may only name: fragments show values.
        same = request.nameable is request.caller
        readable = scope if same else type(scope)(document_cls, request.caller)
        fields = [*searchable_fields(weighted, readable), *filtered]
        highlighted = highlighted_fields(params[HIGHLIGHT], fields, readable, bool(shared))
        if highlighted and must:
            body["highlight"] = highlight_option(highlighted, must if own or filters else [])
    index = request.index or mirror.alias
    texts = [
        target.name
        for target, _ in weighted
        if target.kind == "text" and not (target.guarded or target.joins)
    ]
    conditions = [*filters, *own]
    return ModelQuery(
        mirror, body, searched, budget.expressions, index, conditions, texts, highlighted
    )


def _is_all(value: Any) -> bool:
    return isinstance(value, str) and value == ALL


def filter_field(name: str, scope: FieldScope) -> Optional[SearchField]:
    """Return the field of a filter called *name*: that of a relationship means the keys of its
    documents."""
    target = scope.get(name)
    if target is None or target.kind == ABSENT:
        field = scope.document_cls.fields().get(name)
        if field is not None and field.kind == "relationship":
            related = scope.document_cls.related(name)
            return scope.get(f"{name}.{related.pk_field()}")
    return target


def _own_condition(
    document_cls: type[BaseDocument],
    target: SearchField,
    name: str,
    value: Any,
    scope: FieldScope,
    budget: ClauseBudget,
) -> Query:
    """Return the condition that the view adds as the parameter *name*.

    It is not limited as what callers write: Ramses lists all children of a parent in one.

    :raises BadQuery: it can't be exact.
    """
    if target.kind == ABSENT:
        # An object without the field is not one with this value, nor known to be one without.
        return clauses.MATCH_NONE
    values = as_values(value)
    marked = [each for each in values if isinstance(each, QueryText)]
    if ALL in marked:
        return {"match_all": {}}
    parts = [_one(target, name, each, scope, budget) for each in marked]
    exact = [each for each in values if not isinstance(each, QueryText)]
    if exact or not parts:
        try:
            parts.append(exact_condition(document_cls, target, exact))
        except ValueMismatch as error:
            problem = BadQuery(name, f"the view's filter can't be exact: {error}")
            scope.reject(problem, [target], budget.remaining)
            return clauses.MATCH_NONE
    return parts[0] if len(parts) == 1 else clauses.any_of(parts)


def _field_query(
    target: SearchField, name: str, value: Any, scope: FieldScope, budget: ClauseBudget
) -> Query:
    if isinstance(value, (list, tuple, set)):
        parts = [_one(target, name, each, scope, budget) for each in value]
        return clauses.any_of(parts) if parts else clauses.MATCH_NONE
    return _one(target, name, value, scope, budget)


def _one(
    target: SearchField, name: str, value: Any, scope: FieldScope, budget: ClauseBudget
) -> Query:
    if target.kind not in NAMEABLE:
        raise BadQuery(name, "this field can't be searched")
    if isinstance(value, str):
        return compile_lucene(value, name, scope, [(target, 1.0)], True, budget)
    budget.charge(name, value)
    if value is None:
        if target.kind == ABSENT:
            return {"match_all": {}}
        query: Query = {"bool": {"must_not": [clauses.exists(target)]}}
        return query if target.path is None else clauses.nested(target, query)
    text = str(value).lower() if isinstance(value, bool) else str(value)
    try:
        return clauses.nested(target, clauses.term(target, text))
    except ValueMismatch as error:
        scope.reject(BadQuery(name, str(error)), [target], budget.remaining)
        return clauses.MATCH_NONE


def _presence(
    name: str, value: Any, scope: FieldScope, budget: ClauseBudget, own_scope: Optional[FieldScope]
) -> Query:
    """Return the query for the value of ``_exists_`` or ``_missing_``.

    :param own_scope: the fields that the view may name, if the parameter is its own: its values are
        names, unless it marks them as syntax.
    """
    parts = []
    for each in as_values(value):
        if not isinstance(each, str):
            raise BadQuery(name, "the name of a field is expected")
        if own_scope is None or isinstance(each, QueryText):
            parts.append(compile_lucene(each, name, scope, [], True, budget))
            continue
        target = presence_field(each, name, own_scope)
        # An object without the field is not known to be one without a value.
        absent = target.kind == ABSENT
        parts.append(
            clauses.MATCH_NONE if absent else presence(name, target, name, own_scope, budget)
        )
    return parts[0] if len(parts) == 1 else clauses.any_of(parts or [clauses.MATCH_NONE])


def _q(text: Any, fields: list[Weighted], scope: FieldScope, budget: ClauseBudget) -> Query:
    """Return the query for the value of ``q``.

    :param fields: the fields to search; empty for all.
    """
    if not isinstance(text, str):
        return clauses.any_of([_q(each, fields, scope, budget) for each in text])
    fields = searchable_fields(fields, scope)
    if not fields:
        return clauses.MATCH_NONE
    return compile_lucene(text, "q", scope, fields, False, budget)


def source_option(only: list[str], exclude: list[str], scope: FieldScope) -> Any:
    """Return the ``_source`` option that selects the fields *only*, or all but *exclude*: always
    with the type, whose privacy rules apply to the document.

    :raises BadQuery: an unknown field.
    """
    for name in (*only, *exclude):
        scope.require_shown(name)
    if not only and not exclude:
        return True
    if not exclude:
        return {"includes": [*only, "_type"]}
    return {"excludes": [*(name for name in exclude if name != "_type"), *INTERNAL]}
