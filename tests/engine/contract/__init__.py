"""One suite for every engine of nefertari.

A case does something with the library (tests/apps/any_engine) and gives what it saw: statuses,
bodies, values. What nefertari_sqla shows is the reference. An engine either shows the same or the
case is in the table of differences of docs/engine.rst, for that engine, and no case is there
that is the same.
"""
