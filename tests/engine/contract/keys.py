"""Keys that change, with what refers to them; values that are unique together.

A key changes in Python alone: nefertari's own ``update`` leaves it as it is.
"""

from __future__ import annotations

from tests.engine.contract.relating import sides
from tests.engine.contract.world import case


def change(w, model, key, new, **values):
    """Give the document another key and other values; return whether that was rejected."""

    def work():
        document = model.get_item(code=key)
        document.code = new
        for name, value in values.items():
            setattr(document, name, value)
        document.save()

    return "refused" if w.do(work) is not None else "changed"


def profiles(w):
    return {each["code"]: each["author"] for each in w.get("/profiles?_sort=code")[1]["data"]}


def with_profiles(w):
    w.books()

    def make():
        for code, author in (("p", "woolf"), ("q", "joyce")):
            w.Profile(code=code, text=code, author=w.Author.get_item(code=author)).save()

    assert w.do(make) is None


@case
def change_a_key(w):
    w.post("/cards", code="a", email="a@x.org", visits=3)
    return [
        change(w, w.Card, "a", "b", visits=4),
        w.get("/cards/a")[0],
        w.get("/cards/b"),
        w.get("/cards?_count"),
        # The value is still taken, and the old key is free.
        w.post("/cards", code="a", email="a@x.org")[0] >= 400,
        w.post("/cards", code="a", email="c@x.org")[0],
        w.delete("/cards/b")[0],
        w.post("/cards", code="b", email="a@x.org")[0],
    ]


@case
def change_a_key_and_a_unique_value(w):
    w.post("/cards", code="a", email="a@x.org")
    w.post("/cards", code="z", email="z@x.org")
    return [
        change(w, w.Card, "a", "b", email="z@x.org"),
        w.codes("/cards?_sort=code"),
        change(w, w.Card, "a", "b", email="b@x.org"),
        w.post("/cards", code="c", email="b@x.org")[0] >= 400,
        w.post("/cards", code="c", email="a@x.org")[0],
        w.get("/cards?_sort=code")[1]["data"],
    ]


@case
def change_a_key_to_one_that_is_taken(w):
    with_profiles(w)
    return [change(w, w.Author, "woolf", "joyce"), sides(w), profiles(w)]


@case
def change_a_key_to_a_bad_one(w):
    w.books()
    return [change(w, w.Author, "woolf", "w"), change(w, w.Author, "woolf", None), sides(w)]


@case
def change_a_key_that_others_follow_or_let_go(w):
    """Profiles have the rule CASCADE, books NULLIFY."""
    with_profiles(w)
    return [
        change(w, w.Author, "woolf", "vw", name="V. W."),
        sides(w),
        profiles(w),
        w.get("/authors/vw")[1]["profile"],
        w.get("/authors/vw")[1]["name"],
        w.delete("/authors/vw")[0],
        profiles(w),
    ]


@case
def change_a_key_that_others_hold(w):
    w.books()
    return [
        change(w, w.Book, "waves", "tides"),
        change(w, w.Book, "room", "study", title="A Study"),
        w.codes("/books?_sort=code"),
        w.get("/chapters/c1")[1]["book"],
        sides(w),
    ]


@case
def change_a_key_without_a_rule(w):
    def make():
        w.Shelf(code="s").save()
        w.Shelf(code="t").save()
        w.Place(code="p", shelf_code="s").save()

    return [
        w.do(make),
        change(w, w.Shelf, "s", "u"),
        change(w, w.Shelf, "t", "v"),
        w.do(lambda: sorted(each.code for each in w.Shelf.get_collection())),
        w.do(lambda: w.Place.get_item(code="p").shelf_code),
    ]


@case
def a_foreign_key_without_a_relationship(w):
    def make(code, shelf):
        return w.do(lambda: w.Place(code=code, shelf_code=shelf).save() and None) is None

    def delete(model, code):
        return w.do(lambda: model.get_item(code=code).delete()) is None

    w.do(lambda: w.Shelf(code="s").save() and None)
    return [
        make("p", "s"),
        make("q", "nothing"),
        make("r", None),
        delete(w.Shelf, "s"),
        delete(w.Place, "p"),
        delete(w.Shelf, "s"),
        w.do(lambda: sorted(each.code for each in w.Place.get_collection())),
    ]


@case
def change_a_key_by_update(w):
    w.books()
    return [w.patch("/authors/woolf", code="vw", name="V. W."), w.codes("/authors?_sort=code")]


@case
def delete_under_a_key_that_was_not_saved(w):
    w.post("/cards", code="a", email="a@x.org")
    w.post("/cards", code="b", email="b@x.org")

    def delete():
        card = w.Card.get_item(code="a")
        card.code = "b"
        card.delete()

    return [w.do(delete) is None, w.codes("/cards?_sort=code")]


@case
def unique_together(w):
    def seat(code, row, number):
        return w.do(lambda: w.Seat(code=code, row=row, number=number).save() and None)

    def seats():
        return w.do(lambda: sorted(each.code for each in w.Seat.get_collection()))

    results = [seat("a", "x", 1), seat("b", "x", 2), seat("c", "y", 1)]
    return [*results, seat("d", "x", 1) is None, seats()]


@case
def update_to_what_is_unique_together(w):
    def make():
        w.Seat(code="a", row="x", number=1).save()
        w.Seat(code="b", row="y", number=1).save()

    def move(code, **values):
        return w.do(lambda: w.Seat.get_item(code=code).update(dict(values)) and None) is None

    return [
        w.do(make),
        move("b", row="x"),
        move("b", number=2),
        move("b", row="x"),
        move("a", number=2),
        w.do(lambda: sorted((e.code, e.row, e.number) for e in w.Seat.get_collection())),
    ]
