"""Finds out by itself whether anybody can learn what is not theirs.

Pairs of databases that differ in one hidden value or object are derived from an application's
models, requests from its routes and from the parameters that are known; both databases of a pair
are asked the same, and every difference is a leak (`python -m tests.privacy`).

- `served`: one application on one database, in a process of its own
- `content`: values of fields, and the objects that both databases have
- `differences`: what the databases of a pair differ in, for whom
- `requests`: random requests
- `pairs`: asks both, compares, and makes a request that tells something smaller
- `applications`: which applications are asked, on which engines and backends
"""
