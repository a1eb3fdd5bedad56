"""A model whose keys the engine generates; MongoDB has no such numbers."""

from __future__ import annotations

from nefertari import engine as eng


class Ticket(eng.BaseDocument):
    __tablename__ = "library_tickets"

    id = eng.IdField(primary_key=True)
    text = eng.UnicodeField()
