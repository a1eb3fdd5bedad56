"""The embedded backend: an inverted index in one SQLite file, no server."""
