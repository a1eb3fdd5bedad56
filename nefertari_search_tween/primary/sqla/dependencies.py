"""Which documents depend on an object: the relationships between models, and how to follow them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sqlalchemy import Column
from sqlalchemy.orm.interfaces import MANYTOONE, ONETOMANY

from nefertari_search_tween.interfaces.primary import Key
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

    def cascades(self) -> bool:
        """Return True if the database deletes the owner's row with the target."""
        return self.prop.direction is MANYTOONE and any(
            (key.ondelete or "").upper() == "CASCADE"
            for column in self.prop.local_columns
            for key in column.foreign_keys
        )


class Dependencies:
    """The dependencies of the mirrored *models*, by the model that they point to."""

    def __init__(self, models: Iterable[Any]) -> None:
        self.edges_to: dict[Any, list[Dependency]] = defaultdict(list)
        self.tracked_models: set[Any] = set()
        self._mirrored: set[Any] = set(models)
        for model in self._mirrored:
            self.tracked_models.add(model)
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

    def is_referenced(self, model: Any) -> bool:
        """Return True if documents may depend on objects of *model*."""
        return bool(self.edges_to.get(model))

    @property
    def mirrored_models(self) -> set[Any]:
        return self._mirrored

    def mirrored(self, model: Any) -> bool:
        return model in self._mirrored

    def untracked(self) -> list[str]:
        """Return what documents hold that may change without a notice, a line for each.

        It may be stale in a mirror until the object itself changes, or a rebuild.
        """
        lines = []
        for model in sorted(self._mirrored, key=lambda each: str(each.__name__)):
            name = model.__name__
            for prop in schema.mapper_of(model).relationships:
                edge = Dependency(model, prop)
                target = edge.target.__name__
                if prop.viewonly:
                    lines.append(f"{name}.{prop.key} is a view of {target}")
                elif prop.direction is ONETOMANY and edge.foreign_key() is None:
                    lines.append(f"{name}.{prop.key} is not joined by {name}'s primary key")
            for prop in schema.mapper_of(model).column_attrs:
                if not all(isinstance(column, Column) for column in prop.columns):
                    lines.append(f"{name}.{prop.key} is computed by the database")
        return lines

    def dependents(
        self, session: Any, model: Any, pks: Iterable[Any], nested_only: bool = False
    ) -> set[Key]:
        """Return the documents with a relationship to the objects *pks*, as the database has it.

        :param nested_only: only those that hold the objects' contents, or an order that depends on
            them.
        """
        keys = list(pks)
        documents: set[Key] = set()
        if not keys:
            return documents
        for edge in self.edges_to.get(model, ()):
            if nested_only and not (edge.nested or edge.ordered):
                continue
            with session.no_autoflush:
                pairs = related_keys(session, edge.owner, edge.prop, keys, of_targets=True)
            documents.update(Key(edge.owner.__name__, owner) for owner, _ in pairs)
        return documents

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
                    with session.no_autoflush:
                        pairs = related_keys(
                            session, edge.owner, edge.prop, sorted(keys), of_targets=True
                        )
                    pending.append((edge.owner, {owner for owner, _ in pairs}))
        return documents

    @cached_property
    def _levels(self) -> int:
        """Return the number of steps from an object to every document that depends on its contents.

        A document nests at most _nesting_depth levels; the innermost ones list keys, in an order
        that may depend on contents one level further down.
        """
        ordered = any(edge.ordered for edges in self.edges_to.values() for edge in edges)
        return max((model._nesting_depth for model in self._mirrored), default=0) + ordered

    def embedding(self, session: Any, keys: Iterable[Key], models: dict[str, Any]) -> set[Key]:
        """Return the documents that hold the contents of *keys*, directly or through each other, or
        an order that depends on them.

        :param models: models by name.
        """
        documents: set[Key] = set()
        frontier = set(keys)
        for _ in range(self._levels):
            by_model: dict[str, list[Any]] = defaultdict(list)
            for key in frontier:
                by_model[key.model].append(key.pk)
            reached: set[Key] = set()
            for name, pks in by_model.items():
                reached |= self.dependents(session, models[name], pks, nested_only=True)
            frontier = reached - documents
            documents |= reached
            if not frontier:
                break
        return documents
