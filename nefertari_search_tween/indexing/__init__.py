"""Writing: a change of the primary -> event -> outbox -> claim -> current state -> index."""
