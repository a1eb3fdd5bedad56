"""Keys that change, and values that are unique together: what only this engine must get right.

It has no transactions, so what others do in between is what counts.
"""

from __future__ import annotations

import datetime
import threading
from collections.abc import Iterator
from typing import Any, Callable

import pytest
from nefertari.json_httpexceptions import JHTTPBadRequest, JHTTPConflict

from nefertari_search_tween import engine as eng
from nefertari_search_tween.engine import database as engine_database
from nefertari_search_tween.engine import model_registry
from nefertari_search_tween.engine.database import Database
from nefertari_search_tween.engine.writes import change_key, unique_values
from nefertari_search_tween.exceptions import ConfigurationError
from tests.engine.test_models import Folder, Member, Note, Post, Seat, Tag, bound, database  # noqa: F401

pytestmark = pytest.mark.usefixtures("database")

RACERS = 8


def race(*works: Callable[[], Any]) -> list[Any]:
    """What each of *works* gave, or the status of its error; all of them begin together."""
    start, results = threading.Barrier(len(works)), [None] * len(works)

    def run(position: int, work: Callable[[], Any]) -> None:
        start.wait()
        try:
            results[position] = work()
        except Exception as error:  # noqa: BLE001 - reported by its status
            results[position] = getattr(error, "status_int", repr(error))

    threads = [threading.Thread(target=run, args=each) for each in enumerate(works)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    return results


def names(model: Any) -> list[str]:
    return sorted(each.pk_value() for each in model.get_collection())


def test_references_of_every_kind_follow() -> None:
    root = Folder(name="root").save()
    Folder(name="leaf", parent=root).save()
    note = Note(text="n").save()
    Tag(name="old", notes=[note]).save()
    member = Member(name="ann", email="a@x.org", posts=[Post(title="p")]).save()
    tag = Tag.get_item(name="old")
    tag.name = "new"
    tag.save()
    assert names(Tag) == ["new"]
    assert [each.name for each in Note.get_item(id=note.id).tags] == ["new"]
    member.name = "anna"
    member.save()
    assert Post.get_collection()[0].member.name == "anna"
    assert Member.get_item(email="a@x.org").name == "anna"
    # The foreign key of folders has no rule for it.
    root.name = "top"
    with pytest.raises(JHTTPConflict, match="leaf refers to it"):
        root.save()
    assert names(Folder) == ["leaf", "root"]


def test_a_document_that_refers_to_itself_follows_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    ring = Folder(name="ring").save()
    ring.parent_name = "ring"
    ring.save()
    monkeypatch.setitem(Folder.fields()["parent_name"]._init_kwargs, "ref_onupdate", "CASCADE")
    model_registry._generation[0] += 1
    try:
        ring.name = "circle"
        ring.save()
        folder = Folder.get_item(name="circle")
        assert (folder.parent_name, folder.parent.name) == ("circle", "circle")
        assert names(Folder) == ["circle"]
    finally:
        folder.parent_name = None
        folder.save()
        model_registry._generation[0] += 1


def test_a_list_that_is_set_with_the_key() -> None:
    first, second = Post(title="1").save(), Post(title="2").save()
    member = Member(name="ann", posts=[first]).save()
    member = Member.get_item(name="ann")
    member.name = "anna"
    member.posts = [second]
    member.save()
    members = {each.title: each.member and each.member.name for each in Post.get_collection()}
    assert members == {"1": None, "2": "anna"}


def test_of_several_new_keys_one_wins() -> None:
    for _ in range(5):
        Member(name="old", email="one@x.org", posts=[Post(title="p"), Post(title="q")]).save()

        def change(new: str) -> str:
            member = Member.get_item(name="old")
            member.name = new
            member.save()
            return new

        results = race(*(lambda new=f"m{number}": change(new) for number in range(RACERS)))
        won = [each for each in results if isinstance(each, str)]
        assert len(won) == 1, results
        # The rest met the lock, or found nothing under the old key any more.
        assert {each for each in results if each not in won} <= {404, 409}, results
        assert names(Member) == won
        assert {each.member.name for each in Post.get_collection()} == set(won)
        with pytest.raises(JHTTPConflict):
            Member(name="other", email="one@x.org").save()
        Member._delete_many(Member.get_collection())
        assert not Post.get_collection()


def test_no_update_is_lost_to_a_new_key() -> None:
    updates = moved = 0
    for number in range(25):
        Member(name="old", email=f"{number}@x.org", club="", posts=[Post(title="p")]).save()
        barrier = threading.Barrier(2)

        def update(barrier: threading.Barrier = barrier) -> str:
            member = Member.get_item(name="old")
            barrier.wait()
            member.club = "chess"
            member.save()
            return "updated"

        def change(barrier: threading.Barrier = barrier) -> str:
            member = Member.get_item(name="old")
            barrier.wait()
            member.name = "new"
            member.save()
            return "changed"

        updated, changed = race(update, change)
        (member,) = Member.get_collection()
        assert member.club == ("chess" if updated == "updated" else "")
        assert member.name == ("new" if changed == "changed" else "old")
        # Of the same state, one was first.
        assert sorted([str(updated), str(changed)])[0] == "409", (updated, changed)
        (post,) = Post.get_collection()
        assert post.member.name == member.name
        assert Member.get_item(email=f"{number}@x.org").name == member.name
        with pytest.raises(JHTTPConflict):
            Member(name="other", email=f"{number}@x.org").save()
        updates, moved = updates + (updated == "updated"), moved + (changed == "changed")
        Member._delete_many(Member.get_collection())
    assert updates + moved == 25


@pytest.mark.parametrize("meanwhile", ["updated", "deleted"])
def test_what_happens_between_the_new_document_and_the_end_of_the_old_one(
    meanwhile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Member(name="old", email="a@x.org", posts=[Post(title="p")]).save()
    member = Member.get_item(name="old")
    follow, done = change_key._update_references, []

    def interrupted(*args: Any, **kwargs: Any) -> None:
        follow(*args, **kwargs)
        if not done:
            done.append(meanwhile)
            other = Member.get_item(name="old")
            if meanwhile == "updated":
                other.update({"club": "chess"})
            else:
                other.delete()

    monkeypatch.setattr(change_key, "_update_references", interrupted)
    member.name, member.email = "new", "b@x.org"
    with pytest.raises(JHTTPConflict):
        member.save()
    if meanwhile == "deleted":
        assert names(Member) == []
        assert not Post.get_collection()
        Member(name="x", email="a@x.org").save()
    else:
        (remaining,) = Member.get_collection()
        assert (remaining.name, remaining.email, remaining.club) == ("old", "a@x.org", "chess")
        assert Post.get_collection()[0].member.name == "old"
        with pytest.raises(JHTTPConflict):
            Member(name="x", email="a@x.org").save()
    Member(name="y", email="b@x.org").save()


def test_a_lock_that_was_left_behind_ends(
    monkeypatch: pytest.MonkeyPatch,
    database: Database,  # noqa: F811
) -> None:
    Tag(name="old").save()
    tag = Tag.get_item(name="old")

    def die(*args: Any, **kwargs: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        # As a process that was killed: its lock stays.
        dying.setattr(change_key, "_create", die)
        dying.setattr(engine_database.Database, "write_key", _that_forgets_deletes(database))
        tag.name = "new"
        with pytest.raises(KeyboardInterrupt):
            tag.save()
    tag = Tag.get_item(name="old")
    tag.name = "new"
    with pytest.raises(JHTTPConflict):
        tag.save()
    now = change_key.time.time() + unique_values.LEASE_SECONDS + 1
    monkeypatch.setattr(change_key.time, "time", lambda: now)
    tag.save()
    assert names(Tag) == ["new"]


def _that_forgets_deletes(database: Database) -> Any:  # noqa: F811
    write_key = type(database).write_key

    def writing(self: Database, identity: str, body: Any, expected: Any) -> Any:
        return write_key(self, identity, body, expected) if body is not None else None

    return writing


def test_a_delete_under_a_key_that_was_not_saved() -> None:
    Tag(name="a").save()
    Tag(name="b").save()
    for first, second in (("a", "b"), ("b", "c")):
        tag = Tag.get_item(name=first)
        tag.name = second
        Tag._delete_many([tag]) if first == "a" else tag.delete()
        assert first not in names(Tag)
    assert names(Tag) == []


# Together


def test_pairs_are_unique() -> None:
    Seat(row="a", number=1).save()
    Seat(row="a", number=2).save()
    second = Seat(row="b", number=1).save()
    with pytest.raises(JHTTPConflict, match="`number`, `row`"):
        Seat(row="a", number=1).save()
    with pytest.raises(JHTTPConflict):
        second.update({"row": "a"})
    # One that lacks a part is like no other.
    for _ in range(2):
        Seat(row="c").save()
        Seat(number=1).save()
    second = Seat.get_item(row="b")
    second.update({"row": "z"})
    Seat(row="b", number=1).save()
    Seat.get_item(row="z").delete()
    Seat(row="z", number=1).save()
    assert Seat.get_collection(_count=True) == 8


def test_three_are_unique_by_their_values() -> None:
    day = datetime.date(2020, 1, 2)
    Seat(row="a", day=day, ticket="t").save()
    with pytest.raises(JHTTPConflict, match="`ticket`, `day`, `row`"):
        Seat(row="a", day="2020-01-02", ticket="t").save()
    Seat(row="a", day=day + datetime.timedelta(1), ticket="t").save()
    # No value is another one's neighbour.
    Seat(row="b", day=day, ticket='t", "x').save()


def test_many_that_become_the_same() -> None:
    for number in (1, 2, 3):
        Seat(row="a", number=number).save()
    with pytest.raises(JHTTPConflict):
        Seat._update_many(Seat.get_collection(), {"number": 7})
    assert sorted(each.number for each in Seat.get_collection()) in (
        [2, 3, 7],
        [1, 3, 7],
        [1, 2, 7],
    )


def test_of_several_creators_of_a_pair_one_wins() -> None:
    for number in range(5):
        results = race(
            *(lambda n=number: Seat(row="r", number=n).save() and "made" for _ in range(RACERS))
        )
        assert sorted(map(str, results)) == ["409"] * (RACERS - 1) + ["made"]
    assert Seat.get_collection(_count=True) == 5


@pytest.fixture
def forgotten() -> Iterator[None]:
    before = dict(model_registry._models)
    yield
    model_registry._models.clear()
    model_registry._models.update(before)
    model_registry._generation[0] += 1


@pytest.mark.usefixtures("forgotten")
@pytest.mark.parametrize(("other", "problem"), [("nope", "is no field"), ("post", "relationship")])
def test_what_can_not_be_unique_together(other: str, problem: str) -> None:
    class Odd(eng.BaseDocument):
        id = eng.IdField(primary_key=True)
        word = eng.StringField(unique_with=other)
        post = eng.Relationship(document="Post", uselist=False)

    with pytest.raises(ConfigurationError, match=problem):
        unique_values.unique_groups(Odd)


def test_a_key_can_not_be_taken_away() -> None:
    tag = Tag(name="a").save()
    tag.name = None
    with pytest.raises(JHTTPBadRequest):
        tag.save()
    note = Note(text="n").save()
    note.id = None
    with pytest.raises(JHTTPBadRequest):
        note.save()
    assert names(Tag) == ["a"]
