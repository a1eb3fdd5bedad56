"""The objects of each owner: always the same, with no value that two owners share."""

from __future__ import annotations

import datetime
import decimal

#: owners: names of people, and names that are query syntax or mean something to nefertari
OWNERS = [
    *("ann", "bob", "*", "_all", "ann OR bob", "NOT ann", "[* TO *]", "/.*/", 'a"b', "an?"),
    # one text for a search, two for a database
    *("zo\u00eb", "zoe\u0308"),
]


def fill():
    """Add three volumes and two leaflets of each owner to the session."""
    from pyramid_sqlalchemy import Session

    from tests.apps.narrowed.models import Leaflet, Volume, Writer

    for at, owner in enumerate(OWNERS):
        writer = Writer(name=f"writer of {owner}")
        Session.add(writer)
        Session.flush()
        for number in range(3):
            year = 1000 + 10 * at + number
            Session.add(
                Volume(
                    owner=owner,
                    title=f"title{year}",
                    prose=f"words of {owner} word{year} common",
                    year=year,
                    weight=year / 8,
                    price=decimal.Decimal(year) / 4,
                    lent=number == 1,
                    bought=datetime.date(year, 1, 1),
                    due=datetime.datetime(year, 1, 1, 12, 30, number, 5),
                    tags=[f"tag{year}", owner],
                    writer_id=writer.id,
                )
            )
        for number in range(2):
            Session.add(Leaflet(owner=owner, title=f"leaf{at}{number}", year=1000 + 10 * at))
