"""Documents, postings and columns in one SQLite database."""
