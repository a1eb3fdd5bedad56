"""Which documents depend on an object: relationships between models, by what is stored now.

Each document holds the keys of the objects that it refers to. So the dependents of an object can
be found at any time, also after it was deleted; nothing has to be remembered from before.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from nefertari_search_tween.chunks import chunks
from nefertari_search_tween.interfaces.primary import Key
from nefertari_search_tween.primary.dependencies_base import DependenciesBase
from nefertari_search_tween.primary.mongo import schema
from nefertari_search_tween.primary.mongo.collections import collection_of

KEYS_PER_QUERY = 5000


@dataclass(frozen=True)
class Dependency:
    """The relationship *reference* of the model *owner*: its documents depend on the target."""

    owner: Any
    reference: schema.Reference

    @property
    def holds_contents(self) -> bool:
        return self.reference.name in self.owner._nested_relationships

    def owners(self, pks: list[Any]) -> set[Key]:
        """Return the documents that refer to the objects *pks* now."""
        from bson import DBRef

        name = self.reference.target._get_collection_name()
        keys: set[Key] = set()
        for part in chunks(pks, KEYS_PER_QUERY):
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


class Dependencies(DependenciesBase[Dependency]):
    """The edges of the mirrored *models* and of those that their documents nest, looked up by the
    model that they point to."""

    def __init__(self, models: Iterable[Any]) -> None:
        super().__init__(models)
        pending = list(self.mirrored_models)
        while pending:
            model = pending.pop()
            for reference in schema.references(model):
                self.edges_to[reference.target].append(Dependency(model, reference))
                if reference.target not in self.tracked_models:
                    self.tracked_models.add(reference.target)
                    pending.append(reference.target)
        if any(schema.custom_to_dict(model) for model in self.mirrored_models):
            # Such a document may nest as it likes; like everywhere, as far as any model does.
            self.deepest = max(model._nesting_depth for model in self.tracked_models)

    def referencing_models(self, model: Any) -> list[Any]:
        """Return the other mirrored models whose documents may depend on objects of *model*."""
        owners: set[Any] = set()
        frontier = {model}
        for _ in range(self.deepest + 1):
            frontier = {
                edge.owner for each in frontier for edge in self.edges_to.get(each, ())
            } - owners
            owners |= frontier
        return sorted(owners & self.mirrored_models - {model}, key=lambda each: str(each.__name__))

    def untracked(self) -> dict[str, list[str]]:
        # What a model's own ``to_dict`` renders is no matter of dependencies: the primary answers
        # its transparent reads in any case.
        return {}

    def dependents(self, keys: Iterable[Key], nested_only: bool = False) -> set[Key]:
        """Return the documents of mirrored models that hold the keys or the contents of the objects
        *keys* now, directly or through each other.

        :param nested_only: only those that hold contents.
        """
        # A key is listed by a document that is nested one level less deep than its object.
        steps = [nested_only, *([True] * self.deepest)]
        reached = self._walk(Dependency.owners, keys, steps)
        mirrored = self.mirrored
        return {key for key in reached if key.model in mirrored}
