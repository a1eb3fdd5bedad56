"""Values of an object -> the document that is indexed, serialized once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any, Callable, Optional

from nefertari_search_tween.documents.fields import (
    KEYWORD_UNITS,
    BaseField,
    Relationship,
    is_text,
)
from nefertari_search_tween.documents.format import (
    ANY_FIELD,
    COMPOSED,
    EXACT,
    FOLDED,
    INEXACT,
    REJECTED,
    composed,
    folded,
)
from nefertari_search_tween.documents.mirror_document import BaseDocument
from nefertari_search_tween.interfaces.primary import Body

# Elasticsearch takes ids of up to 512 bytes.
MAX_ID_BYTES = 512
DIGEST = "sha256:"

PLAIN = (str, int, float, bool, type(None))

# Well inside of what fields take: smaller values need no further checks (Serializer.document).
SMALL_NUMBER = 2**62
SHORT_TEXT = KEYWORD_UNITS // 2


class Nested:
    """A document that others hold, encoded once, however many do.

    :ivar text: its JSON text.
    """

    __slots__ = ("document", "text")

    def __init__(self, document: dict[str, Any], text: str) -> None:
        self.document = document
        self.text = text


class _Encoder(json.JSONEncoder):
    def default(self, o: Any) -> Any:
        return o.document if type(o) is Nested else super().default(o)


_encoded = _Encoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def _text(document: dict[str, Any]) -> str:
    """Return the JSON text of *document*, of whose members some may be Nested, or lists of them."""
    parts: list[str] = []
    plain: dict[str, Any] = {}
    for name, value in document.items():
        kind = type(value)
        if kind is Nested:
            text = value.text
        elif kind is list and value and all(type(each) is Nested for each in value):
            text = f"[{','.join([each.text for each in value])}]"
        else:
            plain[name] = value
            continue
        if plain:
            parts.append(_encoded(plain)[1:-1])
            plain = {}
        parts.append(f"{_encoded(name)}:{text}")
    if plain or not parts:
        parts.append(_encoded(plain)[1:-1])
    return f"{{{','.join(parts)}}}"


def document_id(pk: Any) -> str:
    """Return the id of a document in its index: the primary key as text, or a digest of it.

    Two keys never have one id, as far as no two texts have one SHA-256: an id that begins as
    digests do is always a digest, because a key that begins so is digested, too. No server takes
    an empty id.
    """
    text = str(pk)
    encoded = text.encode("utf-8", "surrogatepass")
    if 0 < len(encoded) <= MAX_ID_BYTES and not text.startswith(DIGEST):
        return text
    return DIGEST + hashlib.sha256(encoded).hexdigest()


def is_json(value: Any) -> bool:
    """Return True if *value* comes back from JSON unchanged, types and all."""
    if type(value) is list:
        return all(is_json(each) for each in value)
    if type(value) is dict:
        return all(type(key) is str and is_json(each) for key, each in value.items())
    return type(value) in PLAIN


def _quick_type(field: BaseField) -> Optional[type]:
    """Return the type whose small values need no conversion, None if there is none."""
    if field.exact_type is not None or not field.restorable:
        return None
    kinds: dict[str, type] = {"text": str, "integer": int}
    return kinds.get(field.kind)


class Serializer:
    """Turns what a model's ``to_dict`` returns into the indexed document.

    :param document_cls: the mirror model.
    :param encoder: the engine's JSON encoder class: it renders the values, so that a document
        renders as the primary's object does.
    """

    def __init__(self, document_cls: type[BaseDocument], encoder: type[json.JSONEncoder]) -> None:
        self.document_cls = document_cls
        self.encoder = encoder
        self._default = encoder().default
        # Hoisted: one tuple per field, walked once per document.
        self._plan: list[tuple[str, BaseField, Optional[type], bool, bool, bool]] = [
            (
                name,
                field,
                _quick_type(field),
                field.exact_type is not None,
                field.kind in ("opaque", "list"),
                is_text(field),
            )
            for name, field in document_cls.fields().items()
            if not isinstance(field, Relationship)
        ]
        self._encoded = _text if document_cls._nested_relationships else _encoded
        self._names = frozenset(document_cls.fields())
        self._usual_names = self._names | {"_type", "_pk"}

    def body(
        self,
        data: dict[str, Any],
        exact: dict[str, Any] | None = None,
        inexact: Iterable[str] = (),
    ) -> bytes:
        """Return the document as JSON text.

        :param data: the object's ``to_dict``, relationships included; nested documents are
            documents that :meth:`document` or :meth:`nested` of their own serializer returned.
        :param exact: numbers that *data* has lost, by field name.
        :param inexact: names of fields whose values are not what the database compares.
        :raises ValueError: a value that JSON can't hold (NaN, infinity).
        """
        document, inexact_names = self.document(data, exact)
        if inexact_names or inexact:
            document[INEXACT] = [
                *inexact_names,
                *(name for name in inexact if name not in inexact_names),
            ]
        return self._encoded(document).encode("utf-8", "strict")

    def nested(
        self, data: dict[str, Any], exact: dict[str, Any] | None = None
    ) -> Nested | dict[str, Any]:
        """Return the document for others to hold: as it is if JSON can't hold it, so that each of
        those fails by itself."""
        document = self.document(data, exact)[0]
        try:
            return Nested(document, self._encoded(document))
        except (ValueError, TypeError, OverflowError):
            return document

    def document(
        self, data: dict[str, Any], exact: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], list[str]]:
        """Return the document and the names of the fields that the index can't hold exactly."""
        document = dict(data)
        exacts: dict[str, Any] = {}
        composed_forms: dict[str, Any] = {}
        folded_forms: dict[str, Any] = {}
        inexact: list[str] = []
        for name, field, quick, has_exact, deep, text in self._plan:
            value = data.get(name)
            if value is None:
                continue
            # Nearly all values: nothing is to be done about them.
            kind = type(value)
            if kind is quick and (
                len(value) <= SHORT_TEXT and value.isascii()
                if kind is str
                else -SMALL_NUMBER < value < SMALL_NUMBER
            ):
                continue
            # The number that the database keeps, where a value of Python's has lost it.
            stored = value if exact is None else exact.get(name, value)
            if not field.fits(stored):
                inexact.append(name)
            elif has_exact:
                exacts[name] = field.to_exact(stored)
            elif not field.restorable and is_json(value):
                exacts[name] = True
            if deep:
                if field.restorable and field.restore is None and not is_json(value):
                    exacts[name] = False
                document[name] = self._plain(value)
            elif not isinstance(value, PLAIN):
                document[name] = self._scalar(value)
            if text:
                form = composed(document[name])
                if form != document[name]:
                    composed_forms[name] = form
                ascii_form = folded(form)
                if ascii_form != form:
                    folded_forms[name] = ascii_form
        if not data.keys() <= self._usual_names:
            for name in data.keys() - self._names:
                if not isinstance(data[name], PLAIN):
                    document[name] = self._plain(data[name])
        if exacts:
            document[EXACT] = exacts
        if composed_forms:
            document[COMPOSED] = composed_forms
        if folded_forms:
            document[FOLDED] = folded_forms
        return document, inexact

    def _scalar(self, value: Any) -> Any:
        rendered = self._default(value)
        return rendered if isinstance(rendered, PLAIN) else self._plain(rendered)

    def _plain(self, value: Any) -> Any:
        """Return *value* as it comes back from JSON: as responses have it."""
        return json.loads(json.dumps(value, cls=self.encoder))

    @staticmethod
    def stub(pk: str, error: Any) -> bytes:
        """Return the document that replaces one that the backend rejected.

        It tells every reader of the index: transparent reads go to the primary while there is one,
        search reads leave it out.
        """
        return json.dumps(
            {"_pk": pk, INEXACT: [ANY_FIELD], REJECTED: {"error": error}}, default=str
        ).encode()


class Serializers:
    """The serializers of models, also of those that are only nested.

    They render values as the engine does.

    :param document_cls: returns the mirror model of a primary's model.
    """

    def __init__(self, document_cls: Callable[[Any], type[BaseDocument]]) -> None:
        from nefertari import engine

        self.document_cls = document_cls
        self._encoder: type[json.JSONEncoder] = engine.JSONEncoder
        self._by_model: dict[Any, Serializer] = {}

    def of(self, model: Any) -> Serializer:
        """Return the serializer of *model*, made at the first call."""
        if model not in self._by_model:
            self._by_model[model] = Serializer(self.document_cls(model), self._encoder)
        return self._by_model[model]


def body_or_error(
    serializer: Serializer,
    record: dict[str, Any],
    exact: Optional[dict[str, Any]] = None,
    inexact: Iterable[str] = (),
) -> Body:
    """Return what :meth:`Serializer.body` returns, or the error that it raises."""
    try:
        return serializer.body(record, exact, inexact)
    except (ValueError, TypeError, OverflowError) as error:
        return error
