"""Every INSERT, UPDATE and DELETE of SQLAlchemy's -> the documents that it affects.

All of them pass one place, the execution on a connection: those of a flush, of bulk methods, of
queries, of ``session.execute`` and of a connection or an engine without a session. What a change
affects before it is looked up before it, the rest after it, through the same connection.
"""

from __future__ import annotations

import logging
import weakref
from typing import Any, Optional

from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.engine.interfaces import Compiled
from sqlalchemy.orm import Session
from sqlalchemy.pool import Pool
from sqlalchemy.sql.ddl import DDLElement
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.sql.elements import TextClause
from sqlalchemy.sql.selectable import Select

from nefertari_search_tween.interfaces.primary import BulkChange, ChangeListener
from nefertari_search_tween.primary.sqla.capture.databases import ModelDatabase
from nefertari_search_tween.primary.sqla.capture.own_writes import WriteCounter, note_begin
from nefertari_search_tween.primary.sqla.capture.rows import AffectedDocuments
from nefertari_search_tween.primary.sqla.capture.statement_effects import (
    RunningStatement,
    look_up_before,
    note_inserted,
)
from nefertari_search_tween.primary.sqla.capture.statements import (
    Statement,
    is_rollback,
    may_write,
)
from nefertari_search_tween.primary.sqla.dependencies.dependencies import Dependencies
from nefertari_search_tween.primary.sqla.outbox.tables import TABLES
from nefertari_search_tween.primary.sqla.outbox.transaction import WRITTEN

log = logging.getLogger(__name__)

_SESSION = "nefertari_search.session"
_RUNNING = "nefertari_search.running_statement"
FLUSH = "nefertari_search.flush"
OWN_TABLES = set(TABLES)
# Texts of statements are compared and logged once, up to so many.
MAX_TEXTS = 1000


class ConnectionEvents:
    """Reports what statements on the models' database affect to a listener.

    :param primary: whose dependencies may change before a change is captured.
    """

    def __init__(self, primary: Any, listener: ChangeListener) -> None:
        self.primary = primary
        self.listener = listener
        self.database = ModelDatabase()
        self._reported: set[str] = set()
        self.writes = WriteCounter()
        self._listeners: list[tuple[Any, str, Any, dict[str, bool]]] = [
            (Engine, "before_execute", self._before_execute, {"retval": True}),
            (Engine, "after_execute", self._after_execute, {}),
            (Engine, "handle_error", self._handle_error, {}),
            (Engine, "rollback_savepoint", self._rollback_savepoint, {}),
            (Session, "after_begin", self._after_begin, {}),
            (Pool, "checkout", self.writes.add_connection, {}),
            (Engine, "engine_connect", self.writes.remove_connection, {}),
        ]

    def install(self) -> None:
        for target, name, handler, options in self._listeners:
            event.listen(target, name, handler, **options)

    def remove(self) -> None:
        for target, name, handler, _ in self._listeners:
            event.remove(target, name, handler)

    @property
    def dependencies(self) -> Dependencies:
        return self.primary.dependencies

    # Whose statement it is

    def _after_begin(self, session: Any, transaction: Any, connection: Any) -> None:
        if self.database.has(connection.engine):
            connection.info[_SESSION] = weakref.ref(session)
            # One that was never executed, by an error of SQLAlchemy's.
            connection.info.pop(_RUNNING, None)
            note_begin(session, transaction, connection)

    @staticmethod
    def session_of(connection: Any) -> Optional[Any]:
        """Return the session that has a transaction on *connection*, None if there is none."""
        reference = connection.info.get(_SESSION)
        session = None if reference is None else reference()
        transaction = None if session is None else session.transaction
        while transaction is not None:
            for each in transaction._connections.values():
                if not each[0].closed and each[0].connection is connection.connection:
                    return session
            transaction = transaction._parent
        return None

    # Statements

    def _before_execute(self, connection: Any, element: Any, multiparams: Any, params: Any) -> Any:
        unchanged = element, multiparams, params
        if type(element) is Select or isinstance(element, DDLElement):
            return unchanged
        statement = element.statement if isinstance(element, Compiled) else element
        if isinstance(statement, UpdateBase):
            element = self._begin(connection, element, statement.table, multiparams, params)
            return element, multiparams, params
        text = statement.text if isinstance(statement, TextClause) else statement
        if isinstance(text, str) and self.database.has(connection.engine):
            self._see_text(connection, text)
        return unchanged

    def _begin(
        self, connection: Any, element: Any, table: Any, multiparams: Any, params: Any
    ) -> Any:
        """Look up what the statement affects before it is executed; return what to execute."""
        if table in OWN_TABLES or not self.database.has(connection.engine):
            return element
        self.writes.add()
        session = self.session_of(connection)
        if not self._in_flush(session):
            self.listener.change_begins(session or _lone_session(connection))
        watched = self.dependencies.tables.get(table)
        if watched is None:
            return element
        statement = Statement(element, multiparams, params)
        transaction, closes = None, False
        if session is None:
            session = _lone_session(connection)
            if not connection.in_transaction():
                if not statement.compiled:
                    # An error of it, before anything is begun.
                    element.compile(dialect=connection.dialect, column_keys=[*statement.params[0]])
                transaction, closes = connection.begin(), connection.should_close_with_result
                connection.should_close_with_result = False
        else:
            session.info[WRITTEN] = True
        flush = session.info.get(FLUSH) if self._in_flush(session) else None
        affected = AffectedDocuments(self.dependencies) if flush is None else flush.affected
        running = RunningStatement(statement, watched, session, affected, transaction, closes)
        connection.info.setdefault(_RUNNING, []).append((statement.element, running))
        try:
            restricted = look_up_before(connection, element, running)
        except BaseException:
            self._abandon(connection, statement.element)
            raise
        if restricted is element:
            return element
        connection.info[_RUNNING][-1] = (restricted, running)
        return restricted

    @staticmethod
    def _in_flush(session: Any) -> bool:
        """Return True if the unit of work of *session* executes its statements."""
        flush = None if session is None or not session._flushing else session.info.get(FLUSH)
        return flush is not None and getattr(flush.context, "transaction", None) is not None

    def _after_execute(
        self, connection: Any, element: Any, multiparams: Any, params: Any, result: Any
    ) -> None:
        context: Any = getattr(result, "context", None)
        compiled = getattr(context, "compiled", None)
        if compiled is None or isinstance(element, DDLElement):
            return
        if compiled.ctes:
            self._see_ctes(connection, compiled)
        writes = context.isinsert or context.isupdate or context.isdelete
        # One that is closed with its result, and was not held open for us, has nothing of ours.
        if not writes or connection.closed:
            return
        running = self._end(connection, compiled.statement)
        if running is None:
            return
        try:
            if running.statement.inserts:
                note_inserted(connection, running, context)
            if not self._in_flush(running.session):
                self._report(connection, running)
        except BaseException:
            if running.transaction is not None:
                running.transaction.rollback()
            raise
        if running.transaction is not None:
            running.transaction.commit()
            if running.closes and result._soft_closed:
                connection.close()
            elif running.closes:
                result._autoclose_connection = connection.should_close_with_result = True

    def _end(self, connection: Any, element: Any) -> Optional[RunningStatement]:
        running = connection.info.get(_RUNNING)
        if running and running[-1][0] is element:
            return running.pop()[1]
        return None

    def _abandon(self, connection: Any, element: Any) -> None:
        running = self._end(connection, element)
        if running is not None and running.transaction is not None:
            running.transaction.rollback()
            if running.closes:
                connection.close()

    def _handle_error(self, context: Any) -> None:
        connection = context.connection
        execution = context.execution_context
        compiled = getattr(execution, "compiled", None)
        if connection is not None and not connection.closed and compiled is not None:
            self._abandon(connection, compiled.statement)

    def _see_ctes(self, connection: Any, compiled: Any) -> None:
        """Record whole models for what a WITH clause changes."""
        written = [
            self.dependencies.tables[cte.element.table]
            for cte in compiled.ctes
            if isinstance(cte.element, UpdateBase) and cte.element.table in self.dependencies.tables
        ]
        if not written or not self.database.has(connection.engine):
            return
        self.writes.add()
        session = self.session_of(connection) or _lone_session(connection)
        for watched in written:
            affected = AffectedDocuments(self.dependencies)
            affected.owners |= self.dependencies.whole_models(watched)
            statement = Statement(compiled.statement, (), {})
            self._report(
                connection, RunningStatement(statement, watched, session, affected, None, False)
            )

    def _report(self, connection: Any, running: RunningStatement) -> None:
        """Report what a statement outside of a flush affects."""
        affected, watched = running.affected, running.watched
        affected.look_up(connection)
        if not affected:
            return
        models = [model for _, model, _ in watched.models]
        if models:
            model = models[0]
            own = {key for key in affected.rows if key.model == model.__name__}
        else:
            # Rows of an association table are no objects: their ends have changed.
            names = {key.model for key in affected.owners} or {key.model for key in affected.rows}
            model = self.dependencies.models[min(names)]
            own = {key for key in affected.owners if key.model == min(names) and key.pk is not None}
        related = {*affected.rows, *affected.owners} - own
        deleted = running.statement.deletes and bool(models)
        keys = sorted(own, key=lambda key: str(key.pk))
        self.listener.bulk_changed(running.session, BulkChange(model, keys, related, deleted))

    # What is no statement of SQLAlchemy's

    def _see_text(self, connection: Any, text: str) -> None:
        session = self.session_of(connection)
        if session is not None and is_rollback(text):
            self.listener.savepoint_rolled_back(session)
        tables = self.dependencies.table_names
        if not tables or not may_write(text, tables):
            return
        self.writes.add()
        if session is not None:
            session.info[WRITTEN] = True
        if self.primary.follows_texts() or text in self._reported:
            return
        if len(self._reported) < MAX_TEXTS:
            self._reported.add(text)
            log.warning(
                "what a statement given as text changes is not followed; install triggers "
                "(docs/triggers.rst), or use SQLAlchemy's insert, update and delete: %s",
                text,
            )

    def _rollback_savepoint(self, connection: Any, name: Any, context: Any) -> None:
        if self.database.has(connection.engine):
            session = self.session_of(connection)
            if session is not None:
                self.listener.savepoint_rolled_back(session)


def _lone_session(connection: Any) -> Session:
    """Return a session for a connection that has none: it begins no transaction of its own."""
    return Session(bind=connection, autocommit=True, autoflush=False)
