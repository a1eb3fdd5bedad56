"""For applications whose own package imports ``nefertari.elasticsearch`` at module level.

An ini file names the application, and Pyramid reads ``pyramid.includes`` only after importing it:
too late for the drop-in. With ::

    [app:main]
    use = egg:nefertari-search-tween
    nefertari_search.application = egg:stories

this package is imported first, and loads the application with the settings of the section.
"""

from __future__ import annotations

from typing import Any

from paste.deploy.loadwsgi import APP, loadcontext

from nefertari_search_tween.exceptions import ConfigurationError

APPLICATION = "nefertari_search.application"
PROTOCOL = "paste.app_factory"


def main(global_config: dict[str, str], **settings: Any) -> Any:
    """Return the WSGI application that ``nefertari_search.application`` names.

    :param settings: of the section; the application gets all others.
    :raises ConfigurationError: the setting is missing, or names no application.
    """
    uri = settings.pop(APPLICATION, "").strip()
    if ":" not in uri:
        raise ConfigurationError(
            f"{APPLICATION} = {uri}: it names the application, as `use` did "
            "(egg:stories, call:stories:main)"
        )
    context = loadcontext(
        APP, uri, relative_to=global_config.get("here"), global_conf=dict(global_config)
    )
    if context.protocol is None:
        # A `call:` does not state the protocol.
        context.protocol = PROTOCOL
    context.local_conf.update(settings)
    return context.create()
