"""The objects of the museum: generated, always the same, with ties, gaps and odd values."""

from __future__ import annotations

import datetime
import random

STYLES = ["dark", "bright", "flat", "Dark", None]
WORDS = ["amphora", "krater", "saturn", "night", "Übung", "été", "o'clock", "10", "1820"]


def fill():
    """Add all objects to the session."""
    from pyramid_sqlalchemy import Session

    from tests.apps.multi_collection.models import Guard, Painter, Painting, Ticket, Vase

    chance = random.Random(7)

    def some(values, gaps=0.2):
        return None if chance.random() < gaps else chance.choice(values)

    def words():
        return " ".join(chance.choice(WORDS) for _ in range(chance.randint(1, 3)))

    painters = [
        Painter(
            name=some([words()], 0.1),
            year=some(range(1400, 1420)),
            style=chance.choice(STYLES),
            worth=some(range(-3, 9)),
        )
        for _ in range(40)
    ]
    Session.add_all(painters)
    Session.flush()
    for _ in range(150):
        painter = some(painters)
        Session.add(
            Painting(
                title=some([words()], 0.1),
                year=some(range(1410, 1430)),
                style=chance.choice(STYLES),
                height=some([-1, 0, 10, 11, 12, 2**62, 40]),
                worth=some(range(-3, 9)),
                insurer=some(WORDS),
                exhibited=some([True, False]),
                painter_id=None if painter is None else painter.id,
            )
        )
    for number in range(90):
        Session.add(
            Vase(
                code=f"{'vV'[number % 2]}{number:02}",
                name=some([words()], 0.1),
                year=some(["c. 510", "1820", "1415", "unknown"]),
                height=some([-1.0, 0.0, 10.5, 11.0, 11.5, 40.0, 1e20]),
                worth=some(range(-3, 9)),
                excavated=some([datetime.date(1900 + n, 1 + n, 3) for n in range(12)]),
                exhibited=some([True, False]),
            )
        )
    for number in range(12):
        Session.add(Guard(name=f"guard {words()}", exhibited=number % 3 == 0))
    Session.add(Ticket(name="day"))
