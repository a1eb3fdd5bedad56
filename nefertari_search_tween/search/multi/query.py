"""Translates one set of parameters into a search of each of several models.

Each model is searched by those of its own fields that the caller may see. Objects of a model that
lacks a field, or hides it from the caller, have no value in it: they don't match, and sort last.
So the two cases can't be distinguished. A field that no model has is an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Optional

from nefertari_search_tween.documents.mirror_document import BaseDocument
from nefertari_search_tween.documents.search_fields import OTHERS
from nefertari_search_tween.exceptions import BadQuery
from nefertari_search_tween.mirror.mirror import Mirror
from nefertari_search_tween.search.context import (
    AFTER,
    BOX,
    EXTRAS,
    HIGHLIGHT,
    PREFIX,
    PRESENCE,
)
from nefertari_search_tween.search.features.highlights import has_highlights, highlight_names
from nefertari_search_tween.search.privacy import Caller
from nefertari_search_tween.search.query.clauses import ABSENT, SEARCHABLE
from nefertari_search_tween.search.query.fields import FieldScope, SearchField
from nefertari_search_tween.search.query.search_read import SearchQuery, filter_field, model_query
from nefertari_search_tween.search.query.search_request import SearchRequest
from nefertari_search_tween.search.query.sorting import SCORE, SortKey, SortOrder

BOOLEAN = "true or false"
#: kinds of fields whose values are ordered in the same way
COMPARABLE = {
    "text": "text",
    "keyword": "text",
    "integer": "a number",
    "float": "a number",
    "boolean": BOOLEAN,
    "date": "a date",
    "time": "a time",
}


class ModelScope(FieldScope):
    """The fields of one of several models; any other name is that of an absent field.

    :ivar rejected: terms that fit no field of this model, by parameter and position.
    """

    def __init__(self, document_cls: type[BaseDocument], caller: Caller) -> None:
        super().__init__(document_cls, caller)
        self.rejected: dict[tuple[str, int], tuple[BadQuery, list[SearchField]]] = {}

    def searchable(self, name: str) -> Optional[SearchField]:
        """Return the field *name* if a search may name it, else None."""
        target = self.targets.get(name)
        return target if target is not None and target.kind in SEARCHABLE else None

    def get(self, name: str) -> SearchField:
        return self.searchable(name) or SearchField(name, ABSENT)

    def reject(self, error: BadQuery, targets: list[SearchField], position: int) -> None:
        self.rejected[error.parameter, position] = error, targets

    def require_shown(self, name: str) -> None:
        """Accept the field *name*, which another model may have: it was checked for all models."""


def multi_query(mirrors: Sequence[Mirror], request: SearchRequest) -> SearchQuery:
    """Return the searches that *request* specifies; ties are ordered by the order of *mirrors*.

    :raises BadQuery: a parameter that is invalid for all models, or a sort by values that have no
        common order. The message names it.
    """
    visible = [ModelScope(mirror.document_cls, request.nameable) for mirror in mirrors]
    orders = _orders(request.sort, visible)
    for name, _ in request.search_fields:
        if name == OTHERS:
            continue
        _require_any("_search_fields", name, visible, [scope.searchable(name) for scope in visible])
    only, exclude = request.selected_fields
    for name in (*only, *exclude):
        _require_any("_fields", name, visible, [scope.can_show(name) for scope in visible])
    for name in highlight_names(request.params.get(HIGHLIGHT)):
        readable = [ModelScope(mirror.document_cls, request.caller) for mirror in mirrors]
        _require_any(
            HIGHLIGHT, name, visible, [has_highlights(scope.searchable(name)) for scope in readable]
        )
    parts = [model_query(mirror, request, scope) for mirror, scope in zip(mirrors, visible)]
    every = [ModelScope(mirror.document_cls, request.caller.unrestricted) for mirror in mirrors]
    for name in parts[0].searched:
        # Fields that a text names are checked as its terms are.
        if name not in ("q", BOX, PREFIX, AFTER, *EXTRAS, *PRESENCE):
            scopes = every if request.only_view_names(name) else visible
            fields = [filter_field(name, scope) for scope in scopes]
            _require_any(name, name, visible, [each and each.kind != ABSENT for each in fields])
    _check_rejected(visible)
    return SearchQuery.of(request, parts, orders)


def _require_any(
    parameter: str, name: str, visible: Sequence[ModelScope], matches: Sequence[Any]
) -> None:
    """Check that *name* means something in at least one model.

    :raises BadQuery: nothing in *matches*, one for each model, is true.
    """
    if not any(matches):
        raise BadQuery(parameter, missing(name, visible))


def missing(name: str, visible: Sequence[FieldScope]) -> str:
    """Return the message about a name that means nothing in any model."""
    models = ", ".join(scope.document_cls.__name__ for scope in visible)
    others = [each for scope in visible[1:] for each in scope.visible_names()]
    meant = visible[0].meant(name, others)
    return f"none of {models} has a field '{name[:60]}' that can be named here{meant}"


def _orders(keys: Iterable[SortKey], visible: Sequence[ModelScope]) -> list[SortOrder]:
    """Return the orders of the sort clauses.

    :raises BadQuery: a field that no model has, or values that can't be compared.
    """
    orders = []
    for name, descending in keys:
        kind = "a number"
        if name != SCORE:
            targets = [(scope, scope.searchable(name)) for scope in visible]
            _require_any("_sort", name, visible, [target for _, target in targets])
            kind = common_kind("_sort", name, targets)
        orders.append(SortOrder(descending, kind))
    return orders


def common_kind(
    parameter: str, name: str, targets: Sequence[tuple[FieldScope, Optional[SearchField]]]
) -> str:
    """Return the common kind of the values of the field *name*, which at least one model has.

    :raises BadQuery: the models' values can't be compared.
    """
    kinds: dict[str, str] = {}
    for scope, target in targets:
        if target is not None:
            kinds.setdefault(COMPARABLE[target.kind], scope.document_cls.__name__)
    if len(kinds) > 1:
        listing = " and ".join(f"{kind} in {model}" for kind, model in kinds.items())
        raise BadQuery(parameter, f"'{name[:60]}' is {listing}: these can't be compared")
    return next(iter(kinds))


def _check_rejected(visible: Sequence[ModelScope]) -> None:
    """Check that each rejected term fits at least one model, and all comparable fields.

    :raises BadQuery: a term fits no model; or it fits a field of one model but not the comparable
        field of another (a fraction, a float and a whole number), whose objects must not be
        left out silently. The first such term of the request is reported.
    """
    positions = dict.fromkeys(position for scope in visible for position in scope.rejected)
    # In the order of the request: positions are counted down.
    for key in sorted(positions, key=lambda position: -position[1]):
        rejections = [scope.rejected[key] for scope in visible if key in scope.rejected]
        present = [
            (error, target)
            for error, targets in rejections
            for target in targets
            if target.kind != ABSENT
        ]
        if len(rejections) == len(visible):
            if present:
                raise present[0][0]
            error, targets = rejections[0]
            raise BadQuery(error.parameter, missing(targets[0].name, visible))
        for error, target in present:
            fitting = [
                scope.searchable(target.name) for scope in visible if key not in scope.rejected
            ]
            if any(each and COMPARABLE[each.kind] == COMPARABLE[target.kind] for each in fitting):
                raise error
