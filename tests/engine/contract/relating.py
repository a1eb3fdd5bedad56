"""Relationships: both sides, rules, many at once."""

from __future__ import annotations

from tests.engine.contract.world import case


def sides(w):
    """Both sides of authors and books."""
    authors = {each["code"]: sorted(each["books"]) for each in w.get("/authors")[1]["data"]}
    books = {each["code"]: each["author"] for each in w.get("/books?_limit=50")[1]["data"]}
    return [authors, {code: each and each["code"] for code, each in books.items()}]


@case
def both_sides(w):
    w.books()
    return sides(w)


@case
def assign_the_one(w):
    w.books()
    return [w.patch("/books/waves", author="joyce")[0], sides(w)]


@case
def take_the_one_away(w):
    w.books()
    return [w.patch("/books/waves", author=None)[0], sides(w)]


@case
def assign_the_many(w):
    w.books()
    return [w.patch("/authors/woolf", books=["music", "room"])[0], sides(w)]


@case
def take_the_many_away(w):
    w.books()
    return [w.patch("/authors/woolf", books=[])[0], sides(w)]


@case
def create_with_many(w):
    w.books()
    return [w.post("/authors", code="zz", name="Z", books=["waves", "music"]), sides(w)]


@case
def relate_to_what_is_not_there(w):
    w.books()
    return [
        w.patch("/books/waves", author="nobody")[0],
        w.patch("/authors/woolf", books=["nothing"])[0],
        sides(w),
    ]


@case
def append_in_python(w):
    w.books()

    def append():
        author = w.Author.get_item(code="woolf")
        author.books.append(w.Book.get_item(code="music"))
        author.save()

    return [w.do(append), sides(w)]


@case
def new_documents_by_a_list(w):
    def make():
        books = [w.Book(code="a", title="A"), w.Book(code="b", title="B")]
        for book in books:
            book.save()
        w.Author(code="aa", name="A", books=books).save()

    return [w.do(make), sides(w)]


@case
def documents_of_a_relationship(w):
    w.books()

    def state():
        book = w.Book.get_item(code="waves")
        return [
            book.author.name,
            sorted(each.code for each in book.author.books),
            sorted(each.code for each in book.chapters),
            w.Profile(code="p").author,
        ]

    return w.do(state)


@case
def one_to_one(w):
    w.books()

    def profile(code, author):
        def make():
            w.Profile(code=code, author=w.Author.get_item(code=author)).save()

        return w.do(make)

    def profiles():
        authors = {each["code"]: each["profile"] for each in w.get("/authors")[1]["data"]}
        return [authors, {e["code"]: e["author"] for e in w.get("/profiles")[1]["data"]}]

    results = [profile("p", "woolf"), profiles()]
    w.patch("/authors/joyce", profile="p")
    return [*results, profiles()]


@case
def nested_documents(w):
    w.books()
    return [w.get("/books/waves")[1]["author"], w.get("/chapters/c1")[1]["book"]]


@case
def delete_what_others_let_go(w):
    w.books()
    return [w.delete("/authors/joyce")[0], sides(w)]


@case
def delete_what_others_go_with(w):
    w.books()

    def make():
        w.Profile(code="p", author=w.Author.get_item(code="woolf")).save()
        w.Profile(code="q", author=w.Author.get_item(code="joyce")).save()

    w.do(make)
    return [w.delete("/authors/woolf")[0], w.codes("/profiles"), sides(w)]


@case
def delete_what_others_hold(w):
    w.books()
    status = w.delete("/books/waves")[0]
    return [status >= 400, w.codes("/books?code=waves"), w.codes("/chapters?_sort=code")]


@case
def the_status_of_a_forbidden_delete(w):
    w.books()
    return w.delete("/books/waves")[0]


@case
def delete_many_that_others_let_go(w):
    w.books()
    return [w.delete("/authors")[0], sides(w)]


@case
def delete_many_that_others_hold(w):
    w.books()
    status = w.delete("/books?genre=novel")[0]
    return [status >= 400, w.codes("/books?_sort=code"), w.codes("/chapters?_sort=code")]


@case
def delete_the_many_side(w):
    w.books()
    return [w.delete("/chapters/c1")[0], w.get("/books/waves")[1]["chapters"]]


@case
def related_documents(w):
    w.books()

    def state():
        book = w.Book.get_item(code="waves")
        related = {
            model.__name__: sorted(each.code for each in documents)
            for model, documents in book.get_related_documents()
        }
        nested = [model.__name__ for model, _ in book.get_related_documents(nested_only=True)]
        author = w.Author.get_item(code="joyce")
        models = [model.__name__ for model, _ in author.get_related_documents(nested_only=True)]
        return [related, sorted(nested), sorted(models)]

    return w.do(state)


@case
def update_many_of_a_relationship(w):
    w.books()

    def change():
        author = w.Author.get_item(code="joyce")
        return w.Book._update_many(w.Book.get_collection(genre="essay").all(), {"author": author})

    return [w.do(change), sides(w)]
