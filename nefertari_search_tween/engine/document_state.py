"""The values of one document in memory, and those that it had when it was read."""

from __future__ import annotations

import copy
import json
from typing import Any, Optional

from nefertari.json_httpexceptions import JHTTPBadRequest

from nefertari_search_tween.backends.base import SequenceVersion, StoredDocument
from nefertari_search_tween.documents.fields import PickleField, Relationship
from nefertari_search_tween.documents.format import INEXACT, PACKED
from nefertari_search_tween.engine.serializers import JSONEncoder
from nefertari_search_tween.engine.values import (
    clean,
    default_of,
    has_onupdate,
    onupdate_of,
    pack,
    unpack,
)
from nefertari_search_tween.mirror.serializer import Serializer, document_id


class State:
    """The values of a document.

    :ivar values: values by name of stored field, including the keys of other documents.
    :ivar read: the same as of the last read or write; differing values are written.
    :ivar assigned: names that were assigned since.
    :ivar related: other documents by relationship, if they were read or assigned.
    :ivar keys: their keys as of the read; differing keys are written.
    :ivar version: version that was read or written last; None for a new document.
    """

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.read: dict[str, Any] = {}
        self.assigned: set[str] = set()
        self.related: dict[str, Any] = {}
        self.keys: dict[str, list[Any]] = {}
        self.version: Optional[SequenceVersion] = None

    def changed_names(self) -> list[str]:
        """Return the names of the values that differ from those that were read."""
        missing = object()
        return [
            name
            for name, value in self.values.items()
            if type(value) is not type(self.read.get(name, missing)) or value != self.read[name]
        ]

    def mark_written(self, version: SequenceVersion) -> None:
        """Record that the database has these values at *version*."""
        self.version = version
        self.reset()

    def reset(self) -> None:
        self.read = {name: _snapshot(value) for name, value in self.values.items()}
        self.assigned = set()


def _snapshot(value: Any) -> Any:
    """Return *value*, or a copy of it if it can be changed in place."""
    if value is None or isinstance(value, (str, int, float, bytes)):
        return value
    return copy.deepcopy(value)


def stored_names(model: Any) -> list[str]:
    """Return the names of the fields that documents of *model* store themselves."""
    links = model.links()
    return [
        name
        for name, field in model.fields().items()
        if not isinstance(field, Relationship)
        or (links[name].is_owning and links[name].field == name)
    ]


def load_state(model: Any, stored: StoredDocument) -> State:
    """Return the state of a stored document."""
    state = State()
    source, exact = stored.source, stored.source.get(PACKED) or {}
    fields = model.fields()
    for name in stored_names(model):
        if name in exact:
            state.values[name] = unpack(fields[name], exact[name])
        else:
            value = source.get(name)
            is_list = isinstance(fields[name], Relationship) and fields[name].uselist
            state.values[name] = [] if is_list and value is None else value
    state.mark_written(stored.version)
    return state


def fill(model: Any, state: State) -> None:
    """Set defaults and ``onupdate`` values, and clean all new values.

    :raises JHTTPBadRequest: an invalid value, or none for a required field.
    """
    created = state.version is None
    changed = state.changed_names()
    for name, field in model.fields().items():
        if isinstance(field, Relationship):
            continue
        if created and state.values.get(name) is None:
            # None gets the default too, as in nefertari's engines.
            state.values[name] = default_of(field)
        elif not created and changed and has_onupdate(field) and name not in state.assigned:
            state.values[name] = onupdate_of(field)
        else:
            state.values.setdefault(name, None)
    for name in stored_names(model):
        state.values.setdefault(
            name, [] if getattr(model.fields()[name], "uselist", False) else None
        )
    for name in list(state.values) if created else state.changed_names():
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
    """Return the document as JSON: rendered and exact forms for searches, and lossless values.

    :raises JHTTPBadRequest: a value without a JSON form.
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
        lossless = {
            name: pack(fields[name], value)
            for name, value in values.items()
            if value is not None and not isinstance(fields[name], Relationship)
        }
        document[PACKED] = {name: value for name, value in lossless.items() if value is not None}
        if inexact:
            document[INEXACT] = inexact
        return json.dumps(document, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except (TypeError, ValueError) as error:
        raise JHTTPBadRequest(f"Resource `{model.__name__}`: {error}") from error


def _rendered(value: Any) -> Any:
    """Return the JSON form of a pickled object, its ``str`` if it has none."""
    try:
        return json.loads(json.dumps(value, cls=JSONEncoder, allow_nan=False))
    except (TypeError, ValueError):
        return str(value)


def id_of(pk: Any) -> str:
    """Return the id of the document with the primary key *pk*."""
    return document_id(pk)
