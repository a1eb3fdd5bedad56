"""One application of random models in this process, and how its mirrors differ from its rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session as PlainSession
from sqlalchemy.orm import class_mapper

from nefertari_search_tween.documents.format import EXACT
from tests.support.generated import make_application

MAX_DOCUMENTS = 1000


class Application:
    """The application of the models in *text*.

    :param url: of an empty database.
    :param folder: of the indices.
    :ivar changes: how many documents have changed between the last two comparisons.
    """

    def __init__(self, text: str, url: str, folder: Path, settings: dict[str, str]) -> None:
        if url.startswith("sqlite"):
            event.listen(Engine, "connect", _switch_foreign_keys_on)
        _, registry, self.models = make_application(text, url, folder, settings)
        self.runtime = registry.nefertari_search
        from pyramid_sqlalchemy import BaseObject

        self.changes = 0
        self._last: dict[tuple[str, str], Any] = {}
        self.metadata = BaseObject.metadata
        self.engine = self.metadata.bind

    def install_triggers(self) -> None:
        from nefertari_search_tween.primary.sqla.capture.triggers import install

        install.install(self.engine, self.runtime.primary.dependencies)
        self.runtime.outbox.triggers = True

    @property
    def classes(self) -> list[Any]:
        """All mapped classes, by name."""
        from pyramid_sqlalchemy import BaseObject

        registry = BaseObject._decl_class_registry
        return [
            registry[name] for name in sorted(registry) if hasattr(registry[name], "__mapper__")
        ]

    @property
    def tables(self) -> list[Any]:
        """The application's own tables, those that others refer to first."""
        return [
            table
            for table in self.metadata.sorted_tables
            if not table.name.startswith("nefertari_search_")
        ]

    @property
    def trusted(self) -> list[Any]:
        """The mirrors that transparent reads are answered by."""
        untracked = self.runtime.dependencies.untracked()
        return [mirror for mirror in self.runtime.mirrors if mirror.name not in untracked]

    def differences(self) -> Iterator[str]:
        """Index what is pending, and yield how trusted mirrors differ from the primary."""
        self.runtime.indexer.drain()
        names = {mirror.name for mirror in self.runtime.mirrors}
        pending = self.runtime.outbox.backlog()
        for name in sorted(names & pending.keys()):
            yield f"{name}: {pending[name].rows} rows are left pending"
        for letter in self.runtime.outbox.dead_letters():
            yield f"{letter.key.model} {letter.key.pk}: dead letter: {letter.error}"
        rendered: dict[tuple[str, str], Any] = {}
        for mirror in self.trusted:
            documents, objects = self._documents(mirror), self._objects(mirror.model)
            rendered.update({(mirror.name, pk): each for pk, each in objects.items()})
            for pk in sorted({*documents, *objects}):
                if documents.get(pk) != objects.get(pk):
                    yield (
                        f"{mirror.name} {pk}: the index has {json.dumps(documents.get(pk))}, "
                        f"the primary {json.dumps(objects.get(pk))}"
                    )
        last, self._last = self._last, rendered
        keys = last.keys() | rendered.keys()
        self.changes = sum(last.get(key) != rendered.get(key) for key in keys)

    def _documents(self, mirror: Any) -> dict[str, Any]:
        """Return what the index of *mirror* holds."""
        mirror.backend.refresh(mirror.alias)
        hits = mirror.backend.search(mirror.alias, {"size": MAX_DOCUMENTS})["hits"]["hits"]
        return {hit["_id"]: _comparable(mirror.model, hit["_source"]) for hit in hits}

    def _objects(self, model: Any) -> dict[str, Any]:
        """Return what nefertari itself renders of each object, read by a session of its own."""
        session = PlainSession(bind=self.engine)
        try:
            bodies = [item.to_dict() for item in session.query(model)]
            return {
                each["_pk"]: _comparable(model, json.loads(json.dumps(each))) for each in bodies
            }
        finally:
            session.close()


def _switch_foreign_keys_on(connection: Any, record: Any) -> None:
    connection.execute("PRAGMA foreign_keys = ON")


def _comparable(model: Any, document: dict[str, Any]) -> dict[str, Any]:
    """Return *document* with the lists sorted whose order is not defined."""
    comparable = {name: value for name, value in document.items() if name != EXACT}
    for prop in class_mapper(model).relationships:
        value = comparable.get(prop.key)
        target = prop.mapper.class_
        if isinstance(value, dict):
            comparable[prop.key] = _comparable(_class_of(value, target), value)
        elif isinstance(value, list):
            items = [
                _comparable(_class_of(each, target), each) if isinstance(each, dict) else each
                for each in value
            ]
            comparable[prop.key] = items if prop.order_by else sorted(items, key=json.dumps)
    return comparable


def _class_of(document: dict[str, Any], base: Any) -> Any:
    """Return the class of a nested *document*: *base*, or one that inherits from it."""
    for mapper in base.__mapper__.self_and_descendants:
        if mapper.class_.__name__ == document["_type"]:
            return mapper.class_
    return base
