"""What the dependencies of both primaries have in common: edges between models, and walks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Callable, Generic, Protocol, TypeVar

from nefertari_search_tween.interfaces.primary import Key, keys_by_model


class DependencyBase(Protocol):
    """A relationship of the model *owner*: its documents depend on the objects that it points to.

    :ivar holds_contents: they hold the objects' contents, or an order that depends on them, not
        only their keys.
    """

    @property
    def holds_contents(self) -> bool: ...


Relation = TypeVar("Relation", bound=DependencyBase)
Owners = Callable[[Relation, list[Any]], set[Key]]


class DependenciesBase(Generic[Relation]):
    """The dependencies of the mirrored *models*, by the model that they point to.

    :ivar tracked_models: the models whose changes affect documents; added to by the primary.
    :ivar edges_to: filled by the primary.
    """

    def __init__(self, models: Iterable[Any]) -> None:
        self.mirrored_models: set[Any] = set(models)
        self.tracked_models: set[Any] = set(self.mirrored_models)
        self.edges_to: dict[Any, list[Relation]] = defaultdict(list)
        self.deepest = max((model._nesting_depth for model in self.mirrored_models), default=0)

    @property
    def models(self) -> dict[str, Any]:
        """The tracked models by name."""
        return _by_name(self.tracked_models)

    @property
    def mirrored(self) -> dict[str, Any]:
        """The mirrored models by name."""
        return _by_name(self.mirrored_models)

    def is_referenced(self, model: Any) -> bool:
        """Return True if documents may depend on objects of *model*."""
        return bool(self.edges_to.get(model))

    def _dependents(
        self, owners: Owners[Relation], model: Any, pks: list[Any], contents_only: bool
    ) -> set[Key]:
        """Return the documents with a relationship to the objects *pks* of *model*.

        :param owners: returns the documents that an edge leads to from these keys.
        :param contents_only: only those that hold the objects' contents.
        """
        documents: set[Key] = set()
        for edge in self.edges_to.get(model, ()):
            if edge.holds_contents or not contents_only:
                documents |= owners(edge, pks)
        return documents

    def _walk(
        self, owners: Owners[Relation], keys: Iterable[Key], steps: Iterable[bool]
    ) -> set[Key]:
        """Return the documents that depend on *keys*, directly or through each other.

        :param steps: for each step whether it follows only edges that hold contents.
        """
        models = self.models
        reached: set[Key] = set()
        frontier = set(keys)
        for contents_only in steps:
            step: set[Key] = set()
            for name, pks in keys_by_model(frontier).items():
                step |= self._dependents(owners, models[name], pks, contents_only)
            frontier = step - reached
            reached |= frontier
            if not frontier:
                break
        return reached


def _by_name(models: Iterable[Any]) -> dict[str, Any]:
    return {model.__name__: model for model in models}
