"""Change capture on MongoEngine: its writes are wrapped."""
