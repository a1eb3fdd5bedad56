"""What the collections hold: objects in states that differ in hidden values only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.apps.private_fields.running import Club


def fill(club: Club) -> None:
    """The objects, in the first of three states; see `vary`."""
    members = (("ann", ["user"]), ("bob", ["user"]), ("cal", ["user"]), ("eve", ["admin"]))
    changes: list[tuple[str, Any, dict[str, Any]]] = [
        (
            "Member",
            name,
            {
                "nick": f"nick {name}",
                "email": f"{name}@example.org",
                "password": "x" * 10,
                "groups": groups,
                "token": f"token-{name}",
            },
        )
        for name, groups in members
    ]
    for number, name in enumerate(("ann", "bob", "cal"), 1):
        changes.append(("Profile", number, {"city": f"city {number}", "member": name}))
        changes.append(("Badge", number, {"label": "x", "member": name}))
    for number in range(1, 7):
        story = {"title": f"title {number}", "shelf": "open" if number < 5 else "closed"}
        changes.append(("Story", number, {**story, "author": ("bob", "cal")[number % 2]}))
    changes.append(("Draft", 1, {"title": "draft", "plot": "secretone"}))
    club.write(changes)
    vary(club, 0, 0)


def filled(club: Club) -> Iterator[Club]:
    """Run *club*, filled."""
    try:
        club.start()
        fill(club)
        yield club
    finally:
        club.stop()


def vary(club: Club, hidden: int, members_only: int) -> None:
    """Set what nobody but admins sees to one of two values, and what members see to one of two.

    Matches, order, presence and numbers of nested objects differ between the two.
    """
    if getattr(club, "varied", None) == (hidden, members_only):
        return
    club.varied = (hidden, members_only)

    def values(key: int, which: int) -> tuple[Any, Any, Any]:
        if which == 0:
            return f"secretone {key}", key, None if key % 2 else "2014-05-06"
        return (None if key == 2 else f"another {9 - key}"), 9 - key, "2015-01-01"

    changes: list[tuple[str, Any, dict[str, Any]]] = []
    for key in range(1, 7):
        text, number, moment = values(key, hidden)
        story = {"note": text, "rank": number, "price": number, "due": moment}
        story |= {"flagged": bool(number % 2), "marks": [text or "none"]}
        text, number, _ = values(key, members_only)
        changes.append(("Story", key, {**story, "body": text, "rating": number}))
    for key, name in enumerate(("bob", "cal"), 2):
        text, number, _ = values(key, hidden)
        email = f"{(text or 'none').replace(' ', '.')}@example.org"
        member = {"diary": text, "salary": number, "email": email, "password": f"{text} password"}
        profile = {"ssn": text, "income": number}
        changes.append(("Badge", key, {"label": text}))
        text, number, _ = values(key, members_only)
        changes.append(("Member", name, {**member, "motto": text, "age": number}))
        changes.append(("Profile", key, {**profile, "phone": text}))
    club.write(changes)
