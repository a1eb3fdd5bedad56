"""The drop-ins for modules of nefertari, and how they take those modules' places."""

from __future__ import annotations

import sys

from nefertari_search_tween.exceptions import ConfigurationError

REPLACED = ("elasticsearch", "polymorphic")


def install() -> None:
    """Put the drop-ins where applications and nefertari import the modules of nefertari.

    Both in ``sys.modules`` and as an attribute of the package: ``config.include`` resolves
    by attribute.

    :raises ConfigurationError: an old module was imported first.
    """
    import nefertari

    from nefertari_search_tween.compat import elasticsearch, engine_include, polymorphic

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
    engine_include.install()
