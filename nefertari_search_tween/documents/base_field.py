"""What all field classes have in common.

A field knows three forms of a value:

* the **value** in the primary's model (``datetime.date(1972, 3, 15)``);
* its **document** form, the JSON value that nefertari renders (``"1972-03-15T00:00:00Z"``);
* its **exact** form, only for types whose document form loses something (microseconds,
  days of an interval, digits of a decimal): a number that sorts and compares as the value
  does. It is stored under ``_exact`` in the indexed document and never leaves the package.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Optional

STORED_ONLY: dict[str, Any] = {"type": "object", "enabled": False}


class BaseField:
    """A field of a document class.

    :param kwargs: the arguments of a field of this name in the primary's engine.
    """

    #: how searches treat it: text, integer, float, boolean, date, time, list, opaque ...
    kind = "opaque"
    #: the mapping of the document form
    index_mapping: dict[str, Any] = STORED_ONLY
    #: mapping type of the exact form, None if the document form is exact
    exact_type: Optional[str] = None
    #: True if the Python value can be restored from the document and exact forms: always, or (of
    #: lists and dicts) unless the exact form is False; False if it can where the exact form is True
    restorable = True
    #: True for text in a language, which may have its own analyzer
    analyzable = False
    #: name of the configured analyzer; set once all models are known
    analyzer: Optional[str] = None
    #: False if the analyzer is ``standard``, which drops no terms
    analyzed = False

    def __init__(self, **kwargs: Any) -> None:
        self._init_kwargs = kwargs
        self.name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is None:
            return self
        return instance.field_value(self.name)

    def __set__(self, instance: Any, value: Any) -> None:
        instance.set_field_value(self.name, value)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    def mapping(self) -> dict[str, Any]:
        """Return the mapping of the document form."""
        return dict(self.index_mapping)

    def to_exact(self, value: Any) -> Any:
        """Return the exact form of *value* (not None); only for fields with an ``exact_type``."""
        raise TypeError(f"{self!r} has no exact form")

    def fits(self, value: Any) -> bool:
        """Return True if *value* (not None) sorts and matches exactly in the index."""
        return True

    #: restores the value from document and exact form; None if the document form is the value
    restore: Optional[Callable[[Any, Any], Any]] = None

    @property
    def primary_key(self) -> bool:
        return bool(self._init_kwargs.get("primary_key"))


def declared_fields(cls: type) -> dict[str, BaseField]:
    """Return the fields that *cls* and its bases declare, those of bases first."""
    fields: dict[str, BaseField] = {}
    for base in reversed(cls.__mro__):
        for name, member in vars(base).items():
            if isinstance(member, BaseField):
                fields[name] = member
            else:
                # A subclass may remove a field.
                fields.pop(name, None)
    return fields
