"""The field of MongoDB's ObjectIds."""

from __future__ import annotations

from typing import Any

from nefertari_search_tween.documents.fields import BaseField, keyword_fits, text_mapping


class ObjectIdField(BaseField):
    """An ObjectId; rendered, sorted and compared as its 24 hexadecimal digits."""

    kind = "text"

    def mapping(self) -> dict[str, Any]:
        return text_mapping()

    def fits(self, value: Any) -> bool:
        return keyword_fits(str(value))

    @staticmethod
    def restore(document: Any, exact: Any) -> Any:
        from bson import ObjectId

        return ObjectId(document)
