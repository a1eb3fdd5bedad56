"""Whether the JSON of a document is the JSON that the primary renders.

A document is made of what the model's own types read, by the engine's own encoder, and its Python
values are restored from it. So a field is rendered alike if

* reading is a function of the stored value alone: the type's code is known (``types.py``). A
  decorator's ``process_result_value`` may look at the clock, the process or the request;
* its JSON does not depend on the connection. PostgreSQL shows moments with a zone in that of the
  session: they are alike if that is the database's own setting, for which every process has it;
* restoring makes what was read: so do the fields' own classes (``documents/fields.py``), each for
  the Python type that the known types return. What else a document holds stays as rendered.

A relationship shows the keys of other objects, or their fields.
"""

from __future__ import annotations

import enum
from typing import Any, Optional

from nefertari_search_tween.primary.sqla import schema
from nefertari_search_tween.primary.sqla.proof.types import known_type


def unrendered(model: Any, own_zone: bool) -> dict[str, Optional[str]]:
    """Return in words why fields are not known to be rendered alike, None for those that are.

    :param own_zone: see :class:`~nefertari_search_tween.primary.sqla.proof.columns.Database`.
    """
    return _fields(model, own_zone, model._nesting_depth)


def _fields(model: Any, own_zone: bool, depth: int) -> dict[str, Optional[str]]:
    mapper = schema.mapper_of(model)
    nested = model._nested_relationships if depth > 0 else ()
    words = {column.name: _of_type(column.type, own_zone) for column in mapper.columns}
    for prop in mapper.relationships:
        words[prop.key] = None
        for target in (each.class_ for each in prop.mapper.self_and_descendants):
            doubts = (
                _fields(target, own_zone, depth - 1)
                if prop.key in nested
                else {
                    column.name: _of_type(column.type, own_zone)
                    for column in schema.mapper_of(target).primary_key
                }
            )
            for name, doubt in doubts.items():
                if doubt is not None:
                    words[prop.key] = f"of {target.__name__}.{name}: {doubt}"
    return words


def _of_type(column_type: Any, own_zone: bool) -> Optional[str]:
    facts = known_type(column_type)
    if facts is None:
        return f"its type {type(column_type).__name__} is not known"
    if facts.family == "moment" and getattr(column_type, "timezone", False) and not own_zone:
        return "its zone is the session's, which is not the database's own setting"
    if facts.family == "enum" and not _is_plain_enum(column_type):
        return f"{column_type.enum_class.__name__} has its own text"
    return None


def _is_plain_enum(column_type: Any) -> bool:
    """Return True if the JSON of the members is made by Python's own code."""
    cls = getattr(column_type, "enum_class", None)
    return cls is None or cls.__str__ in (enum.Enum.__str__, str.__str__, int.__repr__)
