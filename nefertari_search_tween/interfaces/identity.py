"""Which database it is: an identifier that it carries, and where it is."""

from __future__ import annotations

from typing import NamedTuple


class Identity(NamedTuple):
    """What a primary database is known by.

    :param identifier: random, made once and stored in the database itself: a new database has
        another one, a copy has the same.
    :param location: which of several copies it is, as the database itself says, whatever address a
        client has for it; empty if it can't say.
    :param address: where it is, for people: no user, no password.
    """

    identifier: str
    location: str
    address: str
