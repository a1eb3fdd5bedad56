"""The fields of a document besides the model's own, and the document of a rejected one."""

from __future__ import annotations

from typing import Any

from nefertari_search_tween.documents.fields import BaseField

#: exact forms of values whose rendered form loses something (see documents/fields.py)
EXACT = "_exact"
#: names of the fields of this document that the index can't sort or match exactly
INEXACT = "_inexact"
#: why the backend rejected the document; only in the stub that replaces it
REJECTED = "_rejected"
#: values of a stored document whose rendered form loses something (see engine/values.py)
PACKED = "_packed"
INTERNAL = (EXACT, INEXACT, REJECTED, PACKED)

#: the value of INEXACT in a stub: no field of it is known
ANY_FIELD = "*"
#: the query for the stubs of rejected documents
STUBS: dict[str, Any] = {"term": {INEXACT: ANY_FIELD}}


def exact_field(field: BaseField) -> str:
    """Return the name of the index field that holds the exact form of *field*."""
    if field.exact_type is not None:
        return f"{EXACT}.{field.name}"
    return f"{field.name}.keyword" if field.kind in ("text", "list") else field.name
