"""Writing: creates, updates, limits, defaults, uniqueness, many at once."""

from __future__ import annotations

import datetime
import decimal

from tests.engine.contract.world import case


@case
def create(w):
    return [w.post("/cards", code="a", email="a@x.org"), w.get("/cards/a"), w.get("/cards")]


@case
def create_what_is_there(w):
    w.post("/cards", code="a", email="a@x.org")
    return [w.post("/cards", code="a", email="b@x.org")[0], w.get("/cards")]


@case
def create_with_a_value_that_is_taken(w):
    w.post("/cards", code="a", email="a@x.org")
    return [w.post("/cards", code="b", email="a@x.org")[0], w.codes("/cards")]


@case
def take_a_value_that_was_given_up(w):
    w.post("/cards", code="a", email="a@x.org")
    w.patch("/cards/a", email="b@x.org")
    return [w.post("/cards", code="b", email="a@x.org")[0], w.codes("/cards?_sort=code")]


@case
def take_a_value_of_a_deleted_document(w):
    w.post("/cards", code="a", email="a@x.org")
    w.delete("/cards/a")
    return [
        w.post("/cards", code="b", email="a@x.org")[0],
        w.post("/cards", code="a", email="c@x.org")[0],
    ]


@case
def update_to_a_value_that_is_taken(w):
    w.post("/cards", code="a", email="a@x.org")
    w.post("/cards", code="b", email="b@x.org")
    status = w.patch("/cards/b", email="a@x.org")[0]
    return [status, w.get("/cards/b"), w.patch("/cards/b", email="b@x.org")[0]]


@case
def a_required_value_is_missing(w):
    return [
        w.post("/cards", code="a")[0],
        w.post("/cards", code="a", email=None)[0],
        w.post("/cards", email="a@x.org")[0],
        w.codes("/cards"),
    ]


@case
def a_required_value_is_taken_away(w):
    w.post("/cards", code="a", email="a@x.org")
    return [w.patch("/cards/a", email=None)[0], w.get("/cards/a")]


@case
def defaults(w):
    w.do(lambda: w.Book(code="a", title="A").save() and None)
    book = w.get("/books/a")[1]
    return {name: book[name] for name in ("genre", "lent", "serial", "marks", "words", "options")}


@case
def a_given_value_is_no_default(w):
    w.post("/books", code="a", title="A", genre="essay", lent=True, serial="x", marks=["old"])
    book = w.get("/books/a")[1]
    return {name: book[name] for name in ("genre", "lent", "serial", "marks")}


@case
def limits(w):
    values = (
        {"pages": 0},
        {"pages": 10_001},
        {"pages": 10_000},
        {"title": "x" * 201},
        {"title": "x" * 200},
        {"genre": "drama"},
        {"marks": ["new", "bad"]},
        {"marks": []},
    )
    results = []
    for number, value in enumerate(values):
        results.append(w.post("/books", **{"code": f"b{number}", "title": "T", **value})[0])
    return [results, w.codes("/books?_sort=code"), w.post("/authors", code="x", name="short")[0]]


@case
def limits_of_updates(w):
    w.post("/books", code="a", title="A", pages=5)
    statuses = [w.patch("/books/a", **each)[0] for each in ({"pages": 0}, {"genre": "drama"})]
    return [statuses, w.get("/books/a")]


@case
def a_field_that_is_none(w):
    w.post("/cards", code="a", email="a@x.org")
    return [
        w.post("/cards", code="b", email="b@x.org", nothing=1)[0],
        w.patch("/cards/a", nothing=1)[0],
        w.codes("/cards"),
    ]


@case
def update(w):
    w.post("/cards", code="a", email="a@x.org")
    return [w.patch("/cards/a", visits=3), w.get("/cards/a"), w.patch("/cards/b", visits=1)[0]]


@case
def the_primary_key_stays(w):
    w.post("/cards", code="a", email="a@x.org")
    return [w.patch("/cards/a", code="b", visits=2), w.codes("/cards")]


@case
def replace(w):
    w.books()
    status, body = w.put("/books/waves", title="Waves", genre="essay")
    return [status, body, w.get("/books/waves"), w.get("/chapters/c1")]


@case
def delete(w):
    w.post("/cards", code="a", email="a@x.org")
    return [w.delete("/cards/a")[0], w.get("/cards/a")[0], w.delete("/cards/a")[0]]


@case
def numbers_as_texts(w):
    w.post("/cards", code="a", email="a@x.org", visits="12")
    return w.get("/cards/a")


@case
def a_text_where_a_number_belongs(w):
    return [w.post("/cards", code="a", email="a@x.org", visits="many")[0], w.codes("/cards")]


@case
def dates_as_texts(w):
    return w.post("/authors", code="woolf", name="W", born="1882-01-25")


@case
def values_of_every_type(w):
    def make():
        w.Book(
            code="a",
            title="A",
            pages=7,
            price=0.25,
            cost=decimal.Decimal("1234567890.12"),
            lent=True,
            printed=datetime.datetime(1999, 12, 31, 23, 59, 59),
            words=["x", "y"],
            options={"a": {"b": [1, None, "c"]}, "d": 1.5},
        ).save()

    w.do(make)

    def state():
        book = w.Book.get_item(code="a")
        return [getattr(book, name) for name in VALUES]

    return [w.do(state), w.get("/books/a")]


VALUES = ("title", "pages", "price", "cost", "lent", "printed", "words", "options", "author")


@case
def microseconds(w):
    moment = datetime.datetime(2001, 2, 3, 4, 5, 6, 789_123)
    w.do(lambda: w.Book(code="a", title="A", printed=moment).save() and None)
    return w.do(lambda: w.Book.get_item(code="a").printed)


@case
def cents(w):
    w.do(lambda: w.Book(code="a", title="A", cost=decimal.Decimal("1.125")).save() and None)
    return w.do(lambda: w.Book.get_item(code="a").cost)


@case
def onupdate(w):
    w.do(lambda: w.Book(code="a", title="A").save() and None)
    before = w.do(lambda: w.Book.get_item(code="a").changed)
    w.patch("/books/a", title="B")
    after = w.do(lambda: w.Book.get_item(code="a").changed)
    return [before is None, after is None]


@case
def lists_are_added_to(w):
    w.post("/books", code="a", title="A", words=["x", "y"])
    results = []
    for words in (["z"], ["x"], ["-y"], ["-x", "w"], "", ["a"], None):
        status = w.patch("/books/a", words=words)[0]
        results.append([status, sorted(w.get("/books/a")[1]["words"])])
    return results


@case
def dicts_are_added_to(w):
    w.post("/books", code="a", title="A", options={"x": 1})
    results = []
    for options in ({"y": 2}, {"x": 3}, {"-y": ""}, "", {"z": {"a": 1}}, None):
        status = w.patch("/books/a", options=options)[0]
        results.append([status, w.get("/books/a")[1]["options"]])
    return results


@case
def update_iterables_in_python(w):
    w.do(lambda: w.Book(code="a", title="A", words=["x"]).save() and None)

    def add(value, **kwargs):
        def change():
            w.Book.get_item(code="a").update_iterables(value, "words", **kwargs)

        return [w.do(change), w.do(lambda: sorted(w.Book.get_item(code="a").words))]

    return [add(["y"]), add(["x"]), add(["x"], unique=True), add({"z": 1}), add(["-x"]), add([])]


@case
def get_or_create(w):
    def get(**params):
        card, created = w.Card.get_or_create(**params)
        return [card.code, card.visits, created]

    return [
        w.do(lambda: get(code="a", defaults={"email": "a@x.org", "visits": 2})),
        w.do(lambda: get(code="a", defaults={"email": "b@x.org"})),
        w.do(lambda: get(email="a@x.org")),
        w.do(lambda: get(code="b")),
        w.codes("/cards"),
    ]


@case
def get_or_create_of_multiple(w):
    w.books()
    return w.do(lambda: w.Book.get_or_create(genre="novel"))


@case
def update_many(w):
    w.books()
    status = w.http("patch", "/books?genre=novel", {"price": 5})
    return [status[0], w.codes("/books?_sort=code&price=5"), w.codes("/books?price=20")]


@case
def update_many_of_a_page(w):
    w.books()

    def change():
        return w.Book._update_many(w.Book.get_collection(_sort="code", _limit=2), {"price": 6})

    return [w.do(change), w.codes("/books?_sort=code&price=6")]


@case
def update_many_of_a_list(w):
    w.books()

    def change():
        books = w.Book.get_collection(genre="novel").all()
        return w.Book._update_many(books, {"words": ["more"]})

    return [w.do(change), {each["code"]: each["words"] for each in w.get("/books")[1]["data"]}]


@case
def update_many_with_a_bad_value(w):
    w.books()

    def change():
        return w.Book._update_many(w.Book.get_collection(genre="novel"), {"pages": 0})

    return [w.do(change), {each["code"]: each["pages"] for each in w.get("/books")[1]["data"]}]


@case
def update_many_of_nothing(w):
    return w.do(lambda: w.Book._update_many(w.Book.get_collection(genre="novel"), {"pages": 5}))


@case
def delete_many(w):
    w.books()
    return [w.delete("/books?genre=essay")[0], w.codes("/books?_sort=code")]


@case
def delete_many_of_a_list(w):
    w.books()

    def remove():
        return w.Book._delete_many(w.Book.get_collection(genre="poetry").all())

    return [w.do(remove), w.codes("/books?_sort=code"), w.get("/authors/joyce")]


@case
def save_without_a_change(w):
    w.do(lambda: w.Card(code="a", email="a@x.org").save() and None)
    return [w.do(lambda: w.Card.get_item(code="a").save().visits), w.get("/cards/a")]


@case
def states(w):
    def state():
        card = w.Card(code="a", email="a@x.org")
        results = [card._is_created(), bool(card._is_modified())]
        card.save()
        results += [card._is_created()]
        card.visits = 5
        return [*results, bool(card._is_modified())]

    return w.do(state)
