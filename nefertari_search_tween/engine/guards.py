"""The field for access control lists of nefertari-guards, for models of this engine.

nefertari-guards imports a submodule that is named after the engine; it has none for this one,
so :func:`install` adds it.
"""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType
from typing import Any

from nefertari_search_tween.documents.fields import KEYWORD, BaseField

GUARDS = "nefertari_guards"
PACKAGE = __name__.partition(".")[0]


def install() -> None:
    """Add this engine to nefertari-guards if that is installed."""
    if importlib.util.find_spec(GUARDS) is None:
        return
    import nefertari_guards

    if hasattr(nefertari_guards, "nefertari_search_tween"):
        return
    from nefertari_guards.base import ACL_TYPE_MAPPING, ACLEncoderMixin

    class ACLField(ACLEncoderMixin, BaseField):
        """An access control list: entries of action, principal and permission."""

        def __init__(self, **kwargs: Any) -> None:
            BaseField.__init__(self, **{**kwargs, "default": kwargs.get("default") or []})

        def mapping(self) -> dict[str, Any]:
            names = ("action", "principal", "permission")
            return {"type": "nested", "properties": {name: dict(KEYWORD) for name in names}}

        def clean_value(self, value: Any) -> Any:
            """Return *value* as it is stored; Pyramid's own form becomes text.

            :raises ValueError: an unknown action or permission.
            """
            entries = self.stringify_acl(value)
            self.validate_acl(entries)
            return entries

    package, module = (ModuleType(f"{GUARDS}.{name}") for name in (PACKAGE, "engine"))
    vars(module).update(ACLField=ACLField, ACL_TYPE_MAPPING=ACL_TYPE_MAPPING, EXTENDED_TYPES_MAP={})
    vars(package)["engine"] = module
    sys.modules[package.__name__] = package
    sys.modules[f"{package.__name__}.engine"] = module
    vars(nefertari_guards)[PACKAGE] = package
