"""Which documents depend on an object: the relationships between models, and how to follow them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Callable

from sqlalchemy import Column
from sqlalchemy.orm.interfaces import MANYTOONE, ONETOMANY

from nefertari_search_tween.forks import LazyAttribute
from nefertari_search_tween.interfaces.primary import Key
from nefertari_search_tween.primary.dependencies_base import DependenciesBase
from nefertari_search_tween.primary.sqla import schema
from nefertari_search_tween.primary.sqla.reader import related_keys


@dataclass(frozen=True)
class Dependency:
    """The relationship *prop* of the mirrored model *owner*: its documents depend on the target."""

    owner: Any
    prop: Any

    @property
    def nested(self) -> bool:
        return self.prop.key in self.owner._nested_relationships

    @property
    def ordered(self) -> bool:
        """Return True if the documents list their targets in an order of the relationship's own:
        a change of a target's contents may change it, although the listed keys stay the same."""
        return bool(self.prop.order_by)

    @property
    def holds_contents(self) -> bool:
        return self.nested or self.ordered

    @property
    def target(self) -> Any:
        return self.prop.mapper.class_

    def foreign_key(self) -> Any:
        """Return the attribute of the target that holds the owner's primary key, in a one-to-many
        relationship; None in any other."""
        prop = self.prop
        if prop.direction is not ONETOMANY or len(prop.local_remote_pairs) != 1:
            return None
        local, remote = prop.local_remote_pairs[0]
        if local is not schema.mapper_of(self.owner).primary_key[0]:
            return None
        return prop.mapper.get_property_by_column(remote).key

    def owners(self, session: Any, pks: list[Any]) -> set[Key]:
        """Return the documents that depend on the objects *pks*, as the database has it."""
        with session.no_autoflush:
            pairs = related_keys(session, self.owner, self.prop, pks, of_targets=True)
        return {Key(self.owner.__name__, owner) for owner, _ in pairs}

    def cascades(self) -> bool:
        """Return True if the database deletes the owner's row with the target."""
        return self.prop.direction is MANYTOONE and any(
            (key.ondelete or "").upper() == "CASCADE"
            for column in self.prop.local_columns
            for key in column.foreign_keys
        )


class Dependencies(DependenciesBase[Dependency]):
    """The dependencies of the mirrored *models*, by the model that they point to."""

    def __init__(self, models: Iterable[Any]) -> None:
        super().__init__(models)
        for model in self.mirrored_models:
            for prop in schema.mapper_of(model).relationships:
                edge = Dependency(model, prop)
                self.edges_to[edge.target].append(edge)
                self.tracked_models.add(edge.target)
        self._foreign_keys = {
            model: {
                edge.foreign_key(): edge
                for edge in self.edges_to[model]
                if edge.foreign_key() is not None
            }
            for model in list(self.edges_to)
        }

    def foreign_keys(self, model: Any) -> dict[str, Dependency]:
        """Return the attributes of *model* that hold the key of a document that lists it."""
        return self._foreign_keys.get(model, {})

    def untracked(self) -> dict[str, list[str]]:
        lines = {
            name: [line for each in _documented(model) for line in _untracked_members(each)]
            for name, model in sorted(self.mirrored.items())
        }
        return {name: reasons for name, reasons in lines.items() if reasons}

    def dependents(self, session: Any, model: Any, pks: Iterable[Any]) -> set[Key]:
        """Return the documents with a relationship to the objects *pks*, as the database has it."""
        return self._dependents(_owners(session), model, list(pks), contents_only=False)

    def dependents_of_deleted(self, session: Any, model: Any, pks: Iterable[Any]) -> set[Key]:
        """Return the documents that change when the objects *pks* of *model* are deleted.

        Follows the database's own ON DELETE CASCADE. Call it before the delete.
        """
        documents: set[Key] = set()
        pending = [(model, set(pks))]
        done: set[tuple[Any, Any]] = set()
        while pending:
            current, keys = pending.pop()
            keys = {key for key in keys if (current, key) not in done}
            done.update((current, key) for key in keys)
            if not keys:
                continue
            documents |= self.dependents(session, current, keys)
            for edge in self.edges_to.get(current, ()):
                if edge.cascades():
                    owners = edge.owners(session, sorted(keys))
                    pending.append((edge.owner, {owner.pk for owner in owners}))
        return documents

    @LazyAttribute
    def _levels(self) -> int:
        """Return the number of steps from an object to every document that depends on its contents.

        A document nests at most _nesting_depth levels; the innermost ones list keys, in an order
        that may depend on contents one level further down.
        """
        ordered = any(edge.ordered for edges in self.edges_to.values() for edge in edges)
        return self.deepest + ordered

    def embedding(self, session: Any, keys: Iterable[Key]) -> set[Key]:
        """Return the documents that hold the contents of *keys*, directly or through each other, or
        an order that depends on them."""
        return self._walk(_owners(session), keys, [True] * self._levels)


def _documented(model: Any) -> dict[Any, None]:
    """Return *model* and those that its documents nest, to their depth."""
    models = {model: None}
    frontier = [model]
    for _ in range(model._nesting_depth):
        frontier = [
            prop.mapper.class_
            for each in frontier
            for prop in schema.mapper_of(each).relationships
            if prop.key in each._nested_relationships
        ]
        models.update(dict.fromkeys(frontier))
    return models


def _untracked_members(model: Any) -> Iterator[str]:
    """Yield the members of *model* that may change without a notice, and why."""
    for prop in schema.mapper_of(model).relationships:
        edge = Dependency(model, prop)
        target = edge.target.__name__
        if prop.viewonly:
            yield f"{model.__name__}.{prop.key} is a view of {target}"
        elif prop.direction is ONETOMANY and edge.foreign_key() is None:
            yield f"{model.__name__}.{prop.key} is not joined by {model.__name__}'s primary key"
    for prop in schema.mapper_of(model).column_attrs:
        if not all(isinstance(column, Column) for column in prop.columns):
            yield f"{model.__name__}.{prop.key} is computed by the database"


def _owners(session: Any) -> Callable[[Dependency, list[Any]], set[Key]]:
    return lambda edge, pks: edge.owners(session, pks)
