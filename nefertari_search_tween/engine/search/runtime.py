"""The search of an application whose only database is this package's engine.

Searches read the stored documents, so there is nothing to keep in sync: only the reading half of
an application's search (see runtime.py) exists.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any, Callable, Optional

from nefertari_search_tween import compat
from nefertari_search_tween.compat.current import CURRENT
from nefertari_search_tween.compat.model_search import add_search
from nefertari_search_tween.engine import database, model_registry
from nefertari_search_tween.engine.models import BaseDocument
from nefertari_search_tween.engine.queries import Query, keys_condition
from nefertari_search_tween.engine.search.searcher import EngineSearcher
from nefertari_search_tween.exceptions import ConfigurationError
from nefertari_search_tween.search.get_collection import wrap_get_collection
from nefertari_search_tween.search.item_acl import ACL
from nefertari_search_tween.search.routing import Router

log = logging.getLogger(__name__)


class EngineRuntime:
    """See :class:`~nefertari_search_tween.runtime.SearchRuntime`.

    :raises ConfigurationError: ``engine.setup_database`` was not called.
    """

    def __init__(self, app_registry: Any) -> None:
        from nefertari_search_tween.compat import guards

        guards.install()
        try:
            self.database = database.current()
        except ConfigurationError as error:
            raise ConfigurationError(f"{error} (before the application is made)") from None
        self.registry = app_registry
        self.settings = self.database.settings
        if self.settings.cache:
            raise ConfigurationError(
                "nefertari_search.cache: an application whose database is "
                "nefertari_search_tween.engine has no outbox, whose numbers tell how old an "
                "answer is; leave the setting out"
            )
        # The database and the index are one: a read without a flag is the view's own.
        self.settings.read_from = "primary"
        self.backend = self.database.backend
        self.mirrors = self.database.mirrors
        self.models = model_registry.models()
        for model in self.models.values():
            self.database.mirror(model)
            if not add_search(model):
                log.warning(
                    "%s has its own search, which stays: nefertari_search_tween.search_objects "
                    "searches it (docs/python.rst)",
                    model.__name__,
                )
        self.searcher = EngineSearcher(self.mirrors, self.settings)
        resources = set(getattr(app_registry, "_resources_map", {}).values())
        self.router = Router(self.settings, self.mirrors, resources)

    def on_request(self) -> None:
        """Do nothing for a request: no changes are pending."""

    def install(self) -> None:
        """Take over: ``get_collection`` in search reads, the drop-in."""
        CURRENT.stop()
        plain: Any = BaseDocument.get_collection
        setattr(  # noqa: B010 - what stands there is typed as a method
            BaseDocument,
            "get_collection",
            classmethod(wrap_get_collection(plain.__func__, self.searcher, restrict_by_acl)),
        )
        compat.serve(self)

    def stop(self) -> None:
        """Do nothing when another application takes over: nothing runs."""

    def prepare(self) -> None:
        """Create the indices of models that were declared after the database was set up."""
        self.database.prepare()

    def enqueue(self, keys: Iterable[Any]) -> None:
        """Do nothing: what is stored is indexed."""

    def changed(self, model: Any, pks: Iterable[Any], session: Any) -> None:
        """Do nothing: what is stored is indexed."""

    def refresh_indices(self, names: Iterable[str]) -> None:
        """Do nothing: every search sees every write before it."""


def restrict_by_acl(model: Any, allows: Callable[[Any], bool]) -> Query:
    """Return a query for the objects of *model* whose stored ACL *allows* them to be seen."""
    keys = [each.pk_value() for each in Query(model).stream() if allows(getattr(each, ACL))]
    query = Query(model)
    query.filters.append(keys_condition(model, keys))
    return query


def search_of(app_registry: Any) -> Optional[EngineRuntime]:
    """Return the search of the application; None if another engine is its database."""
    from nefertari_search_tween import engine

    if not engine.is_only_engine(app_registry.settings):
        return None
    return EngineRuntime(app_registry)
