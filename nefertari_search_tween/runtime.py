"""The search of one application: what it is made of, in the order in which it is made.

The only module that sees both sides, reading (``search``) and writing (``indexing``).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from contextvars import ContextVar
from functools import partial
from typing import Any

from pyramid.threadlocal import get_current_request

from nefertari_search_tween import compat
from nefertari_search_tween.backends import make_backend
from nefertari_search_tween.backends.analysis import definitions
from nefertari_search_tween.caching.cache import NO_CACHE, ResponseCache
from nefertari_search_tween.caching.region import make_region
from nefertari_search_tween.compat.current import CURRENT
from nefertari_search_tween.compat.model_search import NAME, add_search
from nefertari_search_tween.documents.mirror_document import BaseDocument
from nefertari_search_tween.exceptions import ConfigurationError
from nefertari_search_tween.indexing import restored
from nefertari_search_tween.indexing.indexer import Indexer
from nefertari_search_tween.indexing.recorder import ChangeRecorder
from nefertari_search_tween.interfaces.primary import BulkChange, Key
from nefertari_search_tween.interfaces.primary_engine import Primary
from nefertari_search_tween.mirror.analyzers import choose_analyzers
from nefertari_search_tween.mirror.generator import generate, link
from nefertari_search_tween.mirror.index_lifecycle import prepare_indices
from nefertari_search_tween.mirror.mirror import Mirror
from nefertari_search_tween.mirror.registry import MirrorRegistry
from nefertari_search_tween.mirror.selection import (
    check_models,
    is_selected,
    select_models,
    with_related,
)
from nefertari_search_tween.primary.selection import prepare_primary, primary_for
from nefertari_search_tween.primary.startup import stop_recording
from nefertari_search_tween.process_counts import ProcessCounts
from nefertari_search_tween.search.get_collection import wrap_get_by_ids, wrap_get_collection
from nefertari_search_tween.search.routing import Router
from nefertari_search_tween.search.searcher import Searcher
from nefertari_search_tween.settings.settings import Settings

log = logging.getLogger(__name__)

#: what to do about a mirror that is not tracked
UNTRACKED_CURE = (
    "report them by nefertari_search_tween.changed, and name the members in "
    "nefertari_search.trusted_members (docs/consistency.rst)"
)
#: False while a command that builds the indices makes the application.
validates: ContextVar[bool] = ContextVar("validates", default=True)
#: True while a command takes over indices of another database.
adopts: ContextVar[bool] = ContextVar("adopts", default=False)


class SearchRuntime:
    """What the search of one application is made of; ``registry.nefertari_search``.

    :param registry: the application's registry; its models and resources are complete.
    :raises ConfigurationError: a setting is wrong, or names a model that can't be mirrored.
    """

    def __init__(self, registry: Any) -> None:
        from nefertari_search_tween.compat import guards

        guards.install()
        self.registry = registry
        self.settings = Settings(registry.settings, registry.package_name)
        self.backend = make_backend(*self.settings.backend, self.settings.connection)
        log.info("search index: %s", self.settings.where)
        self.primary: Primary = primary_for(registry.settings)
        self.models = self.primary.models
        self._mirror_classes: dict[Any, type[BaseDocument]] = {}
        self._set_up_mirrors()
        self._set_up_indexing()
        self._set_up_cache()
        self._set_up_searching()

    def _set_up_mirrors(self) -> None:
        """Generate the mirror models, and make the mirrors of the selected models."""
        settings = self.settings
        self.mirrors = MirrorRegistry(
            self.backend,
            settings.index_name,
            settings.index_settings,
            settings.model_index_settings,
        )
        selected = select_models(self.primary, settings.models)
        # Before the mirrors: mappings of nested documents need the fields of related models.
        documented = with_related(self.primary, selected)
        check_models(
            self.primary,
            "index_settings",
            settings.model_index_settings,
            selected,
            "is not mirrored",
        )
        check_models(self.primary, "analyzer", settings.analyzers, documented, "is in no mirror")
        choose_analyzers(
            {model.__name__: self.mirror_class(model) for model in documented},
            settings.analyzer,
            settings.analyzers,
            any(
                ("analyzer", "default") in definitions(each)
                for each in (settings.index_settings, *settings.model_index_settings.values())
            ),
        )
        for model in selected:
            mirror_class = self.mirror_class(model)
            occupied = link(model, mirror_class)
            searchable = [add_search(each) for each in (model, mirror_class)]
            if not all(searchable):
                occupied.append(NAME)
            for name in occupied:
                log.warning(
                    "%s has its own %s, which stays: rename it to have the attribute of that name "
                    "(docs/limits.rst)",
                    model.__name__,
                    name,
                )
            hooks = self.primary.request_hooks(model, settings.trusted_hooks)
            reader = self.primary.reader(model, self.mirror_class, hooks)
            self.mirrors.add(model, mirror_class, reader, hooks)
        self.primary.connect(selected, inline=settings.sync == "inline")
        self.dependencies = self.primary.dependencies
        self._mark_untracked()

    def _mark_untracked(self) -> None:
        """Read from the primary what the documents of may change without a notice.

        :raises ConfigurationError: a trusted member does not exist.
        """
        trusted = self.settings.trusted_members
        for member in trusted:
            model, _, name = member.partition(".")
            if not hasattr(self.models.get(model), name):
                raise ConfigurationError(f"nefertari_search.trusted_members: there is no {member}")
        untracked = self.dependencies.untracked()
        for mirror in self.mirrors:
            lines = untracked.get(mirror.name, ())
            mirror.untracked = [line for line in lines if line.partition(" ")[0] not in trusted]
            if mirror.untracked:
                log.warning(
                    "collections of %s are read from the primary: changes of what its documents "
                    "show can't be followed, and its mirror may be stale in searches: %s; %s",
                    mirror.name,
                    "; ".join(mirror.untracked),
                    UNTRACKED_CURE,
                )

    def _set_up_indexing(self) -> None:
        """Make the indexer, and the capture of changes that leads to it."""
        from nefertari_search_tween.compat.index_calls import refresh_asked

        self.primary.create_missing()
        self.outbox = self.primary.outbox
        self.identity = self.primary.identity()
        self.mirrors.identify(self.identity)
        self.rebuild_locks = self.primary.rebuild_locks
        self.indexer = Indexer(
            self.mirrors,
            self.outbox,
            self.settings.chunk_size,
            self.settings.search_timeout,
            lambda: refresh_asked(self.settings, get_current_request()),
            background=self.settings.sync == "background",
        )
        self.recorder = ChangeRecorder(
            self.registry,
            self.mirrors,
            self.primary,
            self.indexer.index_committed,
            self.indexer.index_soon,
        )
        self.capture = self.primary.capture(self.recorder)

    def _set_up_cache(self) -> None:
        settings = self.settings
        self.process_counts = self.primary.process_counts()
        self.counts = ProcessCounts(self.process_counts.store)
        self.cache = NO_CACHE
        if settings.cache:
            # Two databases may share a cache, and their indices one name on two servers.
            name = f"{settings.index_name} in {settings.where} of {self.identity.identifier}"
            self.cache = ResponseCache(
                partial(make_region, settings.cache, settings.cache_megabytes, settings.cache_ttl),
                name,
                self.counts.add,
            )

    def _set_up_searching(self) -> None:
        self.searcher = Searcher(
            self.mirrors,
            self.settings,
            primary=self.primary,
            pending=self.outbox,
            cache=self.cache,
        )
        resources = set(getattr(self.registry, "_resources_map", {}).values())
        self.router = Router(self.settings, self.mirrors, resources, self.counts.add)

    def on_request(self) -> None:
        """Start to index what killed processes left: a process that serves requests does that."""
        if self.settings.sync != "worker":
            self.indexer.recovery.start_sweeping()

    def mirror_class(self, model: Any) -> type[BaseDocument]:
        """Return the mirror model of *model*, generated at the first call."""
        if model not in self._mirror_classes:
            definition = self.primary.mirror_definition(model)
            self._mirror_classes[model] = generate(model, **definition)
        return self._mirror_classes[model]

    def install(self) -> None:
        """Install the capture of changes, the wrapped ``get_collection`` and the drop-in.

        Models and sessions are global in nefertari, so the application made last has them.
        """
        # Last on, first off: MongoDB's hooks wrap what the last application's have left.
        self._index_at_start = stop_recording()
        CURRENT.stop()
        base = self.primary.disable_engine_indexing()
        self.capture.install()
        base.get_collection = classmethod(
            wrap_get_collection(
                base.get_collection.__func__, self.searcher, self.primary.restrict_by_acl
            )
        )
        base.get_by_ids = classmethod(wrap_get_by_ids(base.get_by_ids.__func__, self.searcher))
        compat.serve(self)

    def stop(self) -> None:
        """End: another application replaces this one."""
        self.capture.remove()
        self.indexer.recovery.stop()
        self.counts.stop()

    def prepare(self) -> None:
        """Check or create the indices, as ``nefertari_search.schema`` says.

        :raises ConfigurationError: an index that has to exist does not, or one belongs to another
            database.
        """
        if adopts.get():
            return
        schema = self.settings.schema
        if schema == "validate" and not validates.get():
            schema = "none"
        for mirror in self.mirrors:
            # Logged.
            mirror.hook()
            # Not by the first request: the database is asked.
            self.searcher.semantics[mirror.name].proof(mirror.document_cls.pk_field())
        prepare_indices(
            self.mirrors, schema, self._all_pending, self._index_all, self._check_version
        )
        if self._index_at_start:
            self.indexer.index_pending()

    def _all_pending(self, mirror: Mirror) -> bool:
        """Return True if all objects of *mirror* are pending in the outbox."""
        # Also those of an earlier start that was killed, or that reached no server.
        pending = self.outbox.all_pending(mirror.name, mirror.reader)
        self._index_at_start = self._index_at_start or pending
        return pending

    def _check_version(self, mirror: Mirror, version: int) -> None:
        """Recover if documents of *mirror* have a version that the database does not know."""
        if restored.recover(self.outbox, mirror, version):
            self._index_at_start = True

    def _index_all(self, mirror: Mirror) -> None:
        """Enqueue all objects of *mirror*; they are indexed when the application starts."""
        self.outbox.enqueue_model(mirror.name)
        self._index_at_start = True

    def refresh_indices(self, names: Iterable[str]) -> None:
        """Make what is in the indices of these models visible to searches. Never raises."""
        self.indexer.refresh_indices(names)

    def enqueue(self, keys: set[Key]) -> None:
        """Index these documents: with the running transaction, if it has changed something (which
        is visible only after its end, and it may hold the database's only lock), else now."""
        if not keys:
            return
        session = self.primary.uncommitted_session()
        if session is not None:
            self.outbox.record(session, keys)
        else:
            self.outbox.enqueue(keys)
            self.indexer.index_pending()

    def changed(self, model: Any, pks: Iterable[Any], session: Any) -> None:
        """See :func:`nefertari_search_tween.changed`."""
        if model not in self.dependencies.tracked_models:
            raise ValueError(f"no mirror shows objects of {model.__name__}")
        keys = [Key(model.__name__, pk) for pk in pks]
        if not keys:
            return
        change = BulkChange(model, keys, set(), deleted=False)
        own = self.primary.recording() if session is None else nullcontext(session)
        with own as recording:
            self.recorder.bulk_changed(recording, change)


def prepare(settings: Any, names: Sequence[str]) -> None:
    """Prepare the primary before the application's models are defined, and record what the
    application writes before it is made.

    :param settings: of the application.
    :param names: the setting ``nefertari_search.models``.
    """
    from nefertari_search_tween.compat import guards

    guards.know_engines(settings)
    CURRENT.startup_recorder = prepare_primary(settings, lambda model: is_selected(model, names))
