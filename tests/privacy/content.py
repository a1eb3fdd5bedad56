"""Values of fields by their class, and the objects of an application, made from its models."""

from __future__ import annotations

import datetime
import decimal
import random
from typing import Any

from tests.privacy.served import ModelShape, Shape, State
from tests.support.object_ids import object_id

OBJECTS = 6
#: words of texts: few, so that objects share them
WORDS = ("alpha", "beta", "gamma", "delta", "open", "x")
#: principals that views narrow by, and that objects belong to
OWNERS = ("ann", "bob", "cal")
_DAY = datetime.datetime(2014, 5, 6, 7, 8, 9)


def values_of(shape: Shape, model: str, name: str, key: Any = "") -> list[Any]:
    """Values that a field may have, all different.

    :param key: of the object, which makes unique values.
    :raises LookupError: nobody has said what a field of this class holds.
    """
    field = shape.models[model].fields[name]
    templates = {
        each.narrowing[name]
        for each in shape.collections
        if model in each.models and name in each.narrowing
    }
    if templates:
        literals = [each for each in templates if "{" not in each]
        return [*literals, "closed", "gone"] if literals else list(OWNERS)
    if field.options.get("unique"):
        return [f"{word}.{key}@example.org" for word in WORDS]
    choices = list(field.options.get("choices") or ())
    if choices:
        return [[each] for each in choices] if field.kind == "ListField" else choices
    moments = [_DAY + datetime.timedelta(days=400 * number) for number in range(5)]
    by_kind: dict[str, list[Any]] = {
        "text": [f"{word} {number}" for number, word in enumerate(WORDS)],
        "integer": [7, 1, 2, 3, 4, -5],
        "float": [7.5, 1.5, 2.5, -3.5, 0.0],
        "ExactDecimalField": [decimal.Decimal(each) for each in ("7.5", "1.5", "2.25", "-3", "0")],
        "BooleanField": [True, False],
        "DateTimeField": moments,
        "DateField": [each.date() for each in moments],
        "TimeField": [datetime.time(hour, 30) for hour in (1, 5, 7, 11)],
        "IntervalField": [datetime.timedelta(days=days, seconds=5) for days in (1, 2, 3, 4)],
        "BinaryField": [b"alpha", b"beta", b"gamma"],
        "PickleField": [{"a": 1}, {"a": 2}, {"b": "alpha"}],
        "DictField": [{"a": 1}, {"a": 2}, {"b": "alpha"}],
        "ListField": [["alpha"], ["beta", "alpha"], ["gamma"], []],
    }
    numbers = ("IntegerField", "BigIntegerField", "SmallIntegerField", "IdField")
    texts = ("StringField", "TextField", "UnicodeField", "UnicodeTextField", "ChoiceField")
    by_kind.update(dict.fromkeys(numbers, by_kind["integer"]))
    by_kind.update(dict.fromkeys(texts, by_kind["text"]), FloatField=by_kind["float"])
    by_kind["DecimalField"] = by_kind["ExactDecimalField"]
    if field.kind not in by_kind:
        raise LookupError(f"{model}.{name}: what does a {field.kind} hold? Say it here.")
    values = by_kind[field.kind]
    may_be_empty = not field.options.get("required") and field.kind not in ("ListField",)
    return [*values, None] if may_be_empty else values


def as_text(value: Any) -> str:
    """A value as a caller writes it."""
    if isinstance(value, datetime.datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, list):
        return str(value[0]) if value else ""
    return str(value)


def key_of(shape: ModelShape, number: int, object_ids: bool) -> Any:
    """The key of a model's object number *number*."""
    if not shape.numbered:
        return OWNERS[number - 1] if number <= len(OWNERS) else f"key{number}"
    return object_id(number) if object_ids else number


def contents(shape: Shape, seed: int) -> State:
    """Objects of every model: each value of a field occurs in turn, references lead anywhere."""
    dice = random.Random(seed)
    keys = {
        name: [key_of(model, number, shape.object_ids) for number in range(1, OBJECTS + 1)]
        for name, model in shape.models.items()
    }
    state: State = {}
    for name, model in shape.models.items():
        state[name] = {}
        for number, key in enumerate(keys[name]):
            state[name][key] = item = {}
            for field_name, field in model.fields.items():
                if not field.stored:
                    continue
                if field.is_reference:
                    item[field_name] = keys[field.model][number % 3]
                else:
                    values = [
                        each for each in values_of(shape, name, field_name, key) if each is not None
                    ]
                    item[field_name] = values[(number + dice.randrange(2)) % len(values)]
            if model.has_acl:
                item["_acl"] = [entry("everyone")]
    return state


def entry(principal: str, permission: str = "all", action: str = "allow") -> dict[str, str]:
    """An entry of an object's ACL, as nefertari-guards stores it."""
    return {"action": action, "principal": principal, "permission": permission}
