"""Responses of the backend, cached until a claim makes them stale (docs/caching.rst)."""
