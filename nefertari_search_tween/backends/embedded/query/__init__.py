"""From the query DSL to SQL over postings and columns."""
