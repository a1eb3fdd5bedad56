"""One process that changes hot objects of the zoo on MongoDB at random, until it is ended.

    python -m tests.faults.mongo_writer INI SEED [key=value ...]

Prints a letter for what became of each piece of work, which has no transaction: c done, x refused
(another writer was faster).

Nobody deletes what another writer may begin to refer to at that moment: without transactions a
reference to nothing would be left, in the database itself.
"""

from __future__ import annotations

import random
import sys
from typing import Any, Callable

from bson import ObjectId

HOT_ITEMS = 120
HOT_KEEPERS = 8
HOT_TAGS = 8
HOT_VISITS = 40
#: items that nothing refers to: these come and go
LONELY = range(10_000, 10_040)


def key(number: int) -> ObjectId:
    return ObjectId(f"{number:024x}")


class MongoWriter:
    """Random pieces of work."""

    def __init__(self, dice: random.Random) -> None:
        from tests.apps.every_field_mongo import models

        self.models = models
        self.dice = dice
        self.works: list[Callable[[], None]] = [
            self.create,
            self.create,
            self.update,
            self.update,
            self.update,
            self.rename_embedded,
            self.rename_embedded,
            self.move,
            self.tag,
            self.label,
            self.visit,
            self.delete,
            self.update_many,
            self.delete_many,
            self.upsert,
        ]

    def work(self) -> str:
        """One piece; gives its letter."""
        from mongoengine.errors import DoesNotExist, NotUniqueError, OperationError
        from nefertari.json_httpexceptions import JHTTPConflict, JHTTPNotFound

        try:
            self.dice.choice(self.works)()
        except (DoesNotExist, NotUniqueError, OperationError, JHTTPConflict, JHTTPNotFound):
            return "x"
        return "c"

    def word(self) -> str:
        return f"{self.dice.choice(['red', 'green', 'blue'])} {self.dice.randrange(10**6)}"

    def item(self) -> Any:
        return self.models.Item.objects(id=key(self.dice.randrange(1, HOT_ITEMS + 1))).first()

    def keeper(self) -> Any:
        return self.models.Keeper.objects(code=f"keeper{self.dice.randrange(HOT_KEEPERS)}").first()

    def create(self) -> None:
        models = self.models
        for number in (self.dice.randrange(1, HOT_ITEMS + 1), self.dice.choice(LONELY)):
            if not models.Item.objects(id=key(number)):
                models.Item(id=key(number), name=self.word(), amount=number).save()
        code = f"keeper{self.dice.randrange(HOT_KEEPERS)}"
        if not models.Keeper.objects(code=code):
            models.Keeper(code=code, name=self.word()).save()
        number = self.dice.randrange(1, HOT_TAGS + 1)
        if not models.Tag.objects(number=number):
            models.Tag(number=number, name=self.word()).save()

    def update(self) -> None:
        item = self.item()
        if item is not None:
            item.update({"name": self.word(), "ratio": self.dice.random()})

    def rename_embedded(self) -> None:
        keeper = self.keeper()
        if keeper is not None:
            keeper.update({"name": self.word()})

    def move(self) -> None:
        item, keeper = self.item(), self.keeper()
        if item is not None and keeper is not None:
            item.update({"keeper": keeper})

    def tag(self) -> None:
        item = self.item()
        tags = list(self.models.Tag.objects)
        if item is not None and tags:
            item.update({"tags": self.dice.sample(tags, self.dice.randrange(len(tags)))})

    def label(self) -> None:
        """An object without a mirror, whose contents are in two models' documents."""
        item = self.item()
        if item is None:
            return
        if item.label is None:
            item.update({"label": self.models.Label(text=self.word()).save()})
        else:
            item.label.text = self.word()
            item.label.save()

    def visit(self) -> None:
        number, item = self.dice.randrange(1, HOT_VISITS + 1), self.item()
        if item is not None:
            self.models.Visit(id=key(number), guest=self.word(), item=item).save()

    def delete(self) -> None:
        model, numbers = self.dice.choice(
            [(self.models.Visit, range(1, HOT_VISITS + 1)), (self.models.Item, LONELY)]
        )
        document = model.objects(id=key(self.dice.choice(numbers))).first()
        if document is not None:
            document.delete()

    def update_many(self) -> None:
        low = self.dice.randrange(HOT_ITEMS)
        self.models.Item.objects(amount__gte=low, amount__lte=low + 20).update(
            set__name=self.word()
        )

    def delete_many(self) -> None:
        low = self.dice.choice(LONELY)
        self.models.Item.objects(amount__gte=low, amount__lte=low + 3).delete()

    def upsert(self) -> None:
        number = self.dice.choice(LONELY)
        self.models.Item.objects(id=key(number)).upsert_one(
            set__name=self.word(), set__amount=number
        )


def main() -> None:
    from pyramid.paster import bootstrap

    ini, seed, *variables = sys.argv[1:]
    bootstrap(ini, options=dict(each.split("=", 1) for each in variables))
    writer = MongoWriter(random.Random(seed))
    print("ready", flush=True)
    while True:
        print(writer.work(), flush=True)


if __name__ == "__main__":
    main()
