"""Searches of an application whose only database is the engine."""
