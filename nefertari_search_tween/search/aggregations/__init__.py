"""nefertari's aggregations: read from a request, checked, answered by the backend.

``params`` finds them among the parameters, ``kinds`` is the table of types and their options,
``building`` makes the backend's request of them, ``results`` turns its answer back.
"""
