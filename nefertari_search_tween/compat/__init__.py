"""The drop-ins for modules of nefertari, and how they replace them."""

from __future__ import annotations

import sys
from typing import Any, Callable

from nefertari_search_tween.compat.current import CURRENT, NoClient, Runtime
from nefertari_search_tween.exceptions import ConfigurationError

REPLACED = ("elasticsearch", "polymorphic")


def install(on_engine_included: Callable[[Any], None]) -> None:
    """Replace modules of nefertari by the drop-ins.

    Both in ``sys.modules`` and as attributes of the package, because ``config.include`` resolves
    by attribute.

    :param on_engine_included: called with the configurator after each include of the engine.
    :raises ConfigurationError: an old module was imported first.
    """
    import nefertari

    from nefertari_search_tween.compat import elasticsearch, engine_include, polymorphic
    from nefertari_search_tween.search.gate import errors
    from nefertari_search_tween.search.routing import hide_flag

    for name, drop_in in zip(REPLACED, (elasticsearch, polymorphic)):
        replaced = f"nefertari.{name}"
        present = sys.modules.get(replaced)
        if present is drop_in:
            continue
        if present is not None:
            raise ConfigurationError(
                f"{replaced} was imported before nefertari_search_tween: name the package in "
                "pyramid.includes (or its tween in pyramid.tweens), so that it comes first; and if "
                "the application's own package imports it, let `use = egg:nefertari-search-tween` "
                "load that (nefertari_search.application = what `use` was)"
            )
        sys.modules[replaced] = drop_in
        setattr(nefertari, name, drop_in)
    engine_include.install(on_engine_included)
    errors.install()
    hide_flag()


def serve(runtime: Runtime) -> None:
    """Let the drop-ins use *runtime* from here on."""
    from nefertari.utils import dictset

    from nefertari_search_tween.compat import aggregator
    from nefertari_search_tween.compat.elasticsearch import ES
    from nefertari_search_tween.search.gate import objects

    objects.install()
    aggregator.install()
    ES.setup(dictset(runtime.registry.settings))
    ES.settings["index_name"] = runtime.settings.index_name
    # The raw client, for applications that use it.
    ES.api = getattr(runtime.backend, "client", NoClient())
    CURRENT.runtime = runtime
