"""Compares what the mirror and the primary answer to the same request."""

from __future__ import annotations

import json
import re
import threading
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import event
from sqlalchemy.engine import Engine
from webtest import TestApp

# An error's own time, and the URL that it was asked under.
_OF_THE_MOMENT = ("timestamp", "request_url")


class Comparison:
    """Both answers to one request.

    The mirror's must be the mirror's own: while it is made, the database is asked nothing.

    :param unordered: relationship fields whose list the primary orders as it likes.
    :ivar default_sorts: by path, what the model's own order is without a sort.
    :param opaque: fields whose values may be pickled objects, which are the primary's to give.
    """

    def __init__(
        self, app: TestApp, unordered: frozenset[str] = frozenset(), opaque: str = ""
    ) -> None:
        self.app = app
        self.unordered = unordered
        self.opaque = f'"{opaque}": ' if opaque else None
        self.statements = 0
        # Of `/people/1/films` the view looks the person up by itself, in the database.
        self._parent = ""
        self._thread = threading.get_ident()
        self._watch()
        self.default_sorts: dict[str, str] = {}
        self.requests = 0
        self.by_mirror = 0
        self.reasons: dict[str, int] = {}

    def check(self, path: str, params: list[tuple[str, str]], pk: str) -> None:
        """Assert that both answer the same.

        Where the primary's order is undefined, the mirror's is by primary key: the primary is
        asked for that order, and everything else is compared byte for byte.

        :param pk: name of the primary key field.
        """
        self._parent = path.strip("/").partition("/")[0] if path.count("/") > 1 else ""
        before = self.statements
        mirrored = self._get(path, params)
        asked_the_database = self.statements - before
        engine = mirrored.headers["X-Search-Engine"]
        self.requests += 1
        primary_params = params
        if engine == "mirror":
            self.by_mirror += 1
            if self.opaque is None or self.opaque not in mirrored.text.replace(
                f"{self.opaque}null", ""
            ):
                assert asked_the_database == 0, (path, params)
            primary_params = ordered_by_key(params, pk, self.default_sorts.get(path, ""))
            plain = self._get(path, [*params, ("_search", "false")])
            assert plain.status == mirrored.status, (path, params, plain.text[:300])
            self._same_size(path, params, mirrored, plain)
        else:
            self.reasons[engine] = self.reasons.get(engine, 0) + 1
        before = self.statements
        primary = self._get(path, [*primary_params, ("_search", "false")])
        # The count sees what the database is asked, or it would prove nothing above.
        assert primary.status_int != 200 or self.statements > before, (path, params)
        assert primary.headers["X-Search-Engine"] == "primary; reason=search-false"
        assert mirrored.status == primary.status, (path, params, mirrored.text, primary.text)
        assert self._text(mirrored) == self._text(primary), (path, params, engine)

    def report(self, name: str) -> str:
        """How many requests there were, and who answered them."""
        reasons = sorted(self.reasons.items(), key=lambda each: -each[1])
        return (
            f"{name}: {self.requests} requests compared, {self.by_mirror} answered by the mirror, "
            + ", ".join(f"{count} {reason}" for reason, count in reasons)
        )

    def _watch(self) -> None:
        # Of all engines: sessions have another one than the metadata.
        event.listen(Engine, "before_cursor_execute", self._count)

    def _count(self, connection: Any, cursor: Any, statement: str, *arguments: Any) -> None:
        # Whether something waits in the outbox may be asked; nothing of the models.
        if threading.get_ident() != self._thread or "nefertari_search_" in statement:
            return
        tables = set(re.findall(r"\b(?:FROM|JOIN|UPDATE|INTO) (\w+)", statement))
        # Every few seconds PostgreSQL is asked whether it hides rows.
        of_the_package = ({self._parent}, {"unnest", "pg_class"})
        self.statements += tables not in of_the_package

    def _get(self, path: str, params: list[tuple[str, str]]) -> Any:
        query = urlencode(params)
        return self.app.get(f"{path}?{query}" if query else path, expect_errors=True)

    @staticmethod
    def _same_size(path: str, params: Any, mirrored: Any, plain: Any) -> None:
        ours, theirs = mirrored.json, plain.json
        for name in ("total", "count", "start", "fields"):
            assert ours.get(name) == theirs.get(name), (path, params, name)

    def _text(self, response: Any) -> str:
        """The body as text: untouched, unless it holds what can't be the same twice."""
        text: str = response.text
        if response.status_int >= 400:
            return lasting_error(text)
        if self.unordered and any(f'"{name}"' in text for name in self.unordered):
            return json.dumps(settled(json.loads(text), self.unordered))
        return text


def lasting_error(text: str) -> str:
    """Return the body of an error without what no two have in common."""
    body = json.loads(text)
    for name in _OF_THE_MOMENT:
        body.pop(name, None)
    # The database's own words may show an object by its address in memory.
    return re.sub(r"\b0x[0-9a-f]+", "0x", json.dumps(body))


def ordered_by_key(params: list[tuple[str, str]], pk: str, default: str) -> list[tuple[str, str]]:
    """*params* with ties (all, without a sort) ordered by primary key."""
    sorts = [value for name, value in params if name == "_sort"]
    others = [(name, value) for name, value in params if name != "_sort"]
    joined = ",".join(each for each in sorts if each.strip(", ")) or default
    names = [each.strip().lstrip("-") for each in joined.split(",")]
    if pk in names:
        return params
    return [*others, ("_sort", f"{joined},{pk}" if joined else pk)]


def engine_of(response: Any) -> str:
    """Return who answered, as *response* says it; "None" if it does not."""
    return str(response.headers.get("X-Search-Engine"))


def settled(value: Any, unordered: frozenset[str]) -> Any:
    """Return *value* with the lists sorted that are called as one of *unordered*."""
    if isinstance(value, list):
        return [settled(each, unordered) for each in value]
    if not isinstance(value, dict):
        return value
    result = {}
    for name, each in value.items():
        each = settled(each, unordered)
        if name in unordered and isinstance(each, list):
            each = sorted(each, key=json.dumps)
        result[name] = each
    return result
