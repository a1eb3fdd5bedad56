"""Whatever the order of steps of writers, indexers and rebuilds, the mirror converges.

A state machine has every step in its hand: what is committed and when; which indexer claims,
reads, writes and settles next; who is held up, whose lease runs out meanwhile, who dies between
two steps, for whom the backend is away; how far a rebuild is. Indexers and rebuilds are the
package's own, each in a thread that waits at the points between its steps. At the end the rest is
indexed, and the mirror must be equal to the primary to the byte.

Meanwhile readers come: what the mirror answers may be old only by the writes of which no writer has
been answered.
"""

from __future__ import annotations

import json
import threading
import uuid

import pytest
import transaction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule, run_state_machine_as_test
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import sessionmaker

from nefertari_search_tween.exceptions import BackendUnavailable
from nefertari_search_tween.indexing import indexer as indexing
from nefertari_search_tween.indexing.rebuild import rebuild as rebuilding
from nefertari_search_tween.indexing.rebuild.missing import index_missing
from nefertari_search_tween.interfaces.outbox import LEASE_SECONDS, ClaimExpired
from nefertari_search_tween.interfaces.rebuild_lock import RebuildInProgress
from nefertari_search_tween.mirror.index_lifecycle import create_empty
from nefertari_search_tween.primary.sqla.outbox import outbox as sqla_outbox
from nefertari_search_tween.primary.sqla.outbox.tables import OUTBOX
from tests.support.apps import search_of, zoo
from tests.support.tiers import examples
from tests.write.test_sync import (
    PRIMARY_KEYS,
    Changes,
    empty_tables,
    normalised,
    same_everywhere,
)

pytestmark = pytest.mark.every_primary

EXAMPLES = examples(20)
STEPS = 50
# So short that an indexer that was held up for a step has to look the indices up again.
TARGETS_SECONDS = 0.02
SETTLE_SECONDS = 0.05
MODELS = ("Item", "Keeper", "Tag", "Visit", "Node", "Marked", "Custom", "Pen", "Round", "Meal")
REBUILT = ("Item", "Visit", "Tag")
WAIT_SECONDS = 60

current = threading.local()


class Killed(BaseException):
    """The end of a process: nothing that it had in mind is done any more."""


class Process:
    """Work that stops at each of its points until it is told to go on.

    :param name: what it does, to read in a failure.
    :param work: called in a thread of its own.
    """

    def __init__(self, name, work):
        self.name = name
        self.work = work
        self.point = "start"
        self.token = None
        self.ended = False
        self.killed = False
        self.expired = False
        self.error = None
        self._fault = None
        self._go = threading.Semaphore(0)
        self._stopped = threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()
        self._wait()

    def _run(self):
        current.process = self
        try:
            self.stop_at("start")
            self.work()
        except Killed:
            pass
        except Exception as error:  # noqa: BLE001 - looked at by the machine
            self.error = error
        self.ended = True
        self._stopped.release()

    def stop_at(self, point):
        """A point between two steps: wait here."""
        self.point = point
        self._stopped.release()
        self._go.acquire()
        if self._fault is not None:
            fault, self._fault = self._fault, None
            raise fault
        if self.expired:
            raise ClaimExpired("its lease is over")

    def advance(self, fault=None):
        """Let it go on to its next point, or let it fail right here."""
        self._fault = fault
        self._go.release()
        self._wait()

    def kill(self):
        self.killed = True
        self.advance(Killed())

    def _wait(self):
        assert self._stopped.acquire(timeout=WAIT_SECONDS), f"{self.name} hangs at {self.point}"


def stop_at(point):
    process = getattr(current, "process", None)
    if process is not None:
        process.stop_at(point)


class Stopping:
    """Stands before an object of the package; a point lies before or behind some of its calls."""

    def __init__(self, real):
        self._real = real

    def __getattr__(self, name):
        return getattr(self._real, name)


class Reader(Stopping):
    def read(self, pks):
        stop_at("claimed")
        bodies = self._real.read(pks)
        stop_at("read")
        return bodies

    def scan(self, *arguments):
        for rows in self._real.scan(*arguments):
            stop_at("scanned")
            yield rows


class Rebuilds(Stopping):
    def release(self, build):
        if not current.process.killed:
            self._real.release(build)


class Waiting(Stopping):
    """The outbox as a rebuild sees it. It does not wait for claims that are stopped: their leases
    are over at once."""

    def __init__(self, real, processes):
        super().__init__(real)
        self._processes = processes
        self._is_repeat = False

    def claim_tokens(self, model_name):
        stop_at("waiting")
        if self._is_repeat:
            for process in self._processes:
                if process.point in ("claimed", "read"):
                    process.expired = True
            return set()
        self._is_repeat = True
        return self._real.claim_tokens(model_name)


class Outbox(Stopping):
    def settle(self, *arguments):
        stop_at("written")
        self._real.settle(*arguments)

    def release(self, token):
        # A dead process gives nothing back.
        if not current.process.killed:
            self._real.release(token)


class AheadClock:
    """The clock of the outbox, as readers and those who take claims over have it.

    :param clock: the real one.
    """

    def __init__(self, clock):
        self._clock = clock
        self.ahead = 0

    def now(self, connection=None):
        return self._clock.now(connection) + self.ahead


def on_sqlite(app):
    return search_of(app).outbox.engine.dialect.name == "sqlite"


@pytest.fixture(scope="module")
def app(tmp_path_factory, primary_url):
    from pyramid_sqlalchemy import Session

    folder = tmp_path_factory.mktemp("interleaving")
    if primary_url.startswith("postgresql"):
        # Who has a lock may be stopped until the one that waits for it ends.
        primary_url += "?options=-clock_timeout%3D100"
    app = zoo(
        primary_url,
        f"embedded:{folder}/mirrors",
        f"test-{uuid.uuid4().hex[:12]}",
        **{"elasticsearch.chunk_size": "3"},
    )
    patch = pytest.MonkeyPatch()
    patch.setattr(indexing, "TARGETS_SECONDS", TARGETS_SECONDS)
    patch.setattr(rebuilding, "SETTLE_SECONDS", SETTLE_SECONDS)
    search = search_of(app)
    # Nobody takes a step but those that the machine has in its hand.
    search.indexer.recovery.stop()
    # The database's collation is asked for once.
    app.get("/keepers?_sort=code")
    for mirror in search.mirrors:
        mirror.reader = Reader(mirror.reader)
    search.indexer.outbox = Outbox(search.outbox)
    search.outbox.clock = AheadClock(search.outbox.clock)
    yield app
    transaction.abort()
    patch.undo()
    Session.remove()


class Interleaving(Changes):
    """Adds to random changes the steps of those who index them."""

    def __init__(self):
        super().__init__()
        self.search = search_of(self.app)
        self.published = []
        # Tokens of writers that wait for their rows, or are dead.
        self.unanswered = set()
        self.processes = []
        self.search.capture.listener.index = self.publish
        transaction.abort()
        empty_tables()
        self.settle_all()
        self.unanswered.clear()

    def publish(self, token):
        self.published.append(token)
        self.unanswered.add(token)

    def change(self, work, outcome="commit"):
        try:
            super().change(work, outcome)
        except OperationalError as error:
            # Another transaction has the row: this one is rolled back.
            if on_sqlite(self.app) or "lock timeout" not in str(error):
                raise
            transaction.abort()

    @precondition(lambda self: not on_sqlite(self.app))
    @rule(name=Changes.texts, number=st.integers(0, 1), keeper=st.booleans())
    def change_and_commit_later(self, name, number, keeper):
        """Transactions overlap: what commits last was not recorded last.

        The keeper is embedded in the item. (SQLite has one writer at a time.)
        """
        from tests.apps.every_field import models

        model = models.Keeper if keeper else models.Item

        def work():
            session = sessionmaker(bind=self.search.outbox.engine)()
            try:
                row = self.any_of(session, model, number)
                if row is not None:
                    row.name = name
                    session.flush()
                    stop_at("flushed")
                    session.commit()
            except OperationalError:
                session.rollback()
            finally:
                session.close()

        self.begin("transaction", work)
        self.advance(len(self.processes) - 1, 1)

    def begin(self, name, work):
        self.processes.append(Process(name, work))

    # Inline indexers: one for each commit.

    @precondition(lambda self: self.published)
    @rule(number=st.integers(0, 9), steps=st.integers(0, 3))
    def inline(self, number, steps):
        self.index(self.published.pop(number % len(self.published)), steps)

    @rule(name=Changes.texts, number=st.integers(0, 1), steps=st.integers(0, 3))
    def change_a_hot_object(self, name, number, steps):
        """One of two, so that several indexers have it in hand at once."""
        from tests.apps.every_field import models

        def work(session):
            item = self.any_of(session, models.Item, number)
            if item is None:
                session.add(models.Item(name=name))
            elif name == "0":
                session.delete(item)
            else:
                item.name = name

        self.change(work)
        if self.published:
            self.index(self.published.pop(), steps)

    def index(self, token, steps):
        """Begin what a process does after its commit, and stop it at one of its points."""

        def work():
            claim = self.search.outbox.claim_committed(token)
            if claim is not None:
                try:
                    self.search.indexer.process_claim(claim)
                except BaseException:
                    self.search.indexer.outbox.release(token)
                    raise

        self.begin("inline", work)
        self.processes[-1].token = token
        self.advance(len(self.processes) - 1, steps)

    @precondition(lambda self: self.published)
    @rule(number=st.integers(0, 9))
    def die_after_the_commit(self, number):
        self.published.pop(number % len(self.published))

    # Workers

    @rule(name=st.sampled_from(MODELS), steps=st.integers(0, 3))
    def worker(self, name, steps):
        mirror = self.search.mirrors.get(name)
        self.begin(f"worker of {name}", lambda: self.search.indexer.process_next_claim(mirror))
        self.advance(len(self.processes) - 1, steps)

    @rule()
    def leases_run_out(self):
        """For everybody but the owners, whose clocks are late: they go on."""
        self.search.outbox.clock.ahead += int(1000 * (LEASE_SECONDS + 1))
        with self.search.outbox.engine.begin() as connection:
            connection.execute(
                "UPDATE nefertari_search_outbox SET lease_expires_at = 0 WHERE lease_expires_at > 0"
            )
            if all(each.name != "rebuild" for each in self.processes):
                connection.execute("UPDATE nefertari_search_rebuilds SET heartbeat_at = 0")

    # Readers

    @rule(name=st.sampled_from(sorted(PRIMARY_KEYS)))
    def read(self, name):
        key = PRIMARY_KEYS[name]
        path = f"/{name}?_sort={key}&_limit=1000"
        transaction.abort()
        answer = self.app.get(path)
        if answer.headers["X-Search-Engine"] != "mirror":
            return
        mirrored, stored = (
            {each[key]: each for each in json.loads(normalised(each.body))["data"]}
            for each in (answer, self.app.get(f"{path}&_search=false"))
        )
        keys = mirrored.keys() | stored.keys()
        old = {str(pk) for pk in keys if mirrored.get(pk) != stored.get(pk)}
        assert old <= self.untold(name.removesuffix("s").capitalize(), map(str, keys))

    def untold(self, model_name, keys):
        """Those of *keys* that rows represent whose writer has not been answered."""
        with self.search.outbox.engine.connect() as connection:
            rows = [
                row
                for row in connection.execute(OUTBOX.select()).fetchall()
                if row.claim_token in self.unanswered
            ]
        own = {row.pk for row in rows if row.model == model_name}
        # What another transaction was making is found by the claim; SQLite has no other then.
        sources = () if on_sqlite(self.app) else self.search.outbox._sources[model_name]
        if None in own or any(row.fan_out and row.model in sources for row in rows):
            return set(keys)
        return own

    # Rebuilds: one at a time.

    @precondition(lambda self: all(each.name != "rebuild" for each in self.processes))
    @rule(name=st.sampled_from(REBUILT))
    def rebuild(self, name):
        mirror = self.search.mirrors.get(name)
        search = self.search
        rebuilds, outbox = Rebuilds(search.rebuild_locks), Waiting(search.outbox, self.processes)
        self.begin(
            "rebuild", lambda: rebuilding.rebuild(search.mirrors, rebuilds, outbox, [mirror], 3)
        )

    # Scans that are no claims: a document that is missing, an index that is made again.

    @rule(name=st.sampled_from(MODELS), steps=st.integers(0, 3))
    def index_missing(self, name, steps):
        """Its version is older than what changes between its read and its write."""
        search = self.search
        mirror = search.mirrors.get(name)
        self.begin(
            f"index_missing of {name}",
            lambda: index_missing(search.mirrors, mirror, 3, search.outbox, search.rebuild_locks),
        )
        self.advance(len(self.processes) - 1, steps)

    @precondition(lambda self: all(each.name != "rebuild" for each in self.processes))
    @rule(name=st.sampled_from(REBUILT))
    def make_the_index_again(self, name):
        """It is empty then, all objects are enqueued, and indexers still write what they read."""
        search = self.search
        mirror = search.mirrors.get(name)
        for index in search.mirrors.indices_of(mirror):
            search.backend.delete_index(index)
        create_empty(search.mirrors, mirror)
        search.outbox.enqueue_model(name)

    # Any of them

    @precondition(lambda self: self.processes)
    @rule(number=st.integers(0, 9), steps=st.integers(1, 9))
    def advance(self, number, steps):
        process = self.processes[number % len(self.processes)]
        for _ in range(steps):
            if not process.ended:
                process.advance()
        self.bury()

    @precondition(lambda self: self.processes)
    @rule(number=st.integers(0, 9))
    def kill(self, number):
        self.processes[number % len(self.processes)].kill()
        self.bury()

    @precondition(lambda self: self.processes)
    @rule(number=st.integers(0, 9))
    def backend_is_away(self, number):
        process = self.processes[number % len(self.processes)]
        if process.point in ("read", "scanned"):
            process.advance(BackendUnavailable("away"))
            self.bury()

    def bury(self):
        for process in [each for each in self.processes if each.ended]:
            self.processes.remove(process)
            if not process.killed:
                self.unanswered.discard(process.token)
            if process.error is not None and not isinstance(
                process.error, (BackendUnavailable, ClaimExpired, RebuildInProgress)
            ):
                raise AssertionError(f"{process.name} failed") from process.error

    # The end

    def settle_all(self):
        """Let time pass: what was left behind is taken over."""
        self.leases_run_out()
        self.published.clear()
        drained = Process("drain", self.search.indexer.drain)
        while not drained.ended:
            drained.advance()
        assert drained.error is None, drained.error

    def teardown(self):
        transaction.abort()
        while self.processes:
            # Who is still about goes on after all the others have ended: the latest of all.
            self.settle_all()
            process = self.processes[0]
            while not process.ended:
                process.advance()
            self.bury()
        self.settle_all()
        assert self.search.outbox.pending_count() == 0
        same_everywhere(self.app)


def test_any_interleaving_leaves_mirror_and_primary_equal(app):
    Interleaving.app = app
    run_state_machine_as_test(
        Interleaving,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.fixture
def machine(app):
    """A machine whose steps a test takes itself."""
    Interleaving.app = app
    machine = Interleaving()
    machine.start()
    yield machine
    machine.teardown()


def add_item(session):
    from tests.apps.every_field import models

    session.add(models.Item(name="new"))


def test_a_reader_of_the_machine_misses_what_no_writer_was_answered_for(machine):
    machine.change(add_item)
    (token,) = machine.published
    for steps in (0, 1, 1):
        assert machine.app.get("/items").json["data"] == []
        machine.read("items")
        if machine.published:
            machine.index(machine.published.pop(), steps)
        else:
            machine.advance(0, steps)
    assert machine.unanswered == {token}
    machine.leases_run_out()
    answer = machine.app.get("/items")
    assert answer.headers["X-Search-Engine"] == "primary; reason=stale"
    assert [each["name"] for each in answer.json["data"]] == ["new"]


def test_the_machine_notices_a_reader_that_misses_what_was_answered(machine, monkeypatch):
    """One that does not count the rows of a worker's claim."""
    machine.change(add_item)
    (token,) = machine.published
    machine.index(machine.published.pop(), 1)
    machine.processes[0].advance(BackendUnavailable("away"))
    machine.bury()
    assert token not in machine.unanswered
    monkeypatch.setattr(sqla_outbox, "new_token", machine.search.outbox._awaited_token)
    machine.worker("Item", 1)
    with pytest.raises(AssertionError):
        machine.read("items")
