"""Reading: collections, items, counts, fields."""

from __future__ import annotations

import datetime

from tests.engine.contract.world import case


@case
def an_empty_collection(w):
    return w.get("/books")


@case
def a_collection(w):
    w.books()
    return w.get("/books?_sort=code")


@case
def an_item(w):
    w.books()
    return [w.get("/books/waves"), w.get("/authors/woolf"), w.get("/books/nothing")]


@case
def one_document_read_twice(w):
    w.books()

    def results():
        woolf, waves = w.Author.get_item(code="woolf"), w.Book.get_item(code="waves")
        return [
            waves == w.Book.get_collection(title="The Waves")[0],
            waves in woolf.books,
            w.Book.get_item(code="ulysses") in woolf.books,
            waves.author == woolf,
            len({waves, *woolf.books}),
        ]

    return w.do(results)


@case
def totals_and_pages(w):
    w.books()
    results = []
    for query in ("_limit=2", "_limit=2&_start=1", "_limit=2&_page=1", "_limit=2&_page=9"):
        status, body = w.get(f"/books?_sort=code&{query}")
        codes = [each["code"] for each in body["data"]]
        results.append([status, codes, body["total"], body["count"], body["start"]])
    return results


@case
def bad_pages(w):
    w.books()
    queries = ("_limit=x", "_limit=-1", "_start=-1", "_start=1&_page=1", "_page=x", "_limit=0")
    return [w.get(f"/books?{query}")[0] for query in queries]


@case
def counts(w):
    w.books()
    return [w.get("/books?_count"), w.get("/books?_count=&genre=novel"), w.get("/cards?_count")]


@case
def sorts(w):
    w.books()
    keys = ("code", "-code", "title", "-pages", "genre,-title", "price", "-lent,code", "printed")
    return [w.codes(f"/books?_sort={key}") for key in keys]


@case
def sorts_by_what_is_no_field(w):
    w.books()
    return [w.get(f"/books?_sort={key}")[0] for key in ("nothing", "-nothing", "code,nothing")]


@case
def filters(w):
    w.books()
    queries = ("genre=novel", "title=The%20Waves", "price=0.1", "price=9.5", "code=room", "price=7")
    queries += ("genre=novel&price=20", "title=the%20waves", "genre=_all", "price=1000")
    return [w.codes(f"/books?_sort=code&{query}") for query in queries]


@case
def filters_by_what_is_no_field(w):
    w.books()
    return [w.get(f"/books?{query}")[0] for query in ("nothing=1", "codes=waves", "_nothing=1")]


@case
def a_number_with_limits_in_a_query_string(w):
    w.books()
    return [w.codes("/books?pages=200"), w.codes("/books?pages=201")]


@case
def a_number_that_is_none(w):
    w.books()
    return w.codes("/books?price=many")


@case
def a_choice_that_is_none(w):
    w.books()
    return w.codes("/books?genre=drama")


@case
def true_and_false_in_a_query_string(w):
    w.books()
    return [w.codes(f"/books?_sort=code&lent={text}") for text in ("true", "false")]


@case
def true_and_false_as_nefertari_spells_them(w):
    w.books()
    return [
        w.do(lambda: [e.code for e in w.Book.get_collection(lent__bool="true", _sort="code")]),
        w.do(lambda: [e.code for e in w.Book.get_collection(lent__bool="false", _sort="code")]),
    ]


@case
def filters_by_values(w):
    w.books()
    moment = datetime.datetime(2001, 2, 4, 4, 5, 6)
    return [
        w.do(lambda: [e.code for e in w.Book.get_collection(printed=moment)]),
        w.do(lambda: [e.code for e in w.Book.get_collection(lent=True, _sort="code")]),
        w.do(lambda: [e.code for e in w.Book.get_collection(pages=None)]),
        w.do(lambda: [e.code for e in w.Book.get_collection(price=20)]),
        w.do(lambda: w.Author.get_collection(born=datetime.date(1882, 2, 2)).count()),
        w.do(lambda: [e.code for e in w.Book.get_collection(pages=200)]),
    ]


@case
def filters_by_an_item_of_a_list(w):
    w.books()
    return [w.codes("/books?_sort=code&words=all"), w.codes("/books?words=room")]


@case
def filters_by_a_dict(w):
    w.books()
    return w.get("/books?options=a")[0]


@case
def filters_by_a_document(w):
    w.books()

    def find():
        author = w.Author.get_item(code="joyce")
        return [each.code for each in w.Book.get_collection(author=author, _sort="code")]

    return w.do(find)


@case
def multiple_values(w):
    w.books()
    return [
        w.do(lambda: [e.code for e in w.Book.get_collection(code__in="waves,room", _sort="code")]),
        w.do(lambda: [e.code for e in w.Book.get_collection(pages__in=[100, 200], _sort="code")]),
    ]


@case
def some_fields(w):
    w.books()
    fields = ("title", "title,pages", "code", "code,lent")
    return [w.get(f"/books?_sort=code&_fields={names}") for names in fields]


@case
def all_fields_but_some(w):
    w.do(lambda: w.Card(code="a", email="a@x.org").save() and None)
    return [w.get("/cards?_fields=-email"), w.get("/cards?_fields=-code,-visits")]


@case
def fields_that_are_none(w):
    w.books()
    return [w.get(f"/books?_fields={names}")[0] for names in ("nothing", "title,nothing", "")]


@case
def get_item_in_python(w):
    w.books()
    return [
        w.do(lambda: w.Book.get_item(code="waves").title),
        w.do(lambda: w.Book.get_item(title="Orlando").code),
        w.do(lambda: w.Book.get_item(code="nothing")),
        w.do(lambda: w.Book.get_item(code="nothing", _raise_on_empty=False)),
        w.do(lambda: w.Book.get_item(nothing="x")),
        w.do(lambda: w.Book.get_item(nothing="x", code="room", _strict=False).code),
    ]


@case
def a_number_that_is_none_in_get_item(w):
    return w.do(lambda: w.Card.get_item(visits="many", _raise_on_empty=False))


@case
def nothing_found_raises(w):
    return [
        w.do(lambda: w.Book.get_collection(genre="novel", _raise_on_empty=True)),
        w.do(lambda: w.Book.get_collection(genre="novel", _raise_on_empty=False).count()),
    ]


@case
def results_of_get_collection(w):
    w.books()

    def results():
        books = w.Book.get_collection(_sort="code", _limit=2, genre="novel")
        return [
            books.first().code,
            [each.code for each in books],
            books[1].code,
            [each.code for each in books.all()],
            books.count(),
            books._nefertari_meta["total"],
            books._nefertari_meta["start"],
            books._nefertari_meta["fields"],
        ]

    return w.do(results)


@case
def a_collection_of_a_collection(w):
    w.books()

    def narrow():
        novels = w.Book.get_collection(genre="novel")
        return [e.code for e in w.Book.get_collection(query_set=novels, lent=True, _sort="code")]

    return w.do(narrow)


@case
def no_limit_in_python(w):
    def make():
        for number in range(60):
            w.Card(code=f"{number:03}", email=f"{number}@x.org").save()

    w.do(make)
    return w.do(lambda: len([each.code for each in w.Card.get_collection()]))


@case
def get_by_ids(w):
    w.books()
    return [
        w.do(lambda: sorted(e.code for e in w.Book.get_by_ids(["waves", "room", "nothing"]))),
        w.do(lambda: sorted(e.code for e in w.Book.get_by_ids(["waves", "room"], genre="essay"))),
        w.do(lambda: [e.code for e in w.Book.get_by_ids(["waves", "room"], _sort="-code")]),
    ]


@case
def filter_objects(w):
    w.books()

    def narrow(**params):
        return w.Book.filter_objects(w.Book.get_collection(genre="novel").all(), **params)

    return [
        w.do(lambda: sorted(e.code for e in narrow())),
        w.do(lambda: [e.code for e in narrow(lent=False)]),
        w.do(lambda: narrow(first=True, price=20).code),
        w.do(lambda: narrow(first=True, pages=100)),
        w.do(lambda: w.Book.filter_objects([]).count()),
    ]


@case
def counting_results(w):
    w.books()
    return [
        w.do(lambda: w.Book.count(w.Book.get_collection(genre="novel"))),
        w.do(lambda: w.Book.count(w.Book.get_collection(genre="novel", _limit=2))),
        w.do(lambda: w.Book.get_collection(genre="novel", _count=True)),
    ]


@case
def explaining_a_query(w):
    return w.do(lambda: isinstance(w.Book.get_collection(_explain=True, genre="novel"), str))


@case
def head_and_options(w):
    w.books()
    head = w.app.head("/books", status="*").status_int
    options = w.app.options("/books", status="*")
    return [head, options.status_int, options.headers["Allow"]]


@case
def unicode_comes_back(w):
    title = "千と千尋 — ‘é’ \U0001f40b"
    w.do(lambda: w.Book(code="u", title=title).save() and None)
    return [w.get("/books/u")[1]["title"] == title, w.do(lambda: w.Book.get_item(title=title).code)]
