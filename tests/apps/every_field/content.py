"""Random objects of the application, and random changes of them."""

from __future__ import annotations

import datetime
import random
from typing import Any

import transaction

from tests.support.edge_values import edge_values, maybe
from tests.support.random_requests import texts

WRITES = ["create", "update", "move", "rename", "reorder", "delete", "bulk", "bulk-delete"]


def random_item(chooser: random.Random, number: int) -> dict[str, Any]:
    """Values for every column of an item."""
    return {
        **edge_values(chooser, number),
        "count": maybe(chooser, 0, -1, 2**31 - 1, number),
        "span": maybe(
            chooser, datetime.timedelta(days=3, seconds=5), datetime.timedelta(microseconds=1)
        ),
        "thing": maybe(chooser, {"a": [1, None, "ü"]}, [1.5], "text", datetime.date(2020, 1, 1)),
        "options": maybe(chooser, {}, {"a": {"b": [1, 2]}}, {"": 1, "x.y": None}),
    }


def random_meal(chooser: random.Random, number: int) -> dict[str, Any]:
    """Values for every column of a meal but its pen."""
    return {
        # Few: equal ones are ordered by key.
        "rank": maybe(chooser, 0, -1, 2, number % 5),
        "q": maybe(chooser, "", "hay", "Hay", "green hay"),
        "foods": maybe(chooser, [], ["hay"], ["hay", "fish", "hay"], ["hay,fish", ""]),
        "doses": maybe(chooser, [], [1], [3, 1, 3], [2**31 - 1, -1]),
        "weights": maybe(chooser, [], [0.5], [-1.5, 1e300, 0.1]),
    }


def values_of(model: Any) -> dict[str, list[str]]:
    """Field -> its values as a caller writes them; none for relationships."""
    from pyramid_sqlalchemy import Session

    columns = model._mapped_columns()
    return {
        name: texts(row[0] for row in Session().query(getattr(model, name)).all())
        if name in columns
        else []
        for name in model.native_fields()
    }


def fill_zoo(count: int) -> None:
    from pyramid_sqlalchemy import Session

    from tests.apps.every_field.models import (
        Custom,
        Item,
        Keeper,
        Label,
        Marked,
        Meal,
        Node,
        Pen,
        Round,
        Tag,
        Visit,
    )

    chooser = random.Random(7)
    session = Session()
    keepers = [Keeper(code=code, name=f"Keeper {code}") for code in ("a", "B", "ä", "x/y", "z z")]
    tags = [Tag(name=name) for name in ("big", "small", "Big", "wild")]
    session.add_all([*keepers, *tags])
    items = []
    for number in range(count):
        item = Item(
            **random_item(chooser, number),
            keeper=chooser.choice([None, *keepers]),
            tags=chooser.sample(tags, chooser.randrange(4)),
        )
        if chooser.random() < 0.3:
            item.label = Label(text=f"Label {number}")
        items.append(item)
    session.add_all(items)
    session.add_all(Visit(guest=f"Guest {n % 7}", item=chooser.choice(items)) for n in range(20))
    nodes = [Node(name=f"Node {n}") for n in range(12)]
    for node in nodes[1:]:
        node.parent = chooser.choice([None, *nodes[:3]])
    nodes[0].parent = None
    session.add_all(nodes)
    session.add_all(Custom(first=f"F{n}", last=f"L{n % 3}") for n in range(5))
    session.add_all(Marked(name=f"Marked {n % 4}") for n in range(9))
    meals = [Meal(**random_meal(chooser, n)) for n in range(15)]
    session.add_all(
        [
            *(Pen(name=f"Pen {n}", meals=meals[n::4]) for n in range(3)),
            *(Round(name=f"Round {n}", meals=chooser.sample(meals, 4)) for n in range(3)),
            *meals,
        ]
    )
    transaction.commit()


def change_zoo(kind: str, number: int) -> None:
    from pyramid_sqlalchemy import Session

    from tests.apps.every_field.models import (
        Item,
        Keeper,
        Label,
        Meal,
        Node,
        Pen,
        Round,
        Tag,
        Visit,
    )

    chooser = random.Random(number)
    session = Session()

    def one(model: Any) -> Any:
        rows = session.query(model).order_by(getattr(model, model.pk_field())).all()
        return chooser.choice(rows) if rows else None

    item = one(Item)
    if kind == "create" or item is None:
        session.add(Item(**random_item(chooser, number), keeper=one(Keeper)))
    elif kind == "update":
        for name, value in random_item(chooser, number).items():
            setattr(item, name, value)
    elif kind == "move":
        item.keeper = one(Keeper)
        item.tags = [tag for tag in [one(Tag)] if tag is not None]
        item.label = Label(text=f"new {number}")
    elif kind == "rename":
        keeper, tag, node = one(Keeper), one(Tag), one(Node)
        if keeper is not None:
            keeper.name = f"Keeper {number}"
        if tag is not None:
            tag.items = [item]
        if node is not None:
            node.name = f"Node {number}"
            node.children = []
    elif kind == "reorder":
        meal, pen, round_ = one(Meal), one(Pen), one(Round)
        if number % 3:
            for name, value in random_meal(chooser, number).items():
                setattr(meal, name, value)
        else:
            session.query(Meal).filter(Meal.id <= meal.id).update(
                {"rank": number % 4}, synchronize_session=False
            )
        meal.pen = chooser.choice([meal.pen, pen])
        round_.meals = [*round_.meals[1:], one(Meal)]
    elif kind == "delete":
        victim = one(chooser.choice([Item, Keeper, Visit, Tag]))
        if victim is not None:
            session.delete(victim)
    elif kind == "bulk":
        # Of keepers that are there: PostgreSQL refuses others.
        codes = [None, *[code for (code,) in session.query(Keeper.code).order_by(Keeper.code)]]
        session.query(Item).filter(Item.id <= number % 60).update(
            {"keeper_code": chooser.choice(codes)}, synchronize_session=False
        )
    elif kind == "bulk-delete":
        session.query(Visit).filter(Visit.id == number % 30).delete(synchronize_session=False)
    transaction.commit() if number % 4 else transaction.abort()
