"""nefertari's aggregations: read from a request, checked, answered by the backend.

``request`` finds them among the parameters, ``types`` is the table of types and their options,
``builder`` makes the backend's request of them, ``response`` unwraps its results.
"""
