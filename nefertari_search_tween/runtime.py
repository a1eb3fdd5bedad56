"""The search of one application: what it is made of, in the order in which it is made.

With the package's ``__init__``, ``compat``, ``scripts`` and ``web``, the only place that sees
both sides, reading (``search``) and writing (``indexing``).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any, Optional

from nefertari_search_tween.backends import make_backend
from nefertari_search_tween.backends.analysis import definitions
from nefertari_search_tween.caching.cache import NO_CACHE, ResponseCache
from nefertari_search_tween.caching.region import make_place
from nefertari_search_tween.caching.stats_reporter import StatsReporter
from nefertari_search_tween.documents.mirror_document import BaseDocument
from nefertari_search_tween.exceptions import ConfigurationError
from nefertari_search_tween.indexing.indexer import Indexer
from nefertari_search_tween.indexing.recorder import ChangeRecorder
from nefertari_search_tween.indexing.wakeup import NotificationListener
from nefertari_search_tween.interfaces.primary import Key
from nefertari_search_tween.mirror.analyzers import choose_analyzers
from nefertari_search_tween.mirror.decorator import marked
from nefertari_search_tween.mirror.generator import generate
from nefertari_search_tween.mirror.registry import Mirror, MirrorRegistry
from nefertari_search_tween.primary import startup
from nefertari_search_tween.primary.selection import prepare_primary, primary_for
from nefertari_search_tween.search.get_collection import wrap_get_by_ids, wrap_get_collection
from nefertari_search_tween.search.multi.searcher import MultiSearcher
from nefertari_search_tween.search.routing import Router
from nefertari_search_tween.settings.index_files import window_settings
from nefertari_search_tween.settings.settings import Settings

log = logging.getLogger(__name__)

#: False where an application is made by the command that will build its indices.
validates: ContextVar[bool] = ContextVar("validates", default=True)


class SearchRuntime:
    """Everything of one application; ``registry.nefertari_search``.

    :param registry: the application's registry; its models and resources are complete.
    :raises ConfigurationError: a bad setting, or a model that can't be mirrored was named.
    """

    def __init__(self, registry: Any) -> None:
        from nefertari_search_tween.compat import guards
        from nefertari_search_tween.compat.index_calls import refresh_asked_now

        guards.install()
        self.registry = registry
        self.settings = Settings(registry.settings, registry.package_name)
        self.backend = make_backend(*self.settings.backend, self.settings.connection)
        log.info("mirrors live in %s", self.settings.where)
        self.primary = primary_for(registry.settings)
        self.models = self.primary.models
        self._documents: dict[Any, type[BaseDocument]] = {}
        index_settings = {
            **window_settings(self.settings.max_result_window),
            **self.settings.index_settings_file,
        }
        self.mirrors = MirrorRegistry(
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
            {model.__name__: self.mirror_class(model) for model in self._documents},
            self.settings.analyzer,
            self.settings.analyzers,
            any(
                ("analyzer", "default") in definitions(each)
                for each in (index_settings, *self.settings.model_index_settings.values())
            ),
        )
        reader_of = self.primary.readers(self.mirror_class)
        for model in chosen:
            document_cls = self.mirror_class(model)
            self.mirrors.add(model, document_cls, reader_of(model))
            model.secondary = document_cls
        self.dependencies = self.primary.dependencies(chosen)
        unfollowed = self.dependencies.untracked()
        if unfollowed:
            log.warning(
                "changes of other objects can't always be followed to the documents that show "
                "them: %s (docs/limits.rst)",
                "; ".join(unfollowed),
            )
        self.outbox = self.primary.outbox(self.dependencies, owned=self.settings.sync == "inline")
        self.rebuild_locks = self.primary.rebuild_locks(self.dependencies)
        self.indexer = Indexer(
            self.mirrors,
            self.outbox,
            self.settings.chunk_size,
            self.settings.search_timeout,
            refresh_asked_now(self.settings),
        )
        feed = ChangeRecorder(
            registry,
            self.mirrors,
            self.outbox,
            {model.__name__: model for model in self.dependencies.tracked_models},
            self.primary.embedding(self.dependencies),
            self.indexer.index_committed,
        )
        self.capture = self.primary.capture(self.dependencies, feed, self.outbox)
        self.cache = self._cache()
        self.searcher = MultiSearcher(
            self.mirrors,
            self.settings,
            primary=self.primary,
            pending=self.outbox,
            cache=self.cache,
        )
        resources = set(getattr(registry, "_resources_map", {}).values())
        self.router = Router(self.settings, self.mirrors, resources)

    def _cache(self) -> ResponseCache:
        """Where answers are kept, as the settings say."""
        settings = self.settings
        self.cache_stats = self.reporter = None
        if not settings.cache:
            return NO_CACHE
        place = make_place(settings.cache, settings.cache_megabytes, settings.cache_ttl)
        self.cache_stats = self.primary.cache_stats()
        name = f"{settings.index_name} in {settings.where}"
        answers = ResponseCache(place, name)
        self.reporter = StatsReporter(answers.figures, self.cache_stats.store)
        answers.counted = self.reporter.changed
        return answers

    def on_request(self) -> None:
        """A request came: this process serves, and takes over what a killed one left."""
        if self.outbox.inline:
            self.indexer.recovery.start_sweeping()

    def notifications(self) -> Optional[NotificationListener]:
        """Where workers hear of what was recorded; None: they have to look.

        With inline sync nobody tells: the process that records does the work.
        """
        return None if self.outbox.inline else self.primary.notifications(self.outbox)

    def mirror_class(self, model: Any) -> type[BaseDocument]:
        """The mirror model of *model*, generated at the first call."""
        if model not in self._documents:
            self._documents[model] = generate(model, **self.primary.mirror_definition(model))
        return self._documents[model]

    def install(self) -> None:
        """Take over: hooks of the primary, ``get_collection``, the drop-in.

        Models and sessions are global in nefertari, so the application made last has them.
        """
        from nefertari.utils import dictset

        from nefertari_search_tween.compat import aggregator, privacy_wrappers
        from nefertari_search_tween.compat.elasticsearch import ES, NoClient

        privacy_wrappers.install()
        ES.starting = None
        # Last on, first off: MongoDB's hooks wrap what the last application's have left.
        self._early = startup.stop_recording()
        if ES.current is not None:
            ES.current.stop()
        base = self.primary.disable_engine_indexing()
        self.capture.install()
        base.get_collection = classmethod(
            wrap_get_collection(
                base.get_collection.__func__, self.searcher, self.primary.restrict_by_acl
            )
        )
        base.get_by_ids = classmethod(wrap_get_by_ids(base.get_by_ids.__func__, self.searcher))
        ES.setup(dictset(self.registry.settings))
        ES.settings["index_name"] = self.settings.index_name
        # The raw client, for applications that use it.
        ES.api = getattr(self.backend, "client", NoClient())
        ES.current = self
        aggregator.install()

    def stop(self) -> None:
        """Another application takes over."""
        self.capture.remove()
        self.indexer.recovery.stop()
        if self.reporter is not None:
            self.reporter.stop()

    def prepare(self) -> None:
        """Look at the indices, as ``nefertari_search.schema`` says.

        :raises ConfigurationError: it says that they must be there, and they are not.
        """
        schema = self.settings.schema
        if schema == "validate" and not validates.get():
            schema = "none"
        self.mirrors.prepare(schema, self._all_recorded, self._index_all)
        if self._early:
            self.indexer.index_pending()

    def _all_recorded(self, mirror: Mirror) -> bool:
        """True when the table of *mirror* holds nothing but what waits in the outbox."""
        # Also what an earlier start has left that was killed, or found no server.
        found = self.primary.all_pending(self.outbox, mirror.name, mirror.reader)
        self._early = self._early or found
        return found

    def _index_all(self, mirror: Mirror) -> None:
        """All objects of *mirror* wait to be indexed, and will be when the application starts."""
        self.outbox.enqueue_model(mirror.name)
        self._early = True

    def enqueue(self, keys: set[Key]) -> None:
        """These documents are to be indexed: with the running transaction, if it has changed
        something (nobody sees that before its end, and it may hold the database's only lock),
        else now."""
        if not keys:
            return
        session = self.primary.uncommitted_session(self.outbox)
        if session is not None:
            self.outbox.record(session, keys)
        else:
            self.outbox.enqueue(keys)
            self.indexer.index_pending()

    def _chosen(self) -> list[Any]:
        """The models to mirror."""
        named = self.settings.models
        unknown = [name for name in named if name != "*" and name not in self.models]
        if unknown:
            raise ConfigurationError(
                f"nefertari_search.models: there is no model {', '.join(unknown)}"
            )
        chosen = []
        for name, model in sorted(self.models.items()):
            if not _wanted(model, named):
                continue
            problem = self.primary.unmirrorable(model)
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
        if model in self._documents:
            return
        self.mirror_class(model)
        for related in self.primary.related(model):
            self._with_related(related)


def _wanted(model: Any, named: Sequence[str]) -> bool:
    """Whether *model* shall be mirrored.

    :param named: the setting ``nefertari_search.models``.
    """
    if named:
        return model.__name__ in named or "*" in named
    return bool(getattr(model, "_index_enabled", False)) or marked(model)


def prepare(settings: Any, named: Sequence[str]) -> None:
    """Before the application's models are defined: get the primary ready, and let what the
    application writes before it is made be recorded.

    :param settings: of the application.
    :param named: the setting ``nefertari_search.models``.
    """
    from nefertari_search_tween.compat import guards
    from nefertari_search_tween.compat.elasticsearch import ES

    guards.know_engines(settings)
    ES.starting = prepare_primary(settings, lambda model: _wanted(model, named))
