"""What every outbox promises: asked of those in SQL databases and of those in MongoDB.

A subclass says what a ``store`` is: a database of its own, with all that outboxes do not do
themselves.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any

import pytest

from nefertari_search_tween.interfaces.outbox import LEASE_SECONDS
from nefertari_search_tween.interfaces.primary import Key

AWKWARD_KEYS = {"7", "it's", 'a "b"', "é \u2028 日本", "a\nb", " x "}


class OutboxStore(ABC):
    """A database with an outbox. ``Tag`` has numbers as keys, ``Keeper`` texts."""

    #: claims of several workers never have the same row
    claims_once = True

    @abstractmethod
    def outbox(self, inline: bool = False) -> Any:
        """Another outbox on this database."""

    @abstractmethod
    def begin(self) -> Any:
        """What an outbox records in: a session, or a unit of work."""

    @abstractmethod
    def write(self, outbox: Any, unit: Any, keys: set[Key]) -> None:
        """Record *keys* and make their changes, which are not committed yet."""

    @abstractmethod
    def commit(self, unit: Any) -> None:
        """Commit the changes."""

    @abstractmethod
    def began_earlier(self, unit: Any, seconds: float) -> None:
        """Make *unit* older."""

    @abstractmethod
    def end_leases(self, milliseconds: int) -> None:
        """Let all leases end then: milliseconds since 1970."""

    def expire(self) -> None:
        """Let all leases expire."""
        self.end_leases(1)

    @abstractmethod
    def grow_old(self, seconds: int) -> None:
        """Make all pending rows older."""

    @abstractmethod
    def forget_versions(self) -> None:
        """What a backup of long ago restores."""


def tags(*numbers: int) -> set[Key]:
    return {Key("Tag", number) for number in numbers}


def recorded(store: OutboxStore, outbox: Any) -> str:
    """Commit a change of a tag by the process of *outbox*, which indexes it itself; give the token
    of its row."""
    unit = store.begin()
    store.write(outbox, unit, tags(1))
    store.commit(unit)
    return str(outbox.committed(unit))


HOUR = 3_600_000


class OutboxConformance(ABC):
    @abstractmethod
    def store(self) -> OutboxStore:
        """A database of the test's own: a fixture of each subclass."""

    @pytest.fixture
    def outbox(self, store: OutboxStore) -> Any:
        return store.outbox()

    def test_a_lease_from_before_the_clock_was_set_back_has_expired(
        self, store: OutboxStore, outbox: Any
    ) -> None:
        """Its end is an hour ahead, and nobody may have to wait for it."""
        outbox.enqueue(tags(1, 2))
        claim = outbox.claim("Tag", 10)
        now = int(time.time() * 1000)
        store.end_leases(now + 15_000)
        assert outbox.claimable_models() == []
        assert outbox.claim("Tag", 10) is None
        store.end_leases(now + HOUR)
        assert outbox.claimable_models() == ["Tag"]
        again = store.outbox().claim("Tag", 10)
        assert again.keys == claim.keys
        assert again.versions["Tag"] > claim.versions["Tag"]
        assert not outbox.renew(claim)
        # In turns they would never end: the new lease is of the clock as it is.
        assert outbox.claim("Tag", 10) is None

    def test_what_is_committed_waits_for_its_model_alone(
        self, store: OutboxStore, outbox: Any
    ) -> None:
        unit = store.begin()
        store.write(outbox, unit, tags(1))
        assert outbox.has_recorded(unit)
        store.commit(unit)
        assert outbox.committed(unit) is None
        assert outbox.sync_state("Tag").pending
        assert not outbox.sync_state("Keeper").pending
        assert outbox.claim("Tag", 10).keys == tags(1)

    def test_a_key_is_recorded_once_in_a_transaction(self, store: OutboxStore, outbox: Any) -> None:
        unit = store.begin()
        outbox.record(unit, tags(1, 2))
        outbox.record(unit, tags(2, 3))
        store.commit(unit)
        assert outbox.pending_count("Tag") == 3

    def test_keys_come_back_as_the_model_has_them(self, outbox: Any) -> None:
        outbox.enqueue({Key("Keeper", code) for code in AWKWARD_KEYS} | tags(7))
        assert {key.pk for key in outbox.claim("Keeper", 10).keys} == AWKWARD_KEYS
        assert {key.pk for key in outbox.claim("Tag", 10).keys} == {7}

    def test_versions_only_grow(self, store: OutboxStore, outbox: Any) -> None:
        outbox.enqueue(tags(1))
        first = outbox.claim("Tag", 10)
        outbox.enqueue(tags(1))
        second = outbox.claim("Tag", 10)
        assert second.versions["Tag"] > first.versions["Tag"]
        assert outbox.next_version("Tag") > second.versions["Tag"]
        # A clock that was set back, or a counter that is ahead of it.
        ahead = 2 * time.time_ns() // 1000
        outbox.raise_version("Tag", ahead)
        assert outbox.next_version("Tag") == ahead + 1
        store.forget_versions()
        assert second.versions["Tag"] < outbox.next_version("Tag") < ahead

    def test_versions_that_many_take_at_once_differ_and_grow(self, store: OutboxStore) -> None:
        versions: list[tuple[float, float, int]] = []

        def take() -> None:
            mine = store.outbox()
            for _ in range(30):
                before = time.monotonic()
                version = mine.next_version("Tag")
                versions.append((before, time.monotonic(), version))

        in_threads(take, 6)
        assert len(versions) == 180
        assert len({version for _, _, version in versions}) == 180
        for _, ended, version in versions:
            assert all(later > version for began, _, later in versions if began > ended)

    def test_a_claim_is_of_one_until_its_lease_is_over(
        self, store: OutboxStore, outbox: Any
    ) -> None:
        outbox.enqueue(tags(*range(5)))
        claim = outbox.claim("Tag", 3)
        rest = outbox.claim("Tag", 10)
        assert len(claim.keys) == 3
        assert claim.keys | rest.keys == tags(*range(5))
        assert outbox.claim("Tag", 10) is None
        assert outbox.claimable_models() == []
        assert outbox.renew(claim)
        store.expire()
        assert outbox.claimable_models() == ["Tag"]
        again = outbox.claim("Tag", 10)
        assert again.keys == tags(*range(5))
        assert again.versions["Tag"] > rest.versions["Tag"]
        # Who had them before settles nothing of it.
        assert not outbox.renew(claim)
        outbox.settle(claim, {})
        assert outbox.pending_count("Tag") == 5
        outbox.settle(again, {})
        assert outbox.pending_count() == 0

    def test_what_is_released_is_free(self, outbox: Any) -> None:
        outbox.enqueue(tags(1, 2))
        claim = outbox.claim("Tag", 10)
        assert outbox.claim_tokens("Tag") == {claim.token}
        outbox.release(claim.token)
        assert outbox.claim_tokens("Tag") == set()
        assert outbox.claim("Tag", 10).keys == tags(1, 2)

    def test_rows_of_inline_sync_are_born_claimed(self, store: OutboxStore) -> None:
        outbox, unit = store.outbox(inline=True), store.begin()
        keys = {*tags(1), Key("Keeper", "a")}
        store.write(outbox, unit, keys)
        store.commit(unit)
        token = outbox.committed(unit)
        assert outbox.claim("Tag", 10) is None
        claim = outbox.claim_committed(token)
        assert claim.keys == keys
        assert set(claim.versions) == {"Tag", "Keeper"}
        assert claim.versions["Tag"] == outbox.sync_state("Tag").version
        outbox.settle(replace(claim, keys=frozenset(tags(1))), {})
        assert (outbox.pending_count("Keeper"), outbox.pending_count("Tag")) == (1, 0)
        outbox.settle(claim, {})
        assert outbox.pending_count() == 0

    def test_readers_count_no_row_whose_writer_waits_for_it(self, store: OutboxStore) -> None:
        outbox, reader = store.outbox(inline=True), store.outbox()
        token = recorded(store, outbox)
        watermark = reader.watermark()
        claim = outbox.claim_committed(token)
        assert not reader.sync_state("Tag").pending
        assert reader.has_passed_known(watermark)
        # It is pending all the same: for `verify`, and for what selects objects to write.
        assert not reader.has_passed(watermark)
        assert reader.pending_count() == 1
        # Could not be indexed: now its writer is answered.
        outbox.release(claim.token)
        assert reader.sync_state("Tag").pending
        assert not reader.has_passed_known(watermark)

    def test_readers_count_what_any_other_claim_has(self, store: OutboxStore) -> None:
        outbox, reader = store.outbox(inline=True), store.outbox()
        outbox.release(recorded(store, outbox))
        assert outbox.claim("Tag", 10) is not None
        assert reader.sync_state("Tag").pending
        assert not reader.has_passed_known(reader.watermark())

    def test_readers_count_the_rows_of_a_writer_that_is_dead_after_its_lease(
        self, store: OutboxStore
    ) -> None:
        outbox, reader = store.outbox(inline=True), store.outbox()
        outbox.lease_seconds = 0.5
        claim = outbox.claim_committed(recorded(store, outbox))
        assert not reader.sync_state("Tag").pending
        # Renewed or not.
        assert outbox.renew(claim)
        time.sleep(0.6)
        assert reader.sync_state("Tag").pending
        assert not reader.has_passed_known(reader.watermark())

    def test_readers_count_rows_from_before_the_clock_was_set_back(
        self, store: OutboxStore
    ) -> None:
        outbox, reader = store.outbox(inline=True), store.outbox()
        outbox.lease_seconds = 3600.0
        recorded(store, outbox)
        assert reader.sync_state("Tag").pending

    def test_rows_that_are_postponed_count_and_are_claimed_after_the_lease(
        self, store: OutboxStore
    ) -> None:
        outbox = store.outbox(inline=True)
        token = recorded(store, outbox)
        outbox.claim_committed(token)
        outbox.postpone(token)
        assert outbox.sync_state("Tag").pending
        assert outbox.claim("Tag", 10) is None
        assert token not in outbox.claim_tokens("Tag")
        store.expire()
        assert outbox.claim("Tag", 10).keys == tags(1)

    def test_what_is_settled_is_a_new_version_for_readers(self, store: OutboxStore) -> None:
        """Or one who has read, and remembers that, between the claim and the write, would not look
        again."""
        outbox = store.outbox(inline=True)
        claim = outbox.claim_committed(recorded(store, outbox))
        before = outbox.sync_state("Tag")
        assert not before.pending
        outbox.settle(claim, {})
        assert outbox.sync_state("Tag").version > before.version

    def test_a_transaction_longer_than_the_lease_still_has_its_rows(
        self, store: OutboxStore
    ) -> None:
        outbox, unit = store.outbox(inline=True), store.begin()
        store.write(outbox, unit, tags(1))
        store.began_earlier(unit, LEASE_SECONDS + 1)
        store.commit(unit)
        store.expire()
        claim = outbox.claim_committed(outbox.committed(unit))
        assert not claim.expired
        outbox.settle(claim, {})
        assert outbox.pending_count() == 0

    def test_every_row_is_claimed_by_many(self, store: OutboxStore) -> None:
        """Exactly once, where the database can promise it; each claim has its own version."""
        count = 600 if store.claims_once else 200
        claims, problems = [], []
        store.outbox().enqueue(tags(*range(count)))

        def work() -> None:
            mine = store.outbox()
            try:
                while (claim := mine.claim("Tag", 7)) is not None:
                    claims.append(claim)
                    mine.settle(claim, {})
            except Exception as error:  # noqa: BLE001 - told below
                problems.append(error)

        in_threads(work, 4)
        assert problems == []
        claimed = sorted(key.pk for claim in claims for key in claim.keys)
        assert (claimed if store.claims_once else sorted(set(claimed))) == list(range(count))
        versions = [claim.versions["Tag"] for claim in claims]
        assert len(set(versions)) == len(versions)
        assert store.outbox().pending_count() == 0

    def test_dead_letters(self, outbox: Any) -> None:
        outbox.enqueue({*tags(1, 2, 3), Key("Keeper", "a")})
        outbox.settle(
            outbox.claim("Tag", 10), {Key("Tag", 2): "too long", Key("Tag", 3): "é\ud800"}
        )
        letters = outbox.dead_letters()
        assert [(each.key.pk, each.error) for each in letters] == [(2, "too long"), (3, "é\\ud800")]
        assert abs(letters[0].failed_at - time.time()) < 60
        assert outbox.dead_letters("Keeper") == []
        assert outbox.dead_letter_counts() == {"Tag": 2}

        # Tried again: the letter goes once the document is in the index.
        assert outbox.retry(tags(2)) == 1
        claim = outbox.claim("Tag", 10)
        assert [letter.key.pk for letter in outbox.dead_letters()] == [2, 3]
        outbox.settle(claim, {})
        assert [letter.key.pk for letter in outbox.dead_letters()] == [3]
        # Rejected again: one letter, the newer.
        outbox.retry(tags(3))
        outbox.settle(outbox.claim("Tag", 10), {Key("Tag", 3): "still"})
        assert [letter.error for letter in outbox.dead_letters()] == ["still"]
        assert outbox.drop(tags(3)) == 1
        assert outbox.dead_letters() == []

    def test_what_waits_and_for_how_long(self, store: OutboxStore, outbox: Any) -> None:
        outbox.enqueue(tags(1, 2))
        store.grow_old(5)
        outbox.enqueue(tags(3))
        backlog = outbox.backlog()
        assert set(backlog) == {"Tag"}
        assert backlog["Tag"].rows == 3
        assert 5 <= backlog["Tag"].age_seconds < 60

    def test_a_watermark_is_passed_when_what_waited_is_gone(self, outbox: Any) -> None:
        assert outbox.has_passed(outbox.watermark())
        outbox.enqueue(tags(1))
        watermark = outbox.watermark()
        outbox.enqueue(tags(2))
        assert not outbox.has_passed(watermark)
        outbox.settle(outbox.claim("Tag", 1), {})
        assert outbox.has_passed(watermark)
        assert not outbox.has_passed(outbox.watermark())

    def test_a_watermark_is_passed_when_what_became_of_a_model_is_gone(self, outbox: Any) -> None:
        outbox.enqueue([Key("Tag", None)])
        watermark = outbox.watermark()
        claim = outbox.claim("Tag", 1)
        # As who claims the model makes a row for each of its documents.
        outbox.enqueue(tags(1))
        outbox.settle(claim, {})
        assert not outbox.has_passed(watermark)
        outbox.settle(outbox.claim("Tag", 10), {})
        assert outbox.has_passed(watermark)

    def test_a_watermark_does_not_wait_for_what_is_recorded_later(self, outbox: Any) -> None:
        outbox.enqueue(tags(1))
        watermark = outbox.watermark()
        claim = outbox.claim("Tag", 10)
        outbox.settle(claim, {})
        # On SQLite, the only row has the number of the one that was settled. Not its time.
        time.sleep(0.01)
        outbox.enqueue(tags(2))
        assert outbox.has_passed(watermark)
        assert not outbox.has_passed(outbox.watermark())


def in_threads(work: Any, count: int) -> None:
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
