"""The outbox in SQL tables: recorded with the change, claimed after its commit."""
