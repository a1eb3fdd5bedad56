"""Change capture on SQLAlchemy: session events, and triggers for what no session does."""
