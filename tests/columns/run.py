"""Asks the mirror and the primary of random models, compares, and makes what differs smaller."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Optional

from tests.columns.application import serve
from tests.columns.differences import Answer, Difference, difference
from tests.columns.models import Model, Row, drawn
from tests.columns.requests import Request, columns_of, shape, smaller
from tests.support.compare_answers import ordered_by_key
from tests.support.generated import Database, forked

SECONDS = 120
MODELS_PER_APPLICATION = 10
PRIMARY = ("_search", "false")


class Invalid(Exception):
    """An application that does not start; the message is its traceback."""


class Served:
    """The application of *models* in its process.

    :ivar tables: by number of the model, the statement that has made its table.
    :ivar refused: how many values the database did not take.
    """

    def __init__(self, connection: Any, models: Sequence[Model]) -> None:
        self.models = models
        self._connection = connection
        ready = self._receive()
        if isinstance(ready, str):
            raise Invalid(ready)
        self.tables, self.refused = ready

    def _receive(self) -> Any:
        if not self._connection.poll(SECONDS):
            raise Invalid(f"nothing happened for {SECONDS} seconds")
        try:
            return self._connection.recv()
        except EOFError:
            raise Invalid("the process ended") from None

    def ask(self, number: int, requests: Sequence[Request]) -> list[Answer]:
        answers: list[Answer] = self._done("ask", number, requests)
        return answers

    def fill(self, number: int, rows: Sequence[Row]) -> None:
        self._done("fill", number, rows)

    def _done(self, work: str, number: int, argument: Any) -> Any:
        try:
            self._connection.send((work, number, argument))
        except OSError:
            raise Invalid("the process ended") from None
        return self._receive()

    def pairs(self, number: int, requests: Sequence[Request]) -> list[tuple[Answer, Answer]]:
        """Return what each request is answered, and what the primary answers to it."""
        both = [each for request in requests for each in (request, (*request, PRIMARY))]
        answers = self.ask(number, both)
        return list(zip(answers[::2], answers[1::2]))

    def difference(
        self, number: int, request: Request, answers: tuple[Answer, Answer]
    ) -> Optional[Difference]:
        model = self.models[number]

        def ordered() -> Answer:
            # Of columns alone, a mapper's order is not applied.
            default = "" if "_fields" in dict(request) else model.default_sort
            params = ordered_by_key(list(request), "id", default)
            return self.ask(number, [(*params, PRIMARY)])[0]

        return difference(*answers, ordered, model.unordered)


@contextmanager
def served(models: Sequence[Model], database: Database) -> Iterator[Served]:
    with forked(serve, database, models) as connection:
        yield Served(connection, models)


@dataclass(frozen=True)
class Finding:
    """A request that is not answered as the primary answers it.

    :param name: of the database.
    :param table: the statement that has made the table, if SQL has.
    """

    name: str
    model: Model
    table: str
    request: Request
    difference: Difference
    answers: tuple[Answer, Answer]

    @property
    def fields(self) -> set[str]:
        """Those that the request and the difference are about."""
        return columns_of(self.request) | self.difference.fields

    @property
    def kind(self) -> str:
        model = self.model
        labels = {name: column.label for column in model.columns for name in column.fields}
        fields = ", ".join(sorted({labels.get(each, each) for each in self.difference.fields}))
        what = f"{self.difference.what} of {fields}" if fields else self.difference.what
        extras = "".join(f" ({extra.name})" for extra in model.extras)
        # Where no field is named, all of them may be the reason.
        columns = model.labels(self.fields) or [each.label for each in model.columns]
        about = shape(self.request, labels) or "a page"
        return f"{what}: {about} [{'; '.join(sorted(set(columns)))}]{extras}"

    def __str__(self) -> str:
        query = "&".join(f"{name}={value!r}" for name, value in self.request)
        lines = [
            f"KIND {self.kind}",
            f"  database: {self.name}; request: ?{query}",
            *(f"  | {line}" for line in self.model.definitions().splitlines()),
            *(f"  | {line}" for line in self.model.source(0).strip().splitlines()),
        ]
        if self.table:
            lines.append(f"  {self.table}")
        names = ["id", *(column.name for column in self.model.columns)]
        for row in self.model.rows:
            lines.append("  row " + ", ".join(f"{name}={row[name]}" for name in names))
        for by, answer in zip(("answered", "primary"), self.answers):
            lines.append(f"  {by} {answer.status} [{answer.engine}]: {answer.text[:600]}")
        return "\n".join(lines)


@dataclass
class Stats:
    """What a run has done.

    :ivar kinds: how many requests named a column of a kind, and how many of them the mirror
        answered; so too for models by whether they are ordinary, and by database.
    """

    applications: int = 0
    requests: int = 0
    by_mirror: int = 0
    refused: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    kinds: dict[tuple[bool, str], list[int]] = field(default_factory=dict)
    models: dict[tuple[str, bool], list[int]] = field(default_factory=dict)
    findings: dict[str, Finding] = field(default_factory=dict)
    times: Counter[str] = field(default_factory=Counter)
    invalid: list[str] = field(default_factory=list)

    def note(
        self, name: str, model: Model, request: Request, answers: tuple[Answer, Answer]
    ) -> None:
        answer, primary = answers
        self.requests += 1
        by_mirror = answer.engine == "mirror"
        self.by_mirror += by_mirror
        self.statuses[answer.status] += 1
        self.reasons[answer.engine] += 1
        # A request that is wrong is the primary's to refuse: it says nothing of a column.
        if primary.status != 200:
            return
        self._count(self.models, (name, model.is_ordinary), by_mirror)
        names = columns_of(request)
        for column in model.columns:
            if names.intersection(column.fields):
                self._count(self.kinds, (column.is_ordinary, column.kind.name), by_mirror)

    @staticmethod
    def _count(counts: dict[Any, list[int]], key: Any, by_mirror: bool) -> None:
        count = counts.setdefault(key, [0, 0])
        count[0] += 1
        count[1] += by_mirror

    def report(self) -> str:
        lines = []
        for (ordinary, name), (count, mirrored) in sorted(self.kinds.items(), reverse=True):
            kind = "ordinary" if ordinary else "other"
            lines.append(f"  {mirrored / count:4.0%} of {count:5} by the mirror: {kind} {name}")
        answers = ", ".join(f"{count} {each or '-'}" for each, count in self.reasons.most_common())
        statuses = ", ".join(f"{count} {each}" for each, count in self.statuses.most_common())
        lines += [f"statuses: {statuses}", f"X-Search-Engine: {answers}"]
        databases = sorted({name for name, _ in self.models})
        for kind, ordinary in (("ordinary", True), ("other", False)):
            counts = {name: self.models.get((name, ordinary), [0, 0]) for name in databases}
            if len(counts) > 1:
                lines += [_share(f"{kind} models on {name}", *counts[name]) for name in databases]
            count, mirrored = (sum(each[at] for each in counts.values()) for at in (0, 1))
            lines.append(_share(f"{kind} models", count, mirrored))
        lines.append(
            f"{self.requests} requests, {self.by_mirror} mirrored, {self.applications} "
            f"applications, {self.refused} values refused, {len(self.invalid)} invalid, "
            f"{sum(self.times.values())} differences, {len(self.findings)} findings"
        )
        return "\n".join(lines)


def _share(name: str, count: int, mirrored: int) -> str:
    return f"{name}: {mirrored} of {count} by the mirror, {mirrored / max(1, count):.1%}"


class Run:
    """A campaign.

    :param databases: by name; each application has one of them.
    :param announce: called with each finding of a new kind, and with what did not start.
    """

    def __init__(
        self, dialect: str, databases: dict[str, Database], announce: Callable[[object], None]
    ) -> None:
        self.dialect = dialect
        self.databases = databases
        self.announce = announce
        self.stats = Stats()

    def run(self, requests: int, number: int, keep_going: bool) -> None:
        """Compare at least this many requests; the same ones for the same *number*."""
        names = list(self.databases)
        while self.stats.requests < requests and (keep_going or not self.stats.findings):
            models = drawn(self.dialect, number, MODELS_PER_APPLICATION)
            self.compare(names[number % len(names)], models)
            number += 1

    def compare(self, name: str, models: Sequence[Model]) -> None:
        try:
            findings = list(self._findings(name, models))
        except Invalid as error:
            if len(models) > 1:
                for model in models:
                    self.compare(name, [model])
                return
            self.stats.invalid.append(str(error))
            self.announce(f"does not start:\n{models[0].source(0)}\n{error}")
            return
        for finding in findings:
            smallest = self._smallest(finding)
            if smallest.kind not in self.stats.findings:
                self.stats.findings[smallest.kind] = smallest
                self.announce(smallest)

    def _findings(self, name: str, models: Sequence[Model]) -> Iterator[Finding]:
        """Yield what differs, by the smallest request; of each kind once."""
        with served(models, self.databases[name]) as application:
            self.stats.applications += 1
            self.stats.refused += application.refused
            for number, model in enumerate(models):
                pairs = application.pairs(number, model.requests)
                for request, answers in zip(model.requests, pairs):
                    self.stats.note(name, model, request, answers)
                    differing = application.difference(number, request, answers)
                    if differing is None:
                        continue
                    finding = Finding(
                        name,
                        model,
                        application.tables.get(number, ""),
                        request,
                        differing,
                        answers,
                    )
                    finding = _with_smaller_request(application, number, finding)
                    self.stats.times[finding.kind] += 1
                    if self.stats.times[finding.kind] == 1:
                        yield finding

    def _smallest(self, finding: Finding) -> Finding:
        """Return the finding with the smallest model and the fewest values that show it."""
        bare = finding.model.bare(finding.fields)
        smallest = self._retried(finding, bare) or self._retried(finding, finding.model) or finding
        progress = True
        while progress:
            progress = False
            for model in smallest.model.simpler():
                again = self._retried(smallest, model)
                if again is not None:
                    smallest, progress = again, True
                    break
        return smallest

    def _retried(self, finding: Finding, model: Model) -> Optional[Finding]:
        """Return the finding with *model* in the place of its own; None if that shows nothing."""
        alone = replace(model, requests=(finding.request,))
        try:
            with served([alone], self.databases[finding.name]) as application:
                finding = replace(finding, model=alone, table=application.tables.get(0, ""))
                again = _seen_again(application, 0, finding)
                return again and _with_fewer_values(application, again)
        except Invalid:
            return None


def _seen_again(application: Served, number: int, finding: Finding) -> Optional[Finding]:
    """Return what *finding* is now, None if its request shows nothing of the kind."""
    (answers,) = application.pairs(number, [finding.request])
    differing = application.difference(number, finding.request, answers)
    if differing is None or differing.what != finding.difference.what:
        return None
    return replace(finding, answers=answers, difference=differing)


def _with_smaller_request(application: Served, number: int, finding: Finding) -> Finding:
    for request in smaller(finding.request):
        again = _seen_again(application, number, replace(finding, request=request))
        if again is not None:
            return _with_smaller_request(application, number, again)
    return finding


def _with_fewer_values(application: Served, finding: Finding) -> Finding:
    for rows in finding.model.smaller_rows():
        application.fill(0, rows)
        again = _seen_again(
            application, 0, replace(finding, model=replace(finding.model, rows=rows))
        )
        if again is not None:
            return _with_fewer_values(application, again)
    return finding
