"""Search for nefertari applications: mirrors of models, a tween, and what keeps them in sync.

An application switches it on in its ini file, by ``pyramid.includes = nefertari_search_tween``
or by naming ``nefertari_search_tween.tween_factory`` in an explicit ``pyramid.tweens`` list;
both together do no harm. Importing this package puts the drop-in for
``nefertari.elasticsearch`` in its place: Pyramid imports it when the Configurator is made, before
the application's own code runs.
"""

from __future__ import annotations

from typing import Any, Callable

from pyramid.config import Configurator
from pyramid.events import BeforeTraversal
from pyramid.interfaces import ITweens
from pyramid.tweens import EXCVIEW

from nefertari_search_tween import compat
from nefertari_search_tween.engine.search.runtime import search_of
from nefertari_search_tween.exceptions import SearchError, http_error_view
from nefertari_search_tween.mirror.decorator import mirrored
from nefertari_search_tween.runtime import SearchRuntime, prepare
from nefertari_search_tween.search.tween import make_tween, route
from nefertari_search_tween.settings.settings import Settings

__all__ = ["includeme", "mirrored", "tween_factory"]

TWEEN = "nefertari_search_tween.tween_factory"

compat.install()


def includeme(config: Configurator) -> None:
    """Switch search on: check the settings, prepare the primary, put the tween in.

    The rest happens when the application is made, in :func:`tween_factory`: then all models
    and resources are known.

    :raises ConfigurationError: a bad setting.
    """
    settings = Settings(config.registry.settings, config.registry.package_name)
    prepare(config.registry.settings, settings.models)
    explicit = config.registry.queryUtility(ITweens)
    if explicit is None or not explicit.explicit:
        config.add_tween(TWEEN, under=EXCVIEW)
    elif all(name != TWEEN for name, _ in explicit.explicit):
        # An explicit list without us: our place is next to the application.
        config._add_tween(TWEEN, explicit=True)


def tween_factory(handler: Callable[[Any], Any], registry: Any) -> Callable[[Any], Any]:
    """Set search up for the application of *registry*, and give the tween.

    In this order: settings, mirrors of the models, hooks of the primary, subscribers, routes.

    :raises ConfigurationError: a bad setting; indices that are not as the settings ask for.
    """
    search = search_of(registry) or SearchRuntime(registry)
    search.install()
    registry.nefertari_search = search
    with_us = Configurator(registry=registry)
    with_us.scan("nefertari_search_tween.indexing.subscribers")
    with_us.add_subscriber(route, BeforeTraversal)
    with_us.add_exception_view(http_error_view, context=SearchError)
    with_us.commit()
    search.prepare()
    return make_tween(handler, search.router, search.on_request)
