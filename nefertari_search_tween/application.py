"""The search of one application: what it is made of, in the order in which it is made.

With the package's ``__init__``, ``compat``, ``scripts`` and ``web``, the only place that sees
both sides, reading (``search``) and writing (``indexing``).
"""

from __future__ import annotations

import logging
from contextvars import ContextVar
from typing import Any, Optional

from pyramid.settings import aslist

from nefertari_search_tween.backends import make_backend
from nefertari_search_tween.backends.analysis import definitions
from nefertari_search_tween.engine.documents import BaseDocument
from nefertari_search_tween.exceptions import ConfigurationError
from nefertari_search_tween.indexing.alarm import News
from nefertari_search_tween.indexing.changes import ChangeFeed
from nefertari_search_tween.indexing.indexer import Indexer
from nefertari_search_tween.mirror.analyzers import choose_analyzers
from nefertari_search_tween.mirror.generator import generate
from nefertari_search_tween.mirror.marks import marked
from nefertari_search_tween.mirror.registry import Mirrors
from nefertari_search_tween.primary.base import Key
from nefertari_search_tween.search.interception import intercepted
from nefertari_search_tween.search.routing import Router
from nefertari_search_tween.search.several_reading import SeveralSearcher
from nefertari_search_tween.settings import Settings

log = logging.getLogger(__name__)

#: False where an application is made by the command that will build its indices.
validates: ContextVar[bool] = ContextVar("validates", default=True)


class Search:
    """Everything of one application; ``registry.nefertari_search``.

    :param registry: the application's registry; its models and resources are complete.
    :raises ConfigurationError: a bad setting, or a model that can't be mirrored was named.
    """

    def __init__(self, registry: Any) -> None:
        from nefertari import engine
        from nefertari_sqla.utils import FieldsQuerySet
        from sqlalchemy.orm import Query

        from nefertari_search_tween.compat import guards
        from nefertari_search_tween.compat.writing import refresh_asked_now
        from nefertari_search_tween.primary.sqla import schema, tables, triggers
        from nefertari_search_tween.primary.sqla.hooks import SessionHooks
        from nefertari_search_tween.primary.sqla.outbox import SqlaOutbox
        from nefertari_search_tween.primary.sqla.reader import Sources, SqlaReader
        from nefertari_search_tween.primary.sqla.rebuilds import SqlaRebuilds
        from nefertari_search_tween.primary.sqla.relations import Relations
        from nefertari_search_tween.primary.sqla.semantics import SqlaSemantics
        from nefertari_search_tween.primary.sqla.spreading import Spreader

        guards.install()
        self.registry = registry
        self.settings = Settings(registry.settings, registry.package_name)
        self.backend = make_backend(*self.settings.backend, self.settings.connection)
        log.info("mirrors live in %s", self.settings.where)
        self.models = schema.models()
        self._documents: dict[Any, type[BaseDocument]] = {}
        index_settings = {
            "index.max_result_window": self.settings.max_result_window,
            **self.settings.index_settings_file,
        }
        self.mirrors = Mirrors(
            self.backend,
            self.settings.index_name,
            index_settings,
            self.settings.model_index_settings,
            self.settings.index_settings_file.path,
        )
        chosen = self._chosen()
        # Related models first: mappings of nested documents need their fields.
        for model in chosen:
            self._with_related(model)
        self._check_names(chosen)
        choose_analyzers(
            {model.__name__: self.document_cls(model) for model in self._documents},
            self.settings.analyzer,
            self.settings.analyzers,
            any(
                ("analyzer", "default") in definitions(each)
                for each in (index_settings, *self.settings.model_index_settings.values())
            ),
        )
        sources = Sources(self.document_cls, engine.JSONEncoder)
        for model in chosen:
            bind = _bind_of(model)
            document_cls = self.document_cls(model)
            self.mirrors.add(model, document_cls, SqlaReader(model, sources, bind))
            model.secondary = document_cls
        self.relations = Relations(chosen)
        unfollowed = self.relations.unfollowed()
        if unfollowed:
            log.warning(
                "changes of other objects can't always be followed to the documents that show "
                "them: %s (docs/limits.rst)",
                "; ".join(unfollowed),
            )
        # This application's own, also when another one is made later in this process.
        engine_of_outbox = _engine()
        tables.create_missing(engine_of_outbox)
        self.outbox = SqlaOutbox(
            {model.__name__: model for model in chosen},
            Spreader(self.relations),
            lambda: engine_of_outbox,
            owned=self.settings.sync == "inline",
        )
        self.outbox.triggers = triggers.present(engine_of_outbox)
        self.rebuilds = SqlaRebuilds(
            {model.__name__: model for model in chosen}, lambda: engine_of_outbox
        )
        self.indexer = Indexer(
            self.mirrors,
            self.outbox,
            self.settings.chunk_size,
            self.settings.timeout,
            refresh_asked_now(self.settings),
        )
        feed = ChangeFeed(
            registry,
            self.mirrors,
            self.outbox,
            {model.__name__: model for model in self.relations.watched},
            lambda session, keys: self.relations.embedding(session, keys, self.models),
            self.indexer.index_committed,
        )
        self.hooks = SessionHooks(self.relations, feed)
        self.searcher = SeveralSearcher(
            self.mirrors,
            self.settings,
            {
                model.__name__: SqlaSemantics(model, self.document_cls(model), _bind_of(model))
                for model in chosen
            },
            state=self.outbox.state,
            mark=self.outbox.mark,
            passed=self.outbox.passed,
            dirty=self._dirty,
            query_class=Query,
            rows=FieldsQuerySet,
        )
        resources = set(getattr(registry, "_resources_map", {}).values())
        self.router = Router(self.settings, self.mirrors, resources)

    def watch(self) -> None:
        """A request came: this process serves, and takes over what a killed one left."""
        if self.outbox.owned:
            self.indexer.background.watch()

    def news(self) -> Optional[News]:
        """Where workers hear of what was recorded; None: they have to look.

        With inline sync nobody tells: the process that records does the work.
        """
        from nefertari_search_tween.primary.sqla.bell import listener

        return None if self.outbox.owned else listener(self.outbox.engine)

    def document_cls(self, model: Any) -> type[BaseDocument]:
        """The mirror model of *model*, generated at the first call."""
        from nefertari_search_tween.primary.sqla import schema

        if model not in self._documents:
            self._documents[model] = generate(
                model,
                schema.field_specs(model),
                schema.base_class(),
                schema.custom_to_dict(model),
            )
        return self._documents[model]

    def install(self) -> None:
        """Take over: hooks of the primary, ``get_collection``, the drop-in.

        Models and sessions are global in nefertari, so the application made last has them.
        """
        from nefertari.utils import dictset
        from nefertari_sqla import BaseMixin

        from nefertari_search_tween.compat import aggregations, wrappers
        from nefertari_search_tween.compat.elasticsearch import ES, NoClient
        from nefertari_search_tween.primary.sqla.access import visible_only
        from nefertari_search_tween.primary.sqla.hooks import remove_engine_hooks

        wrappers.install()
        if ES.current is not None:
            ES.current.hooks.remove()
            ES.current.indexer.background.stop()
        remove_engine_hooks(self.models.values())
        self.hooks.install()
        BaseMixin.get_collection = classmethod(
            intercepted(BaseMixin.get_collection.__func__, self.searcher, visible_only)
        )
        ES.setup(dictset(self.registry.settings))
        ES.settings["index_name"] = self.settings.index_name
        # The raw client, for applications that use it.
        ES.api = getattr(self.backend, "client", NoClient())
        ES.current = self
        aggregations.install()

    def prepare(self) -> None:
        """Look at the indices, as ``nefertari_search.schema`` says.

        :raises ConfigurationError: it says that they must be there, and they are not.
        """
        schema = self.settings.schema
        if schema == "validate" and not validates.get():
            schema = "none"
        self.mirrors.prepare(schema)

    def index_keys(self, keys: set[Key]) -> None:
        """These documents are to be indexed: with the running transaction, if it has changed
        something (nobody sees that before its end, and it may hold the database's only lock),
        else now."""
        from pyramid_sqlalchemy import Session

        if not keys:
            return
        if self._dirty():
            self.outbox.record(Session(), keys)
        else:
            self.outbox.add(keys)
            self.indexer.index_waiting()

    def _chosen(self) -> list[Any]:
        """The models to mirror."""
        from nefertari_search_tween.primary.sqla import schema

        named = self.settings.models
        unknown = [name for name in named if name != "*" and name not in self.models]
        if unknown:
            raise ConfigurationError(
                f"nefertari_search.models: there is no model {', '.join(unknown)}"
            )
        chosen = []
        for name, model in sorted(self.models.items()):
            if named:
                wanted = name in named or "*" in named
            else:
                wanted = bool(getattr(model, "_index_enabled", False)) or marked(model)
            if not wanted:
                continue
            problem = schema.unmirrorable(model)
            if problem is None:
                chosen.append(model)
            elif name in named:
                raise ConfigurationError(f"nefertari_search.models: {name} {problem}")
            else:
                log.warning("%s is not mirrored: it %s", name, problem)
        return chosen

    def _check_names(self, chosen: list[Any]) -> None:
        """Models that settings name must be there."""
        mirrored = {model.__name__ for model in chosen}
        for name in self.settings.model_index_settings:
            if name not in mirrored:
                problem = "is not mirrored" if name in self.models else "is no model"
                key = f"nefertari_search.index_settings.{name}"
                raise ConfigurationError(f"{key}: {name} {problem}")
        documents = {model.__name__ for model in self._documents}
        for key in self.settings.analyzers:
            name = key.partition(".")[0]
            if name not in documents:
                problem = "is in no mirror" if name in self.models else "is no model"
                raise ConfigurationError(f"nefertari_search.analyzer.{key}: {name} {problem}")

    def _with_related(self, model: Any) -> None:
        from nefertari_search_tween.primary.sqla import schema

        if model in self._documents:
            return
        self.document_cls(model)
        for relationship in schema.mapper_of(model).relationships:
            self._with_related(relationship.mapper.class_)

    def _dirty(self) -> bool:
        """True when the running transaction of this thread has changed something."""
        from pyramid_sqlalchemy import Session

        if not Session.registry.has():
            return False
        session = Session()
        return bool(session.new or session.dirty or session.deleted) or self.outbox.uncommitted(
            session
        )


def declare_tables(settings: Any) -> None:
    """Let the tables of the outbox be created with those of the application's models."""
    if "nefertari_sqla" in aslist(settings.get("nefertari.engine", "")):
        import nefertari_search_tween.primary.sqla.tables  # noqa: F401


def _engine() -> Any:
    """The SQLAlchemy engine of the application, which the outbox is in."""
    from pyramid_sqlalchemy import BaseObject

    return BaseObject.metadata.bind


def _bind_of(model: Any) -> Any:
    """Gives the SQLAlchemy engine that the table of *model* is in."""

    def bind() -> Any:
        from pyramid_sqlalchemy import Session

        return Session().get_bind(model.__mapper__)

    return bind
