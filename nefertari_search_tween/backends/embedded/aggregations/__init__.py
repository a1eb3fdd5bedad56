"""Aggregations of the embedded backend."""
