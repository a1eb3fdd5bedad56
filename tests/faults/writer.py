"""One process that changes a few hundred hot objects of the zoo at random, until it is ended.

    python -m tests.faults.writer INI SEED [key=value ...]

Prints a letter for what became of each transaction: c committed, r rolled back on purpose,
x refused by the database (another writer was faster).
"""

from __future__ import annotations

import random
import sys
from typing import Any, Callable

HOT_ITEMS = 300
HOT_KEEPERS = 12
HOT_TAGS = 12
HOT_VISITS = 60
ROLLED_BACK = 0.15


class Undo(Exception):
    """Rolls a transaction back."""


class Writer:
    """Random transactions.

    :param session: the application's scoped session.
    """

    def __init__(self, session: Any, dice: random.Random) -> None:
        from tests.apps.every_field import models

        self.models = models
        self.session = session
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
            self.delete,
            self.delete,
            self.update_many,
            self.delete_many,
            self.rename_key,
        ]

    def transaction(self) -> str:
        """One transaction; gives its letter."""
        import transaction
        from sqlalchemy.exc import DBAPIError
        from sqlalchemy.orm.exc import ObjectDeletedError, StaleDataError

        try:
            with transaction.manager:
                for _ in range(self.dice.choice([1, 1, 1, 2, 4])):
                    self.dice.choice(self.works)()
                self.session.flush()
                if self.dice.random() < ROLLED_BACK:
                    raise Undo
        except Undo:
            return "r"
        except (DBAPIError, StaleDataError, ObjectDeletedError):
            transaction.abort()
            return "x"
        return "c"

    # Parts of a transaction

    def some(self, model: Any, highest: int) -> Any:
        return self.session.query(model).get(self.dice.randrange(1, highest + 1))

    def keeper(self) -> Any:
        keepers = self.session.query(self.models.Keeper).order_by(self.models.Keeper.code).all()
        return self.dice.choice(keepers) if keepers else None

    def word(self) -> str:
        return f"{self.dice.choice(['red', 'green', 'blue'])} {self.dice.randrange(10**6)}"

    def create(self) -> None:
        models = self.models
        number = self.dice.randrange(1, HOT_ITEMS + 1)
        if self.session.query(models.Item).get(number) is None:
            keeper = self.keeper()
            self.session.add(
                models.Item(
                    id=number,
                    name=self.word(),
                    count=number,
                    keeper_code=keeper and keeper.code,
                )
            )
            self.session.flush()
        visit = self.dice.randrange(1, HOT_VISITS + 1)
        if self.session.query(models.Visit).get(visit) is None:
            self.session.add(models.Visit(id=visit, guest=self.word(), item_id=number))
        code = f"keeper{self.dice.randrange(HOT_KEEPERS)}"
        if self.session.query(models.Keeper).get(code) is None:
            self.session.add(models.Keeper(code=code, name=self.word()))
        tag = self.dice.randrange(1, HOT_TAGS + 1)
        if self.session.query(models.Tag).get(tag) is None:
            self.session.add(models.Tag(id=tag, name=self.word()))

    def update(self) -> None:
        item = self.some(self.models.Item, HOT_ITEMS)
        if item is not None:
            item.name = self.word()
            item.ratio = self.dice.random()

    def rename_embedded(self) -> None:
        keeper = self.keeper()
        if keeper is not None:
            keeper.name = self.word()

    def move(self) -> None:
        item, keeper = self.some(self.models.Item, HOT_ITEMS), self.keeper()
        if item is not None:
            item.keeper_code = keeper and keeper.code
        visit = self.some(self.models.Visit, HOT_VISITS)
        if visit is not None and item is not None:
            visit.item_id = item.id

    def tag(self) -> None:
        item = self.some(self.models.Item, HOT_ITEMS)
        tag = self.some(self.models.Tag, HOT_TAGS)
        if item is not None and tag is not None:
            item.tags = [each for each in item.tags if each is not tag] or [tag]

    def label(self) -> None:
        item = self.some(self.models.Item, HOT_ITEMS)
        if item is not None:
            if item.label is None:
                item.label = self.models.Label(text=self.word())
            else:
                item.label.text = self.word()

    def delete(self) -> None:
        model, highest = self.dice.choice(
            [
                (self.models.Item, HOT_ITEMS),
                (self.models.Visit, HOT_VISITS),
                (self.models.Tag, HOT_TAGS),
            ]
        )
        row = self.some(model, highest)
        if row is not None:
            self.session.delete(row)

    def update_many(self) -> None:
        low = self.dice.randrange(HOT_ITEMS)
        self.session.query(self.models.Item).filter(
            self.models.Item.id.between(low, low + 20)
        ).update({"name": self.word()}, synchronize_session=False)

    def delete_many(self) -> None:
        low = self.dice.randrange(HOT_ITEMS)
        self.session.query(self.models.Item).filter(
            self.models.Item.id.between(low, low + 3)
        ).delete(synchronize_session=False)

    def rename_key(self) -> None:
        keeper = self.keeper()
        code = f"keeper{self.dice.randrange(HOT_KEEPERS)}"
        if keeper is not None and self.session.query(self.models.Keeper).get(code) is None:
            self.session.query(self.models.Keeper).filter_by(code=keeper.code).update(
                {"code": code}, synchronize_session=False
            )


def main() -> None:
    from pyramid.paster import bootstrap

    ini, seed, *variables = sys.argv[1:]
    options = dict(each.split("=", 1) for each in variables)
    bootstrap(ini, options=options)
    from pyramid_sqlalchemy import Session

    writer = Writer(Session, random.Random(seed))
    print("ready", flush=True)
    while True:
        print(writer.transaction(), flush=True)


if __name__ == "__main__":
    main()
