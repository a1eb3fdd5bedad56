"""The outbox in MongoDB collections: an intent before each write, confirmed after it."""
