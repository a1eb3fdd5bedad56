"""Which fields of a model texts are looked for in, and how much each counts."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from nefertari_search_tween.documents.search_fields import OTHERS, WeightedName
from nefertari_search_tween.exceptions import BadQuery, ConfigurationError
from nefertari_search_tween.mirror.decorator import marked_search_fields
from nefertari_search_tween.mirror.mirror import Mirror
from nefertari_search_tween.search.privacy import Caller
from nefertari_search_tween.search.query.any_field import Weighted
from nefertari_search_tween.search.query.clauses import ABSENT, NAMEABLE, SEARCHABLE
from nefertari_search_tween.search.query.fields import FieldScope, SearchField
from nefertari_search_tween.search.query.search_request import SearchRequest
from nefertari_search_tween.settings.settings import Settings

SETTING = "nefertari_search.search_fields"


def choose_search_fields(mirrors: Collection[Mirror], settings: Settings) -> None:
    """Set the search fields of *mirrors*: of the setting, or of the decorator.

    :raises ConfigurationError: they name a model without a mirror, or a field that can't be
        searched.
    """
    names = {mirror.name for mirror in mirrors}
    for name in settings.search_fields:
        if name not in names:
            raise ConfigurationError(f"{SETTING}.{name}: there is no mirror of a model {name}")
    for mirror in mirrors:
        fields = settings.search_fields.get(mirror.name)
        if fields is not None:
            mirror.search_fields = _checked(mirror, fields, f"{SETTING}.{mirror.name}")
        else:
            marked = marked_search_fields(mirror.model) or ()
            mirror.search_fields = _checked(mirror, marked, f"@mirrored on {mirror.name}")


def _checked(
    mirror: Mirror, fields: Iterable[WeightedName], where: str
) -> tuple[WeightedName, ...]:
    scope = FieldScope(mirror.document_cls, Caller(False, False))
    for name, _ in fields:
        target = scope.get(name)
        if name != OTHERS and (target is None or target.kind not in SEARCHABLE):
            raise ConfigurationError(f"{where}: {mirror.name} has no searchable field '{name}'")
    return tuple(fields)


def searchable_fields(fields: list[Weighted], scope: FieldScope) -> list[Weighted]:
    """Return the *fields* to search, all if there are none."""
    every = ((target, 1.0) for target in scope.default() if target.kind in SEARCHABLE)
    return fields or list(every)


def weighted_fields(request: SearchRequest, mirror: Mirror, scope: FieldScope) -> list[Weighted]:
    """Return the fields to search: those of the request, or of the model; empty for all.

    Without any weight, the first one that a request names has the highest, as in nefertari. Of the
    model's, the caller's searches have those that it may see.
    """
    names = request.search_fields
    for name, _ in names:
        target = scope.get(name)
        if name != OTHERS and (target is None or target.kind not in NAMEABLE):
            raise BadQuery(
                "_search_fields",
                f"{scope.document_cls.__name__} has no searchable field '{name[:60]}'"
                + scope.meant(name),
            )
    if all(weight is None for _, weight in names):
        ranks = range(len(names), 0, -1)
        names = tuple(WeightedName(name, rank) for (name, _), rank in zip(names, ranks))
    names = names or mirror.search_fields
    weights = {name: 1.0 if weight is None else float(weight) for name, weight in names}
    targets = [(scope.get(name), weight) for name, weight in weights.items() if name != OTHERS]
    weighted = [(target, weight) for target, weight in targets if target is not None]
    if OTHERS in weights:
        others = [target for target in scope.default() if target.name not in weights]
        weighted += [(target, weights[OTHERS]) for target in others if target.kind in SEARCHABLE]
    # Nothing is found in fields that the caller may not see; it does not mean all others.
    return weighted or [(SearchField("", ABSENT), 1.0)] if weights else []
