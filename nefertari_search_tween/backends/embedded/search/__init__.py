"""How the embedded backend executes a search request."""
