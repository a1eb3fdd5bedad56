"""Flights, and what they refer to. A flight may have an unknown plane."""

from __future__ import annotations

from nefertari import engine as eng
from nefertari.engine import ESBaseDocument


class Airline(ESBaseDocument):
    __tablename__ = "airlines"

    carrier = eng.StringField(primary_key=True, max_length=2)
    name = eng.UnicodeField()


class Airport(ESBaseDocument):
    __tablename__ = "airports"

    faa = eng.StringField(primary_key=True, max_length=3)
    name = eng.UnicodeField()
    lat = eng.FloatField()
    lon = eng.FloatField()
    alt = eng.IntegerField()
    tz = eng.IntegerField()
    dst = eng.StringField()
    tzone = eng.StringField()


class Plane(ESBaseDocument):
    __tablename__ = "planes"

    tailnum = eng.StringField(primary_key=True, max_length=6)
    year = eng.IntegerField()
    type = eng.StringField()
    manufacturer = eng.StringField()
    model = eng.StringField()
    engines = eng.IntegerField()
    seats = eng.IntegerField()
    speed = eng.IntegerField()
    engine = eng.StringField()


class Flight(ESBaseDocument):
    __tablename__ = "flights"

    id = eng.IdField(primary_key=True)
    year = eng.IntegerField()
    month = eng.IntegerField()
    day = eng.IntegerField()
    dep_time = eng.IntegerField()
    sched_dep_time = eng.IntegerField()
    dep_delay = eng.IntegerField()
    arr_time = eng.IntegerField()
    sched_arr_time = eng.IntegerField()
    arr_delay = eng.IntegerField()
    carrier = eng.StringField()
    flight = eng.IntegerField()
    tailnum = eng.StringField()
    origin = eng.StringField()
    dest = eng.StringField()
    air_time = eng.IntegerField()
    distance = eng.IntegerField()
    hour = eng.IntegerField()
    minute = eng.IntegerField()
    time_hour = eng.DateTimeField()


def includeme(config):
    """The classes above are created by the import of this module, after the engine was set."""
