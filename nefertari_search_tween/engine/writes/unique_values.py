"""Reserve the values of fields that are ``unique``, alone or with others (``unique_with``).

An index keeps only ids unique, so a value of a unique field is reserved by a separate document,
whose id is made of model, field and value, before the document with the value is written. A
group of fields counts as one value. The backend lets only one reservation be created.

Why no two documents get the same value, and what happens when a process dies:

1. A writer creates the reservation (with its document's id and a lease of LEASE_SECONDS), writes
   its document, and reads the reservation again. Only then does its caller get a response.
2. A writer that finds a reservation reads the document that it names. If that one has the value,
   the value is taken. If not, and the lease has not expired, another writer is between the steps
   of 1: the value is taken, too. If the lease expired, that process died, or it gave up the value
   and died before it released it (4): the reservation is replaced if it still has the version
   that was read, so only one of many competing writers replaces it.
3. A process that was frozen between the steps for longer than the lease, and whose reservation
   was replaced in the meantime, notices that when it reads it again: it undoes its write (by the
   version of that write) and responds with 409. So no two callers are ever told that they have
   the value. Readers may see both documents until then; if the process also dies at that very
   moment, both stay. That takes a pause of more than LEASE_SECONDS and a crash within
   milliseconds of its end.
4. A value that is given up is released after the document is written without it. A process that
   dies before that leaves a reservation whose document has another value: see 2. Until its lease
   expires the value is rejected; nothing else happens.

Clocks of machines may differ by less than LEASE_SECONDS. Missing values are not reserved, nor are
groups with a missing value: as in SQL, any number of documents may have none.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Iterator
from typing import Any, Optional

from nefertari.json_httpexceptions import JHTTPConflict

from nefertari_search_tween.backends.base import SequenceVersion
from nefertari_search_tween.documents.fields import ForeignKeyField, Relationship
from nefertari_search_tween.engine import database as engine_database
from nefertari_search_tween.engine.document_state import id_of
from nefertari_search_tween.engine.serializers import json_default
from nefertari_search_tween.engine.values import pack
from nefertari_search_tween.exceptions import ConfigurationError

#: names of the fields that are unique together; usually one
Group = tuple[str, ...]
#: far longer than any write takes
LEASE_SECONDS = 30.0
TRIES = 10


def unique_groups(model: Any) -> list[Group]:
    """Return the unique groups of *model* without its primary key, which is the document's id.

    :raises ConfigurationError: ``unique_with`` names a field that can't be part of a group.
    """
    groups: list[Group] = []
    fields = model.fields()
    for name, field in fields.items():
        params = field._init_kwargs
        others = params.get("unique_with")
        if field.primary_key or isinstance(field, Relationship):
            continue
        if others:
            group = (name, *([others] if isinstance(others, str) else others))
            for each in group:
                if isinstance(fields.get(each, field), (ForeignKeyField, Relationship)):
                    raise ConfigurationError(
                        f"{model.__name__}.{name}: unique_with can't have a relationship ('{each}')"
                    )
                if each not in fields:
                    raise ConfigurationError(
                        f"{model.__name__}.{name}: unique_with names '{each}', which is no field"
                    )
            groups.append(group)
        elif params.get("unique"):
            groups.append((name,))
    return groups


def changed_groups(model: Any, changed: Iterable[str]) -> list[Group]:
    """Return the unique groups that contain one of the fields *changed*."""
    changed = set(changed)
    return [group for group in unique_groups(model) if changed & set(group)]


def conflict(model: Any, group: Group = ()) -> JHTTPConflict:
    """Return the error for a document or unique value that already exists."""
    message = f"Resource `{model.__name__}` already exists."
    if group:
        names = ", ".join(f"`{name}`" for name in group)
        message += f" The value of {names} is taken."
    return JHTTPConflict(message, detail=message)


class UniqueReservations:
    """The reservations for one write of one document.

    :param pk: primary key of the document.
    """

    def __init__(self, model: Any, pk: Any) -> None:
        self.model = model
        self.pk = pk
        self.fresh: dict[str, tuple[Group, SequenceVersion]] = {}

    def reserve(self, values: dict[str, Any], groups: Iterable[Group]) -> None:
        """Reserve the values of *groups*.

        :raises JHTTPConflict: one is taken; then none is reserved.
        """
        try:
            for group, form, identity in _identities(self.model, values, groups):
                self._reserve_one(group, form, identity)
        except BaseException:
            self.release()
            raise

    def transfer(self, values: dict[str, Any], groups: Iterable[Group], pk: Any) -> None:
        """Take over the reservations of these values from the document *pk*, which became this one.

        No other document can get them in the meantime, because there is always a document that
        has the value.
        """
        database = engine_database.current()
        for group, _, identity in _identities(self.model, values, groups):
            reservation = database.key(identity)
            if reservation is None or reservation.source["id"] == id_of(pk):
                expected = None if reservation is None else reservation.version
                version = database.write_key(identity, self._body(group), expected)
                if version is not None:
                    self.fresh[identity] = (group, version)

    def _reserve_one(self, group: Group, form: str, identity: str) -> None:
        database = engine_database.current()
        for _ in range(TRIES):
            version = database.write_key(identity, self._body(group), None)
            if version is None:
                reservation = database.key(identity)
                if reservation is None:
                    # It was released just now.
                    continue
                if self._holds(reservation.source, group, form):
                    if reservation.source["id"] == id_of(self.pk):
                        return
                    raise conflict(self.model, group)
                if time.time() < reservation.source["until"]:
                    raise conflict(self.model, group)
                version = database.write_key(identity, self._body(group), reservation.version)
            if version is not None:
                self.fresh[identity] = (group, version)
                return
        raise conflict(self.model, group)

    def _holds(self, reservation: dict[str, Any], group: Group, form: str) -> bool:
        """Return True if the document of the reservation has the value."""
        identity = reservation["id"]
        stored = engine_database.current().stored(self.model, [identity])[identity]
        if stored is None:
            return False
        return _form(self.model, group, self.model._from_stored(stored)._state.values) == form

    def confirm(self) -> Optional[Group]:
        """After the write, return the fields whose value another document got in the meantime."""
        database = engine_database.current()
        for identity, (group, _) in self.fresh.items():
            for _ in range(TRIES):
                reservation = database.key(identity)
                if reservation is not None:
                    if reservation.source["id"] != id_of(self.pk):
                        return group
                    break
                if database.write_key(identity, self._body(group), None) is not None:
                    break
            else:
                return group
        return None

    def release(self) -> None:
        """Release the reservations, because the write was not made."""
        for identity, (_, version) in self.fresh.items():
            engine_database.current().write_key(identity, None, version)
        self.fresh = {}

    def _body(self, group: Group) -> bytes:
        reservation = {
            "model": self.model.__name__,
            "field": "+".join(group),
            "id": id_of(self.pk),
            "until": time.time() + LEASE_SECONDS,
        }
        return json.dumps(reservation).encode()


def release(model: Any, pk: Any, values: dict[str, Any], groups: Iterable[Group]) -> None:
    """Release values that the document *pk* no longer has."""
    database = engine_database.current()
    for _, _, identity in _identities(model, values, groups):
        reservation = database.key(identity)
        if reservation is not None and reservation.source["id"] == id_of(pk):
            database.write_key(identity, None, reservation.version)


def _identities(
    model: Any, values: dict[str, Any], groups: Iterable[Group]
) -> Iterator[tuple[Group, str, str]]:
    """Yield each of *groups* without missing values, with its value as text and the id of the
    reservation."""
    for group in groups:
        form = _form(model, group, values)
        if form is not None:
            name = group[0] if len(group) == 1 else list(group)
            text = json.dumps([model.__name__, name, form])
            digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
            yield group, form, f"unique:{digest}"


def _form(model: Any, group: Group, values: dict[str, Any]) -> Optional[str]:
    """Return the value of *group* in *values* as text, None if one of them is missing."""
    forms = []
    for name in group:
        value = values.get(name)
        if value is None:
            return None
        packed = pack(model.fields()[name], value)
        forms.append(value if packed is None else packed)
    form = forms[0] if len(forms) == 1 else forms
    return json.dumps(form, sort_keys=True, default=json_default)
