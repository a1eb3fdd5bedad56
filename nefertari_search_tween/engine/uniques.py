"""Fields that are ``unique``: reservations.

An index keeps ids apart and nothing else, so a value of a unique field is reserved by a document
of its own, whose id is made of model, field and value, before the document that has the value
is written. The backend lets only one be created.

Why no two documents get the same value, and what happens when a process dies:

1. A writer creates the reservation (with its document's id and an end, LEASE_SECONDS from now),
   writes its document, and reads the reservation again. Only then its caller is answered.
2. A writer that finds a reservation looks at the document that it names. If that one has the
   value, it is taken. If not, and the end is not over, somebody is between the steps of 1:
   it is taken, too. If the end is over, that process died, or left the value and died before it
   released it (4): the reservation is replaced, on condition that it still is the one that was
   read, so by one of many who try.
3. A process that was frozen between the steps for longer than the lease, and whose reservation
   was replaced meanwhile, finds that out when it reads it again: it takes its document back (by
   the stamp of its own write) and answers 409. So no two callers are ever told that they have
   the value. Readers may see both documents until then; should the process also die in that very
   moment, both stay. That takes a pause of more than LEASE_SECONDS and a crash within
   milliseconds of its end.
4. A value that is given up is released after the document is written without it. A process that
   dies before leaves a reservation whose document has another value: see 2. Until its end is
   over the value is refused, nothing else.

Clocks of machines may differ by less than LEASE_SECONDS. Missing values are not reserved: as in
SQL, any number of documents have none.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable
from typing import Any, Optional

from nefertari.json_httpexceptions import JHTTPConflict

from nefertari_search_tween.backends.base import Stamp
from nefertari_search_tween.engine import storage
from nefertari_search_tween.engine.fields import Relationship
from nefertari_search_tween.engine.serializers import json_default
from nefertari_search_tween.engine.state import id_of
from nefertari_search_tween.engine.values import pack

#: far above the longest that a write takes
LEASE_SECONDS = 30.0
TRIES = 10


def unique_names(model: Any) -> list[str]:
    """The unique fields of *model*; its primary key is the document's id and needs no more."""
    return [
        name
        for name, field in model.fields().items()
        if field._init_kwargs.get("unique")
        and not field.primary_key
        and not isinstance(field, Relationship)
    ]


def conflict(model: Any, field: str = "") -> JHTTPConflict:
    """The error of a document that is there already."""
    message = f"Resource `{model.__name__}` already exists."
    if field:
        message += f" The value of `{field}` is taken."
    return JHTTPConflict(message, detail=message)


class Claims:
    """The reservations of one write of one document.

    :param pk: of the document.
    """

    def __init__(self, model: Any, pk: Any) -> None:
        self.model = model
        self.pk = pk
        self.fresh: dict[str, tuple[str, Stamp]] = {}

    def take(self, values: dict[str, Any], names: Iterable[str]) -> None:
        """Reserve the values of the fields *names*.

        :raises JHTTPConflict: one is taken; then none is reserved.
        """
        try:
            for name in names:
                if values.get(name) is not None:
                    self._take(name, values[name])
        except BaseException:
            self.give_back()
            raise

    def _take(self, name: str, value: Any) -> None:
        database = storage.current()
        identity = _identity(self.model, name, value)
        for _ in range(TRIES):
            stamp = database.write_key(identity, self._body(name), None)
            if stamp is None:
                found = database.key(identity)
                if found is None:
                    # It was given back just now.
                    continue
                if self._holds(found.source, name, value):
                    if found.source["id"] == id_of(self.pk):
                        return
                    raise conflict(self.model, name)
                if time.time() < found.source["until"]:
                    raise conflict(self.model, name)
                stamp = database.write_key(identity, self._body(name), found.stamp)
            if stamp is not None:
                self.fresh[identity] = (name, stamp)
                return
        raise conflict(self.model, name)

    def _holds(self, reservation: dict[str, Any], name: str, value: Any) -> bool:
        """True when the document that has the reservation has the value."""
        identity = reservation["id"]
        stored = storage.current().stored(self.model, [identity])[identity]
        if stored is None:
            return False
        held = self.model._of_stored(stored)._state.values.get(name)
        return _form(self.model, name, held) == _form(self.model, name, value)

    def confirm(self) -> Optional[str]:
        """After the write: the name of a field whose value went to another meanwhile."""
        database = storage.current()
        for identity, (name, _) in self.fresh.items():
            for _ in range(TRIES):
                found = database.key(identity)
                if found is not None:
                    if found.source["id"] != id_of(self.pk):
                        return name
                    break
                if database.write_key(identity, self._body(name), None) is not None:
                    break
            else:
                return name
        return None

    def give_back(self) -> None:
        """The write was not made: free what was reserved for it."""
        for identity, (_, stamp) in self.fresh.items():
            storage.current().write_key(identity, None, stamp)
        self.fresh = {}

    def _body(self, name: str) -> bytes:
        reservation = {
            "model": self.model.__name__,
            "field": name,
            "id": id_of(self.pk),
            "until": time.time() + LEASE_SECONDS,
        }
        return json.dumps(reservation).encode()


def release(model: Any, pk: Any, values: dict[str, Any], names: Iterable[str]) -> None:
    """The document *pk* does not have these values any more: others may."""
    database = storage.current()
    for name in names:
        if values.get(name) is None:
            continue
        identity = _identity(model, name, values[name])
        found = database.key(identity)
        if found is not None and found.source["id"] == id_of(pk):
            database.write_key(identity, None, found.stamp)


def _form(model: Any, name: str, value: Any) -> str:
    if value is None:
        return ""
    packed = pack(model.fields()[name], value)
    return json.dumps(value if packed is None else packed, sort_keys=True, default=json_default)


def _identity(model: Any, name: str, value: Any) -> str:
    text = json.dumps([model.__name__, name, _form(model, name, value)])
    return "unique:" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
