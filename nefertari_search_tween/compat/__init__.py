"""The drop-in for ``nefertari.elasticsearch``, and how it takes that module's place."""

from __future__ import annotations

import sys

from nefertari_search_tween.exceptions import ConfigurationError

REPLACED = "nefertari.elasticsearch"


def install() -> None:
    """Put the drop-in where applications and nefertari import ``nefertari.elasticsearch``.

    Both in ``sys.modules`` and as an attribute of the package: ``config.include`` resolves
    by attribute.

    :raises ConfigurationError: the old module was imported first.
    """
    import nefertari

    from nefertari_search_tween.compat import elasticsearch as drop_in

    present = sys.modules.get(REPLACED)
    if present is drop_in:
        return
    if present is not None:
        raise ConfigurationError(
            f"{REPLACED} was imported before nefertari_search_tween: name the package in "
            "pyramid.includes (or its tween in pyramid.tweens), so that it comes first; and if the "
            "application's own package imports it, let `use = egg:nefertari-search-tween` load "
            "that (nefertari_search.application = what `use` was)"
        )
    sys.modules[REPLACED] = drop_in
    nefertari.elasticsearch = drop_in
