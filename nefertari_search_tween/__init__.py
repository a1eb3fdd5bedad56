"""Search for nefertari applications: mirrors of models, a tween, and what keeps them in sync.

An application enables it in its ini file, by ``pyramid.includes = nefertari_search_tween`` or by
naming ``nefertari_search_tween.tween_factory`` in an explicit ``pyramid.tweens`` list; doing both
is safe. Importing this package replaces ``nefertari.elasticsearch``: Pyramid imports it when the
Configurator is made, before the application's own code runs.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Callable, Optional

from pyramid.config import Configurator
from pyramid.events import BeforeTraversal
from pyramid.interfaces import ITweens
from pyramid.settings import aslist
from pyramid.tweens import EXCVIEW

from nefertari_search_tween import compat
from nefertari_search_tween.compat.current import CURRENT
from nefertari_search_tween.compat.model_search import SearchPage, search_objects
from nefertari_search_tween.concurrency.forks import let_go
from nefertari_search_tween.engine.search.runtime import search_of
from nefertari_search_tween.exceptions import SearchError, http_error_view
from nefertari_search_tween.mirror.decorator import mirrored
from nefertari_search_tween.runtime import SearchRuntime, prepare
from nefertari_search_tween.search.context import QueryText
from nefertari_search_tween.search.gate.views import add_gate
from nefertari_search_tween.search.tween import make_tween, route
from nefertari_search_tween.settings.settings import Settings

__all__ = [
    "QueryText",
    "SearchPage",
    "changed",
    "includeme",
    "mirrored",
    "search_objects",
    "tween_factory",
]

TWEEN = "nefertari_search_tween.tween_factory"


def includeme(config: Configurator) -> None:
    """Enable search: check the settings, prepare the primary, add the tween.

    The rest follows in :func:`tween_factory`, once all models and resources are known.

    :raises ConfigurationError: a bad setting.
    """
    _prepare_primary(config.registry)
    add_gate(config)
    _add_tween(config)


def tween_factory(handler: Callable[[Any], Any], registry: Any) -> Callable[[Any], Any]:
    """Set up search for the application of *registry* and return its tween.

    :raises ConfigurationError: a bad setting, or indices that differ from what the settings
        require.
    """
    runtime = search_of(registry) or SearchRuntime(registry)
    runtime.install()
    registry.nefertari_search = runtime
    _subscribe(registry)
    runtime.prepare()
    let_go()
    return make_tween(handler, runtime.router, runtime.on_request)


def changed(model: Any, pks: Iterable[Any], session: Optional[Any] = None) -> None:
    """Report that what the objects *pks* of *model* show has changed, in a way that can't be
    followed; their documents, and those that embed them, are indexed.

    It is recorded in the running transaction: a rollback takes it back.

    :param model: a model that is mirrored, or that documents embed or reference.
    :param pks: primary keys.
    :param session: SQLAlchemy's session whose transaction makes the change; None for nefertari's
        own, and on MongoDB.
    :raises ValueError: no mirror depends on *model*.
    :raises SearchUnavailable: no application has been made yet.
    """
    CURRENT.require().changed(model, pks, session)


def _prepare_primary(registry: Any) -> None:
    settings = Settings(registry.settings, registry.package_name)
    prepare(registry.settings, settings.models)


def _on_engine_included(config: Configurator) -> None:
    """Prepare an application that names the tween alone, before it has models and views."""
    if TWEEN not in aslist(config.registry.settings.get("pyramid.tweens", "")):
        return
    add_gate(config)
    if CURRENT.startup_recorder is None:
        _prepare_primary(config.registry)


def _add_tween(config: Configurator) -> None:
    explicit = config.registry.queryUtility(ITweens)
    if explicit is None or not explicit.explicit:
        config.add_tween(TWEEN, under=EXCVIEW)
    elif all(name != TWEEN for name, _ in explicit.explicit):
        # An explicit list without this tween: it belongs next to the application.
        config._add_tween(TWEEN, explicit=True)


def _subscribe(registry: Any) -> None:
    """Add the event subscribers and the view of this package's errors."""
    config = Configurator(registry=registry)
    config.scan("nefertari_search_tween.indexing.subscribers")
    config.add_subscriber(route, BeforeTraversal)
    config.add_exception_view(http_error_view, context=SearchError)
    config.commit()


compat.install(_on_engine_included)
