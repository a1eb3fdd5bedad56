"""Triggers that fill the outbox, on PostgreSQL and SQLite."""
