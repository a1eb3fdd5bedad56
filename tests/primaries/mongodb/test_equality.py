"""Transparent reads on MongoDB: whatever is asked, the mirror answers what the primary answers.

Random requests, with random writes between them, each compared byte for byte; while the mirror
answers, no command reaches a collection of the application.
"""

from __future__ import annotations

import datetime
import decimal
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.read.test_equality import LIMITS, Catalogue, texts
from tests.support import mongodb as on_mongodb
from tests.support.compare_answers import Comparison
from tests.support.tiers import examples

pytestmark = [pytest.mark.mongodb, pytest.mark.every_backend]

EXAMPLES = examples(40)
STEPS = 20
WRITES = ["create", "update", "move", "rename", "delete", "bulk", "bulk-delete", "many", "raw"]


class MongoComparison(Comparison):
    """Counts commands where the other counts statements."""

    def _watch(self) -> None:
        """Nothing: all commands are counted."""

    @property
    def statements(self) -> int:
        return on_mongodb.COMMANDS.count

    @statements.setter
    def statements(self, value: int) -> None:
        """Nothing: see :attr:`statements`."""


def random_item(chooser: random.Random, number: int) -> dict[str, Any]:
    """Values for the fields of an item, with every edge once in a while."""

    def maybe(*values: Any) -> Any:
        return chooser.choice([None, *values])

    return {
        "big": maybe(2**62, -(2**63) + 1, 2**63 - 2, 0, number),
        "flag": maybe(True, False),
        "day": maybe(
            datetime.date(1, 1, 1), datetime.date(9999, 12, 31), datetime.date(2000, 2, 29)
        ),
        "moment": maybe(
            datetime.datetime(1999, 12, 31, 23, 59, 59, 999999),
            datetime.datetime(1999, 12, 31, 23, 59, 59, 1),
            datetime.datetime(1970, 1, 1),
            datetime.datetime(1066, 10, 14, 9, 0),
        ),
        "kind": maybe("red", "green", "blue"),
        "level": maybe(1, 2, 3),
        "ratio": maybe(0.0, -0.0, 0.1, 1e300, 5e-324, -1.5, number / 3),
        "amount": maybe(0, -1, 2**31 - 1, number),
        "blob": maybe(b"", b"\x00\xff'\"", b"plain"),
        "price": maybe(
            decimal.Decimal("0.0001"), decimal.Decimal("99999999.9999"), decimal.Decimal(-number)
        ),
        "small": maybe(-32768, 32767, 7),
        "word": maybe("", "a", "A", "Ä", "ä", "z", " a", "a ", "\U0001f600", "\uffff", "a" * 200),
        "prose": maybe("", "x\ny", "the quick brown fox"),
        "clock": maybe(datetime.time(0, 0), datetime.time(23, 59, 59, 999999)),
        "name": maybe("Lion", "lion", "LION", "Löwe", "a,b", "100%", "under_score", "_all"),
        "story": maybe("", "x" * 9000, "y" * 10),
        "options": maybe({}, {"a": {"b": [1, 2]}}, {"x": 1, "when": datetime.datetime(2020, 1, 1)}),
        "words": maybe([], ["a"], ["b", "a", "b"], ["a,b", ""]),
        "owner": maybe("bob", "bob smith"),
    }


def set_others(item: Any, chooser: random.Random) -> None:
    """Fields whose values nefertari_mongodb does not take when an object is made."""
    item.span = chooser.choice([None, 0, 5, 3 * 86400 + 5])
    item.thing = chooser.choice([None, {"a": [1, None, "ü"]}, "text", datetime.date(2020, 1, 1)])


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


@pytest.fixture(scope="module")
def catalogue(mongodb: dict[str, str], backend_url: str, module_prefix: str) -> Catalogue:
    app = on_mongodb.zoo(mongodb, backend_url, module_prefix)
    fill(60)
    from tests.apps.every_field_mongo import models

    paths = {}
    for path, model in (
        ("/items", models.Item),
        ("/keepers", models.Keeper),
        ("/tags", models.Tag),
        ("/visits", models.Visit),
        ("/nodes", models.Node),
        ("/customs", models.Custom),
        ("/marked", models.Marked),
        ("/narrows", models.Item),
    ):
        fields = {}
        # What is never answered by the mirror is asked now and then only.
        relations = {"keeper", "label", "tags", "items", "item", "children"}
        rare = {*relations, "keeper_code", "blob", "thing", "options"}
        for name in model._fields:
            values = [getattr(each, name) for each in model.objects]
            fields[name] = [] if name in rare else texts(values)
        paths[path] = (model.pk_field(), fields)
    comparison = MongoComparison(app, opaque="thing")
    comparison.default_sorts["/nodes"] = "-name"
    return Catalogue(comparison, paths, LIMITS)


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(data=st.data())
def test_random_requests(catalogue: Catalogue, data: Any) -> None:
    kind = data.draw(st.sampled_from([None, *WRITES]))
    if kind is not None:
        change(kind, data.draw(st.integers(0, 100_000)))
    for _ in range(STEPS):
        catalogue.step(data)


def test_the_mirror_answered_most_of_them(catalogue: Catalogue, record_property: Any) -> None:
    comparison = catalogue.comparison
    record_property("compared", comparison.report("zoo on MongoDB"))
    assert comparison.requests >= EXAMPLES * STEPS
    # Bad parameters and what only the database can do are asked, too; the rest is ours.
    assert comparison.by_mirror > comparison.requests / 3


def test_nothing_is_left_to_do_or_refused(catalogue: Catalogue) -> None:
    from tests.support.apps import search_of

    outbox = search_of(catalogue.comparison.app).outbox
    assert outbox.pending_count() == 0
    assert outbox.dead_letters() == []
