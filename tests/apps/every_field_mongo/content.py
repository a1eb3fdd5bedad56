"""Random documents of the application, and random changes of them."""

from __future__ import annotations

import datetime
import random
from typing import Any

from tests.support.edge_values import edge_values, maybe

WRITES = ["create", "update", "move", "rename", "delete", "bulk", "bulk-delete", "many", "raw"]


def random_item(chooser: random.Random, number: int) -> dict[str, Any]:
    """Values for the fields of an item that are given when it is made."""
    return {
        **edge_values(chooser, number),
        "level": maybe(chooser, 1, 2, 3),
        "amount": maybe(chooser, 0, -1, 2**31 - 1, number),
        "options": maybe(
            chooser, {}, {"a": {"b": [1, 2]}}, {"x": 1, "when": datetime.datetime(2020, 1, 1)}
        ),
    }


def set_others(item: Any, chooser: random.Random) -> None:
    """Fields whose values nefertari_mongodb does not take when an object is made."""
    item.span = maybe(chooser, 0, 5, 3 * 86400 + 5)
    item.thing = maybe(chooser, {"a": [1, None, "ü"]}, "text", datetime.date(2020, 1, 1))


def fill(count: int) -> None:
    from tests.apps.every_field_mongo.models import (
        Custom,
        Item,
        Keeper,
        Label,
        Marked,
        Node,
        Tag,
        Visit,
    )

    chooser = random.Random(7)
    keepers = [
        Keeper(code=code, name=f"Keeper {code}").save() for code in ("a", "B", "ä", "x/y", "z z")
    ]
    tags = [Tag(number=n, name=name).save() for n, name in enumerate(("big", "small", "Big"))]
    items = []
    for number in range(count):
        item = Item(**random_item(chooser, number), tags=chooser.sample(tags, chooser.randrange(4)))
        set_others(item, chooser)
        if chooser.random() < 0.3:
            item.label = Label(text=f"Label {number}").save()
        item.save()
        keeper = chooser.choice([None, *keepers])
        if keeper is not None:
            item.update({"keeper": keeper})
        items.append(item)
    for n in range(20):
        Visit(guest=f"Guest {n % 7}", item=chooser.choice(items)).save()
    nodes = [Node(name=f"Node {n % 9}").save() for n in range(12)]
    nodes[0].update({"children": nodes[1:4]})
    for n in range(5):
        Custom(first=f"F{n}", last=f"L{n % 3}").save()
    for n in range(9):
        Marked(name=f"Marked {n % 4}").save()


def change(kind: str, number: int) -> None:
    """One random write; most change what other documents show."""
    from tests.apps.every_field_mongo.models import Item, Keeper, Label, Node, Tag, Visit

    chooser = random.Random(number)

    def one(model: Any) -> Any:
        return chooser.choice(list(model.objects.order_by("pk")) or [None])

    item = one(Item)
    if kind == "create" or item is None:
        item = Item(**random_item(chooser, number))
        set_others(item, chooser)
        item.save()
    elif kind == "update":
        for name, value in random_item(chooser, number).items():
            setattr(item, name, value)
        set_others(item, chooser)
        item.save()
    elif kind == "move":
        item.update({"keeper": one(Keeper), "label": Label(text=f"new {number}").save()})
        item.update({"tags": [tag for tag in [one(Tag)] if tag is not None]})
    elif kind == "rename":
        for each in (one(Keeper), one(Tag), one(Node)):
            if each is not None:
                each.update({"name": f"renamed {number}"})
        if item.label is not None:
            item.label.update({"text": f"changed {number}"})
    elif kind == "delete":
        victim = one(chooser.choice([Item, Keeper, Visit, Tag, Node]))
        if victim is not None:
            victim.delete()
    elif kind == "bulk":
        Item.objects(amount=item.amount).update(set__owner=chooser.choice(["bob", "eve"]))
    elif kind == "bulk-delete":
        Visit.objects(guest=f"Guest {number % 7}").delete()
    elif kind == "many":
        Item._update_many(Item.get_collection(kind="red"), {"small": number % 100})
        Item.objects(pk=item.pk).modify(inc__amount=1)
        Tag.objects(number=number).update_one(upsert=True, set__name=f"upserted {number}")
    elif kind == "raw":
        Item.objects.insert([Item(**random_item(chooser, n)) for n in (number, number + 1)])
