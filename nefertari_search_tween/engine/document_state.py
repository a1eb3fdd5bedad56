"""What one document of a model holds in memory, and what it was when it was read."""

from __future__ import annotations

import copy
import json
from typing import Any, Optional

from nefertari.json_httpexceptions import JHTTPBadRequest

from nefertari_search_tween.backends.base import SequenceVersion, StoredDocument
from nefertari_search_tween.documents.fields import PickleField, Relationship
from nefertari_search_tween.documents.format import INEXACT, PACKED
from nefertari_search_tween.engine.serializers import JSONEncoder
from nefertari_search_tween.engine.values import clean, default_of, has_onupdate, onupdate_of
from nefertari_search_tween.engine.values import pack as packed
from nefertari_search_tween.engine.values import unpack as unpacked
from nefertari_search_tween.mirror.serializer import Serializer, document_id


class State:
    """Values of a document.

    :ivar values: of fields that the document itself holds, keys of other documents included.
    :ivar read: the same as of the last read or write; what differs is to be written.
    :ivar given: names that were assigned since.
    :ivar related: other documents, by relationship, where they were read or assigned.
    :ivar keys: their keys as of the read; a list that differs is to be written.
    :ivar stamp: of the state that was read or written last; None for a new document.
    """

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.read: dict[str, Any] = {}
        self.given: set[str] = set()
        self.related: dict[str, Any] = {}
        self.keys: dict[str, list[Any]] = {}
        self.stamp: Optional[SequenceVersion] = None

    def changed(self) -> list[str]:
        """Names of the values that differ from what was read."""
        missing = object()
        return [
            name
            for name, value in self.values.items()
            if type(value) is not type(self.read.get(name, missing)) or value != self.read[name]
        ]

    def written(self, stamp: SequenceVersion) -> None:
        """The values are those of the database now."""
        self.stamp = stamp
        self.settle()

    def settle(self) -> None:
        self.read = {name: _kept(value) for name, value in self.values.items()}
        self.given = set()


def _kept(value: Any) -> Any:
    """A copy of what can be changed in place."""
    if value is None or isinstance(value, (str, int, float, bytes)):
        return value
    return copy.deepcopy(value)


def held_names(model: Any) -> list[str]:
    """Names of the fields that documents of *model* hold themselves."""
    links = model.links()
    return [
        name
        for name, field in model.fields().items()
        if not isinstance(field, Relationship)
        or (links[name].is_owning and links[name].field == name)
    ]


def loaded(model: Any, stored: StoredDocument) -> State:
    """The state of a stored document."""
    state = State()
    source, exact = stored.source, stored.source.get(PACKED) or {}
    fields = model.fields()
    for name in held_names(model):
        if name in exact:
            state.values[name] = unpacked(fields[name], exact[name])
        else:
            value = source.get(name)
            several = isinstance(fields[name], Relationship) and fields[name].uselist
            state.values[name] = [] if several and value is None else value
    state.written(stored.version)
    return state


def fill(model: Any, state: State) -> None:
    """Give values to the fields that were given none.

    :raises JHTTPBadRequest: a value that a field does not take, or none where it needs one.
    """
    created = state.stamp is None
    changed = state.changed()
    for name, field in model.fields().items():
        if isinstance(field, Relationship):
            continue
        if created and state.values.get(name) is None:
            # Also for None: so do nefertari's engines.
            state.values[name] = default_of(field)
        elif not created and changed and has_onupdate(field) and name not in state.given:
            state.values[name] = onupdate_of(field)
        else:
            state.values.setdefault(name, None)
    for name in held_names(model):
        state.values.setdefault(
            name, [] if getattr(model.fields()[name], "uselist", False) else None
        )
    for name in list(state.values) if created else state.changed():
        _clean(model, state, name)


def _clean(model: Any, state: State, name: str) -> None:
    field = model.fields()[name]
    value = state.values[name]
    if isinstance(field, Relationship):
        return
    if value is None:
        automatic = field.primary_key and field.kind == "integer"
        if (field._init_kwargs.get("required") or field.primary_key) and not automatic:
            raise JHTTPBadRequest(f"Resource `{model.__name__}`: Field `{name}`: is required")
        return
    try:
        state.values[name] = clean(field, value)
    except ValueError as error:
        raise JHTTPBadRequest(f"Resource `{model.__name__}`: {error}") from error


def body_of(model: Any, state: State) -> bytes:
    """The document as JSON text: rendered and exact forms to be searched, and what was lost
    in them.

    :raises JHTTPBadRequest: a value that no JSON can show.
    """
    fields = model.fields()
    values = dict(state.values)
    pk = values[model.pk_field()]
    rendered = {
        name: _rendered(value) if isinstance(fields[name], PickleField) else value
        for name, value in values.items()
    }
    try:
        serializer = Serializer(model, JSONEncoder)
        document, inexact = serializer.document(
            {**rendered, "_type": model.__name__, "_pk": str(pk)}
        )
        kept = {
            name: packed(fields[name], value)
            for name, value in values.items()
            if value is not None and not isinstance(fields[name], Relationship)
        }
        document[PACKED] = {name: value for name, value in kept.items() if value is not None}
        if inexact:
            document[INEXACT] = inexact
        return json.dumps(document, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except (TypeError, ValueError) as error:
        raise JHTTPBadRequest(f"Resource `{model.__name__}`: {error}") from error


def _rendered(value: Any) -> Any:
    """A pickled object as what a document shows of it."""
    try:
        return json.loads(json.dumps(value, cls=JSONEncoder, allow_nan=False))
    except (TypeError, ValueError):
        return str(value)


def id_of(pk: Any) -> str:
    """The id of the document with the primary key *pk*."""
    return document_id(pk)
