"""Write objects by the application's own models, whatever engine stores them.

    python -m tests.apps.private_fields.writing INI key=value... < changes

Each line of the input is a list of changes, ``[model, key, values]``: the object is created, or
changed if it exists. Each line is one transaction, acknowledged by a line when it is committed.
"""

from __future__ import annotations

import json
import sys
from datetime import datetime
from typing import Any

import transaction
from pyramid.paster import bootstrap

from tests.support.object_ids import object_id

#: relationships that are written, and the model whose keys they take
REFERENCES = {"author": "Member", "member": "Member"}


def write(name: str, key: Any, values: dict[str, Any]) -> None:
    """Create or change one object.

    :param values: of fields; of a relationship the key of the other object, of a moment its text;
        ``token`` is that of the member's API key.
    """
    from nefertari import engine

    cls = engine.get_document_cls(name)
    token = values.pop("token", None)
    values = {each: _value(engine, each, value) for each, value in values.items()}
    pk = cls.pk_field()
    key = _key(cls, key)
    item = cls.get_item(**{pk: key}, _raise_on_empty=False)
    if item is None:
        cls(**{pk: key, **values}).save()
    else:
        item.update(values)
    if token is not None:
        # It was created with the member.
        api_key = cls.get_item(**{pk: key}).api_key
        (api_key[0] if isinstance(api_key, list) else api_key).update({"token": token})


def _key(cls: Any, key: Any) -> Any:
    """MongoDB's ids are no numbers."""
    on_mongodb = any(each.__module__.startswith("nefertari_mongodb") for each in cls.__mro__)
    return object_id(key) if on_mongodb and isinstance(key, int) else key


def _value(engine: Any, name: str, value: Any) -> Any:
    if name == "due" and value is not None:
        return datetime.fromisoformat(value)
    if name in REFERENCES:
        other = engine.get_document_cls(REFERENCES[name])
        return other.get_item(**{other.pk_field(): value})
    return value


def main() -> None:
    ini, *words = sys.argv[1:]
    options = dict(word.split("=", 1) for word in words)
    bootstrap(ini, options=options)
    for line in sys.stdin:
        for name, key, values in json.loads(line):
            write(name, key, values)
        transaction.commit()
        print("written", flush=True)


if __name__ == "__main__":
    main()
