"""One run of a schema in a process of its own, and the smallest one with the same finding."""

from __future__ import annotations

import logging
import random
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from sqlalchemy.exc import IntegrityError

from tests.schemas.cases import Case
from tests.schemas.models import Schema
from tests.support.generated import Database, fewer, forked

SECONDS = 120
PACKAGE = "/nefertari_search_tween/"


@dataclass
class Outcome:
    """What came of one run.

    :param statements: that were executed, in order.
    :param findings: how a mirror differs, or what the package raised; empty if all is well.
    :param mirrors: how many mirrors there were, and how many of them were untracked.
    :param changes: for each transaction, how many documents it changed.
    :param errors: of statements that the application itself could not execute.
    """

    statements: list[str] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    mirrors: int = 0
    untracked: int = 0
    changes: list[int] = field(default_factory=list)
    checks: int = 0
    errors: list[str] = field(default_factory=list)
    invalid: Optional[str] = None


@dataclass(frozen=True)
class Setting:
    """How a schema is run."""

    database: Database
    sync: str
    triggers: bool


def run(
    schema: Schema | Case,
    setting: Setting,
    seed: int = 0,
    operations: int = 0,
    statements: Optional[list[str]] = None,
) -> Outcome:
    """Run *operations* random statements on *schema*, or these *statements*."""
    outcome = Outcome()
    arguments = (schema.source, setting, seed, operations, statements)
    with forked(_child, setting.database, *arguments) as receiving:
        _receive(receiving, outcome)
    return outcome


def _receive(receiving: Any, outcome: Outcome) -> None:
    while True:
        if not receiving.poll(SECONDS):
            outcome.findings.append(f"nothing happened for {SECONDS} seconds")
            return
        try:
            kind, value = receiving.recv()
        except EOFError:
            outcome.findings.append("the process ended")
            return
        if kind == "end":
            return
        if kind in ("statements", "findings", "changes", "errors"):
            getattr(outcome, kind).append(value)
        else:
            setattr(outcome, kind, value)


def smallest(schema: Schema, setting: Setting, outcome: Outcome) -> tuple[Schema, Outcome]:
    """Return a part of *schema*, and of the statements of *outcome*, with a finding of its kind."""
    kind = _kind(outcome)

    def fails(schema: Schema, statements: list[str]) -> Optional[Outcome]:
        again = run(schema, setting, statements=statements)
        return again if _kind(again) == kind else None

    smaller = True
    while smaller:
        smaller = False
        for statements in fewer(outcome.statements):
            again = fails(schema, statements)
            if again is not None:
                outcome, smaller = again, True
                break
        if smaller:
            continue
        for part in schema.smaller():
            again = fails(part, outcome.statements)
            if again is not None:
                schema, outcome, smaller = part, again, True
                break
    return schema, outcome


def _kind(outcome: Outcome) -> Optional[str]:
    """Return what a smaller run must find, too: a difference, or the same error."""
    if not outcome.findings or outcome.invalid:
        return None
    first = outcome.findings[0]
    return first.partition("(")[0] if first.startswith("raised") else "difference"


# In the process of the run


def _child(
    sending: Any,
    url: str,
    folder: Path,
    text: str,
    setting: Setting,
    seed: int,
    operations: int,
    statements: Optional[list[str]],
) -> None:
    from tests.schemas.application import Application

    logging.getLogger().addHandler(logging.NullHandler())
    warnings.simplefilter("ignore")
    settings = {"nefertari_search.sync": setting.sync}
    try:
        application = Application(text, url, folder / "indices", settings)
        if setting.triggers:
            application.install_triggers()
    except Exception as error:  # noqa: BLE001 - of generated models: reported
        sending.send(("invalid", "".join(traceback.format_exception(error))))
        sending.send(("end", None))
        return
    mirrors = list(application.runtime.mirrors)
    sending.send(("mirrors", len(mirrors)))
    sending.send(("untracked", len(mirrors) - len(application.trusted)))
    run = _Run(application, sending)
    if statements is None:
        run.random(random.Random(seed), operations, setting.triggers)
    else:
        run.replay(statements)
    sending.send(("checks", run.checks))
    sending.send(("end", None))


class _Run:
    """Executes statements; see operations.py for their names."""

    def __init__(self, application: Any, sending: Any) -> None:
        from sqlalchemy import bindparam, select

        self.application = application
        self.sending = sending
        self.checks = 0
        self.ended = False
        self.kind: Optional[str] = None
        self.connection: Any = None
        self._items: list[Any] = []
        self.names: dict[str, Any] = {
            "M": application.models,
            "T": application.metadata.tables,
            "engine": application.engine,
            "select": select,
            "bindparam": bindparam,
            "begin": self.begin,
            "commit": self.commit,
            "rollback": self.rollback,
            "changed": _changed,
            "get": self.get,
        }

    def random(self, dice: random.Random, operations: int, raw_sql: bool) -> None:
        from tests.schemas.operations import Writer

        writer = Writer(self.application, dice, raw_sql)
        self._execute_all(writer, writer.population())
        done = 0
        while done < operations and not self.ended:
            done += self._execute_all(writer, writer.transaction())

    def _execute_all(self, writer: Any, transaction: Iterator[str]) -> int:
        """Execute the statements of a transaction; return how many."""
        writer.connection = None
        done = 0
        for statement in transaction:
            self.execute(statement)
            writer.connection = self.connection
            done += 1
            if self.kind is None:
                # Also if it has failed.
                break
        return done

    def replay(self, statements: list[str]) -> None:
        for statement in statements:
            if statement.startswith(("begin", "engine")):
                self.rollback()
            elif self.kind is None:
                continue
            self.execute(statement)
            if self.ended:
                return

    def execute(self, statement: str) -> None:
        self.sending.send(("statements", statement))
        try:
            exec(statement, self.names)
        except Exception as error:  # noqa: BLE001 - the application's own, mostly
            if _is_ours(error):
                self.ended = True
                text = "".join(traceback.format_exception(error))
                self.sending.send(("findings", f"raised {error!r}\n{text}"))
            self.sending.send(("errors", repr(error)))
            self.rollback()
        if self.kind is None and not self.ended:
            self.check()

    def check(self) -> None:
        self.checks += 1
        try:
            differences = list(self.application.differences())
        except Exception as error:  # noqa: BLE001 - reported
            if isinstance(error, RecursionError) and not _is_ours(error):
                # The application can't read its own objects (lists of each other, loaded at once).
                self.ended = True
                self.sending.send(("errors", repr(error)))
                return
            differences = [f"raised {error!r}\n" + "".join(traceback.format_exception(error))]
        self.sending.send(("changes", self.application.changes))
        for each in differences:
            self.ended = True
            self.sending.send(("findings", each))

    # What statements call

    def begin(self, kind: str) -> None:
        from pyramid_sqlalchemy import Session
        from sqlalchemy.orm import Session as PlainSession

        engine = self.application.engine
        self.kind = kind
        if kind == "connection":
            self.connection = engine.connect()
            self.transaction = self.connection.begin()
        else:
            session = Session() if kind == "scoped" else PlainSession(bind=engine)
            self.names["s"] = session
            self.connection = session.connection()
        self.names["c"] = self.connection
        if engine.dialect.name == "sqlite":
            # Its driver does so only before the first change: a savepoint would be the transaction.
            self.connection.connection.execute("BEGIN")

    def get(self, model: Any, key: Any) -> Any:
        """Return an object, which an application holds until the transaction ends."""
        item = self.names["s"].query(model).get(key)
        self._items.append(item)
        return item

    def commit(self) -> None:
        self._end(True)

    def rollback(self) -> None:
        self._end(False)

    def _end(self, committed: bool) -> None:
        import transaction
        from zope.sqlalchemy import mark_changed

        kind, self.kind, self.connection = self.kind, None, self.connection
        try:
            if kind == "scoped":
                if committed:
                    mark_changed(self.names["s"])
                    transaction.commit()
            elif kind == "own" and committed:
                self.names["s"].commit()
            elif kind == "connection" and committed:
                self.transaction.commit()
        finally:
            transaction.abort()
            if kind == "own":
                self.names["s"].close()
            elif kind == "connection":
                self.transaction.rollback()
                self.connection.close()
            self.connection = None
            self._items.clear()


def _changed(item: Any, name: str, value: Any) -> Any:
    setattr(item, name, value)
    return item


def _is_ours(error: Exception) -> bool:
    """Return True if the package raised *error*, and not the application or its database."""
    own = "nefertari_search_" in str(getattr(error, "statement", ""))
    if isinstance(error, IntegrityError) and not own:
        # A statement of the package may flush what the application has added.
        return False
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if PACKAGE in frame.filename:
            return True
        if "/tests/schemas/" in frame.filename or frame.filename == "<string>":
            return False
    return False
