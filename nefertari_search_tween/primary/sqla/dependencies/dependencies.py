"""Which documents depend on a row: the closure of what the mirrored models' documents show."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Callable

from sqlalchemy import Column

from nefertari_search_tween.concurrency.forks import LazyAttribute
from nefertari_search_tween.interfaces.primary import Key
from nefertari_search_tween.primary.dependencies_base import DependenciesBase
from nefertari_search_tween.primary.sqla import schema
from nefertari_search_tween.primary.sqla.dependencies.keys import DatabaseKeys
from nefertari_search_tween.primary.sqla.dependencies.relationships import Dependency
from nefertari_search_tween.primary.sqla.dependencies.tables import WatchedTable, watched_tables
from nefertari_search_tween.primary.sqla.plain_query import connection_of


class Dependencies(DependenciesBase[Dependency]):
    """The dependencies of the mirrored *models*, by the model that they point to.

    :ivar tables: the tables by which documents may change.
    """

    def __init__(self, models: Iterable[Any]) -> None:
        super().__init__(models)
        self._rendered = {model: dict(self._rendered_by(model)) for model in self.mirrored_models}
        rendered = {each for depths in self._rendered.values() for each in depths}
        self._edges: list[Dependency] = []
        for model in sorted(rendered, key=lambda each: str(each.__name__)):
            for prop in schema.mapper_of(model).relationships:
                edge = Dependency(model, prop)
                self._edges.append(edge)
                if not edge.joinable:
                    continue
                # An object of a subclass is listed as one of the class is.
                for mapper in prop.mapper.self_and_descendants:
                    self.edges_to[mapper.class_].append(edge)
                    self.tracked_models.add(mapper.class_)
        self.tracked_models |= rendered
        self.tables: dict[Any, WatchedTable] = watched_tables(
            (each for each in self.tracked_models if len(schema.mapper_of(each).primary_key) == 1),
            (edge for edge in self._edges if edge.joinable),
        )

    @LazyAttribute
    def table_names(self) -> frozenset[str]:
        """The names of the watched tables, in small letters."""
        return frozenset(str(table.name).lower() for table in self.tables)

    @property
    def mapper(self) -> Any:
        """The mapper of a mirrored model, which says to a session whose database it is; None if
        there is none."""
        return next(map(schema.mapper_of, self.mirrored_models), None)

    def is_listed_by_contents(self, model: Any) -> bool:
        """Return True if an object of *model* is on lists that depend on more than keys."""
        return any(edge.follows_contents for edge in self.edges_to.get(model, ()))

    def depth(self, model: Any) -> int:
        """Return how many levels the documents of *model* nest."""
        if schema.custom_to_dict(model):
            # It may nest anything: as far as any model does.
            return max(getattr(each, "_nesting_depth", 0) for each in self.tracked_models)
        return int(model._nesting_depth)

    def _rendered_by(self, model: Any) -> Iterator[tuple[Any, int]]:
        """Yield the models whose relationships the documents of *model* show, with the number of
        levels that are left below."""
        frontier = {model}
        visited: set[Any] = set()
        for depth in range(self.depth(model), -1, -1):
            # What is reached later shows less than it did on a higher level.
            frontier -= visited
            visited |= frontier
            yield from ((each, depth) for each in frontier)
            frontier = {
                mapper.class_
                for each in frontier
                for prop in schema.mapper_of(each).relationships
                if prop.key in getattr(each, "_nested_relationships", ())
                for mapper in prop.mapper.self_and_descendants
            }

    def untracked(self) -> dict[str, list[str]]:
        lines: dict[str, list[str]] = {}
        keys = DatabaseKeys()
        for name, model in sorted(self.mirrored.items()):
            reasons = [
                line
                for each in sorted(self._rendered[model], key=lambda each: str(each.__name__))
                for line in self._untracked_in(each, keys)
            ]
            if reasons:
                lines[name] = reasons
        return lines

    def _untracked_in(self, model: Any, keys: DatabaseKeys) -> Iterator[str]:
        if not all(map(keys.has, schema.mapper_of(model).primary_key)):
            yield f"{model.__name__}.{model.pk_field()} (in the database it is no key)"
        for edge in self._edges:
            if edge.owner is model and edge.reason is not None:
                yield f"{model.__name__}.{edge.prop.key} ({edge.reason})"
        for prop in schema.mapper_of(model).column_attrs:
            if not all(isinstance(column, Column) for column in prop.columns):
                yield f"{model.__name__}.{prop.key} (it is computed by the database)"

    def whole_models(self, watched: WatchedTable) -> set[Key]:
        """Return whole-model keys for all mirrored models whose documents may depend on rows of a
        table."""
        names: set[str] = set()
        pending = [watched]
        visited = {watched.table}
        while pending:
            each = pending.pop()
            names |= {name for name, _, _ in each.models}
            names |= {lookup.edge.owner.__name__ for lookup in each.lookups}
            for cascade in each.cascades:
                if cascade.table not in visited:
                    visited.add(cascade.table)
                    pending.append(self.tables[cascade.table])
        models = self.models
        frontier = {models[name] for name in names}
        reached: set[Any] = set()
        while frontier:
            reached |= frontier
            frontier = {e.owner for each in frontier for e in self.edges_to.get(each, ())} - reached
        return {Key.whole_model(each.__name__) for each in reached & self.mirrored_models}

    @LazyAttribute
    def _levels(self) -> int:
        """Return the number of steps from an object to every document that depends on its contents.

        A document nests at most _nesting_depth levels; the innermost ones list keys, in an order
        that may depend on contents one level further down.
        """
        listed = any(edge.follows_contents for edges in self.edges_to.values() for edge in edges)
        return self.deepest + listed

    def embedding(self, session: Any, keys: Iterable[Key]) -> set[Key]:
        """Return the documents that hold the contents of *keys*, directly or through each other, or
        a list that depends on them."""
        keys = {key for key in keys if key.pk is not None}
        return self._walk(_owners(session), keys, [True] * self._levels) if keys else set()


def _owners(session: Any) -> Callable[[Dependency, list[Any]], set[Key]]:
    return lambda edge, pks: edge.owners(connection_of(session, schema.mapper_of(edge.owner)), pks)
