"""What a case sees: an application on one engine, whichever it is."""

from __future__ import annotations

import datetime
import decimal
from typing import Any, Callable

CASES: dict[str, Callable[[World], Any]] = {}
#: of the SQL engine alone, or of the moment
UNTOLD = {"_self", "author_code", "book_code", "changed"}
#: the keys of a response that is a status
WORDS = {"timestamp", "request_url", "message", "explanation", "title"}


def case(function: Callable[[World], Any]) -> Callable[[World], Any]:
    assert function.__name__ not in CASES, function.__name__
    CASES[function.__name__] = function
    return function


class World:
    """The application *app* on an engine.

    :param sqla: it is nefertari_sqla: there are transactions.
    """

    def __init__(self, app: Any, sqla: bool) -> None:
        from tests.apps.any_engine import models

        self.app = app
        self.sqla = sqla
        self.Author, self.Book, self.Card = models.Author, models.Book, models.Card
        self.Chapter, self.Profile = models.Chapter, models.Profile
        # Those that refer to others first.
        self.Seat, self.Shelf, self.Place = models.Seat, models.Shelf, models.Place
        self.models = [self.Chapter, self.Profile, self.Book, self.Author, self.Card]
        self.models += [self.Seat, self.Place, self.Shelf]

    # Over HTTP

    def http(self, method: str, path: str, body: Any = None) -> Any:
        """Return status and body of a request, without the parts that differ between engines."""
        call = getattr(self.app, method if body is None else f"{method}_json")
        args = (path,) if body is None else (path, body)
        answer = call(*args, status="*")
        return [answer.status_int, plain(answer.json_body)]

    def get(self, path: str) -> Any:
        return self.http("get", path)

    def post(self, path: str, **body: Any) -> Any:
        return self.http("post", path, body)

    def patch(self, path: str, **body: Any) -> Any:
        return self.http("patch", path, body)

    def put(self, path: str, **body: Any) -> Any:
        return self.http("put", path, body)

    def delete(self, path: str) -> Any:
        return self.http("delete", path)

    def codes(self, path: str) -> Any:
        """The keys in a collection, in its order; the status of an error."""
        status, body = self.get(path)
        return [each["code"] for each in body["data"]] if status == 200 else status

    # In Python

    def do(self, work: Callable[[], Any]) -> Any:
        """Return the result of *work*, committed; for an exception the status that views return."""
        try:
            result = plain(work())
            self.commit()
            return result
        except Exception as error:  # noqa: BLE001 - so do nefertari's exception views
            self.abort()
            return f"error {getattr(error, 'status_int', 400)}"

    def commit(self) -> None:
        if self.sqla:
            import transaction

            transaction.commit()

    def abort(self) -> None:
        if self.sqla:
            import transaction

            transaction.abort()

    def clear(self) -> None:
        """Delete everything."""
        self.abort()
        for model in self.models:
            model._delete_many(list(model.get_collection()))
            self.commit()

    # What many cases begin with

    def books(self) -> None:
        """Two authors, five books, three chapters."""
        moment = datetime.datetime(2001, 2, 3, 4, 5, 6)

        def make() -> None:
            for code, name in (("woolf", "Virginia Woolf"), ("joyce", "James Joyce")):
                self.Author(code=code, name=name, born=datetime.date(1882, 2, 2)).save()
            rows = (
                ("waves", "The Waves", "novel", 300, 9.5, True, "woolf"),
                ("orlando", "Orlando", "novel", 200, 0.1, False, "woolf"),
                ("room", "A Room of One's Own", "essay", 100, None, False, "woolf"),
                ("ulysses", "Ulysses", "novel", 700, 20.0, True, "joyce"),
                ("music", "Chamber Music", "poetry", None, 1e3, None, "joyce"),
            )
            for position, (code, title, genre, pages, price, lent, author) in enumerate(rows):
                self.Book(
                    code=code,
                    title=title,
                    genre=genre,
                    pages=pages,
                    price=price,
                    lent=lent,
                    cost=decimal.Decimal(position),
                    printed=moment + datetime.timedelta(days=position),
                    words=[code, "all"],
                    author=self.Author.get_item(code=author),
                ).save()
            for number in (1, 2, 3):
                book = self.Book.get_item(code="waves" if number < 3 else "ulysses")
                self.Chapter(code=f"c{number}", title=f"Chapter {number}", book=book).save()

        assert self.do(make) is None, "the library could not be filled"


def plain(value: Any) -> Any:
    """*value* as JSON that can be compared."""
    if isinstance(value, dict):
        untold = UNTOLD | (WORDS if "status_code" in value else set())
        rendered = {str(k): plain(v) for k, v in value.items() if k not in untold}
        # The order of these is that of the database.
        return {k: sorted(v) if k in ("books", "chapters") else v for k, v in rendered.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, (decimal.Decimal, datetime.timedelta, bytes)):
        return repr(value)
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if hasattr(value, "to_dict"):
        return plain(value.to_dict())
    if hasattr(value, "__iter__"):
        return [plain(each) for each in value]
    return f"<{type(value).__name__}>"
