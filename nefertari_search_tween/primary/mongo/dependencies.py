"""Which documents show an object: relationships between models, followed by what is stored now.

Each document holds the keys of the objects that it refers to. So who shows an object can be
found at any time, after the object is gone as well; nothing has to be remembered of before.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from nefertari_search_tween.interfaces.primary import Key
from nefertari_search_tween.primary.mongo import schema
from nefertari_search_tween.primary.mongo.collections import collection_of

KEYS_PER_QUERY = 5000


@dataclass(frozen=True)
class Dependency:
    """The relationship *reference* of the mirrored model *owner*: its documents show the target."""

    owner: Any
    reference: schema.Reference

    @property
    def nested(self) -> bool:
        return self.reference.name in self.owner._nested_relationships

    def owners(self, pks: list[Any]) -> set[Key]:
        """Documents that refer to the objects *pks* now."""
        from bson import DBRef

        name = self.reference.target._get_collection_name()
        keys: set[Key] = set()
        for start in range(0, len(pks), KEYS_PER_QUERY):
            part = pks[start : start + KEYS_PER_QUERY]
            # With `ref_dbref` a reference is stored as one.
            values = [*part, *(DBRef(name, pk) for pk in part)] if self._by_dbref else part
            condition = {self.reference.stored: {"$in": values}}
            cursor = collection_of(self.owner).find(condition, {"_id": 1})
            keys.update(Key(self.owner.__name__, row["_id"]) for row in cursor)
        return keys

    @property
    def _by_dbref(self) -> bool:
        field = self.owner._fields[self.reference.name]
        return bool(getattr(getattr(field, "field", None) or field, "dbref", False))


class Dependencies:
    """The edges of the mirrored *models* and of those that their documents nest, looked up by the
    model that they point to."""

    def __init__(self, models: Iterable[Any]) -> None:
        self.mirrored: set[Any] = set(models)
        self.tracked_models: set[Any] = set()
        self.edges_to: dict[Any, list[Dependency]] = defaultdict(list)
        waiting = list(self.mirrored)
        while waiting:
            model = waiting.pop()
            if model in self.tracked_models:
                continue
            self.tracked_models.add(model)
            for reference in schema.references(model):
                self.edges_to[reference.target].append(Dependency(model, reference))
                waiting.append(reference.target)
        self._deepest = max((model._nesting_depth for model in self.mirrored), default=0)
        if any(schema.custom_to_dict(model) for model in self.mirrored):
            # Such a document may nest as it likes; like everywhere, as far as any model does.
            self._deepest = max(model._nesting_depth for model in self.tracked_models)

    def is_referenced(self, model: Any) -> bool:
        """True when documents may show objects of *model*."""
        return bool(self.edges_to.get(model))

    def source_models(self, model: Any) -> set[Any]:
        """Models whose objects documents of *model* may show, itself included."""
        sources = {model}
        frontier = {model}
        for _ in range(self._deepest + 1):
            frontier = {
                each.target for one in frontier for each in schema.references(one)
            } - sources
            sources |= frontier
        return sources

    def referencing_models(self, model: Any) -> list[Any]:
        """Mirrored models whose documents may show objects of *model*, besides itself."""
        owners = [
            each
            for each in self.mirrored
            if each is not model and model in self.source_models(each)
        ]
        return sorted(owners, key=lambda each: str(each.__name__))

    def untracked(self) -> list[str]:
        """What documents show that may change without a sign of it: nothing."""
        return []

    def dependents(
        self, keys: Iterable[Key], models: Mapping[str, Any], nested_only: bool = False
    ) -> set[Key]:
        """The documents of mirrored models that show the objects *keys* now: their keys, or their
        contents, directly or through each other.

        :param models: models by name.
        :param nested_only: only those that hold contents; the keys are there as before.
        """
        names = {model.__name__ for model in self.mirrored}
        reached: set[Key] = set()
        frontier = set(keys)
        # A key is listed by a document that is nested one level less deep than its object.
        for level in range(self._deepest + 1):
            frontier = self._step(frontier, models, nested_only or level > 0) - reached
            reached |= frontier
            if not frontier:
                break
        return {key for key in reached if key.model in names}

    def _step(self, keys: Iterable[Key], models: Mapping[str, Any], nested_only: bool) -> set[Key]:
        by_model: dict[str, list[Any]] = defaultdict(list)
        for key in keys:
            by_model[key.model].append(key.pk)
        reached: set[Key] = set()
        for name, pks in by_model.items():
            for edge in self.edges_to.get(models[name], ()):
                if edge.nested or not nested_only:
                    reached |= edge.owners(pks)
        return reached
