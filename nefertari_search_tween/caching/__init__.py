"""Answers of the backend, kept until a claim makes them old (docs/caching.rst)."""
