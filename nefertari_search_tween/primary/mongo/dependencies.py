"""Which documents depend on an object: relationships between models, by what is stored now.

Each document holds the keys of the objects that it refers to. So the dependents of an object can
be found at any time, also after it was deleted; nothing has to be remembered from before.
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
    """The relationship *reference* of the model *owner*: its documents depend on the target."""

    owner: Any
    reference: schema.Reference

    @property
    def nested(self) -> bool:
        return self.reference.name in self.owner._nested_relationships

    def owners(self, pks: list[Any]) -> set[Key]:
        """Return the documents that refer to the objects *pks* now."""
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
        pending = list(self.mirrored)
        while pending:
            model = pending.pop()
            if model in self.tracked_models:
                continue
            self.tracked_models.add(model)
            for reference in schema.references(model):
                self.edges_to[reference.target].append(Dependency(model, reference))
                pending.append(reference.target)
        self._deepest = max((model._nesting_depth for model in self.mirrored), default=0)
        if any(schema.custom_to_dict(model) for model in self.mirrored):
            # Such a document may nest as it likes; like everywhere, as far as any model does.
            self._deepest = max(model._nesting_depth for model in self.tracked_models)

    def is_referenced(self, model: Any) -> bool:
        """Return True if documents may depend on objects of *model*."""
        return bool(self.edges_to.get(model))

    def source_models(self, model: Any) -> set[Any]:
        """Return the models whose objects documents of *model* may depend on, itself included."""
        sources = {model}
        frontier = {model}
        for _ in range(self._deepest + 1):
            frontier = {
                each.target for one in frontier for each in schema.references(one)
            } - sources
            sources |= frontier
        return sources

    def referencing_models(self, model: Any) -> list[Any]:
        """Return the other mirrored models whose documents may depend on objects of *model*."""
        owners = [
            each
            for each in self.mirrored
            if each is not model and model in self.source_models(each)
        ]
        return sorted(owners, key=lambda each: str(each.__name__))

    def untracked(self) -> list[str]:
        """Return what documents hold that may change without a notice: nothing."""
        return []

    def dependents(
        self, keys: Iterable[Key], models: Mapping[str, Any], nested_only: bool = False
    ) -> set[Key]:
        """Return the documents of mirrored models that hold the keys or the contents of the objects
        *keys* now, directly or through each other.

        :param models: models by name.
        :param nested_only: only those that hold contents.
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
